#include "queue.h"

#include "dispatch.h"
#include "threads.h"

typedef struct {
    const char *name;
    int rq_method;
    const char *class_name;
} queue_registry;

/* Whether the name in rq.registry, where RQ's property looks, is still RQ's class, or ours after
   install(). It may leave an exception set if it is false. */
static bool
is_class_of_rq(const core_state *state, PyObject *class, const char *class_name)
{
    PyObject *name = PyUnicode_FromString(class_name);
    PyObject *current = name == NULL ? NULL : dict_get(state->rq.registry_globals, name);
    bool is_of_rq = current != NULL && current == class;
    if (current != NULL && !is_of_rq) {
        PyObject *rq_class = PyObject_GetAttr(class, state->names._rq_class);
        is_of_rq = rq_class == current;
        Py_XDECREF(rq_class);
    }
    Py_XDECREF(name);
    Py_XDECREF(current);
    return is_of_rq;
}

/* A new registry at each access, with the queue's job_class and serializer, as RQ makes it. */
static PyObject *
make_registry(core_state *state, PyObject *self, PyObject *class)
{
    PyObject *job_class = PyObject_GetAttr(self, state->names.job_class);
    PyObject *registry = NULL;
    if (job_class != NULL) {
        PyObject *arguments[] = {job_class, self};
        registry = PyObject_Vectorcall(class, arguments, 0, state->registry_keywords);
    }
    Py_XDECREF(job_class);
    return registry;
}

static PyObject *
registry_get(PyObject *self, void *closure)
{
    const queue_registry *property = closure;
    core_state *state = core_state_of(Py_TYPE(self));
    type_methods methods;
    if (state == NULL || installed_rq_load(state) < 0
        || type_methods_of(state, Py_TYPE(self), &methods) < 0) {
        return NULL;
    }
    if ((methods.overridden & property->rq_method) == 0) {
        return fallback_getattr(self, state->queue_type, property->name);
    }
    PyObject *module = PyImport_ImportModule("rqreg_ext.registry");
    PyObject *class = module == NULL ? NULL : PyObject_GetAttrString(module, property->class_name);
    Py_XDECREF(module);
    PyObject *registry = NULL;
    if (class != NULL && is_class_of_rq(state, class, property->class_name)) {
        registry = make_registry(state, self, class);
    }
    else if (class != NULL && use_fallback_unless_raised() == CALL_FALLBACK) {
        registry = fallback_getattr(self, state->queue_type, property->name);
    }
    Py_XDECREF(class);
    return registry;
}

#define QUEUE_REGISTRIES(X)                                                                        \
    X(canceled_job_registry, METHOD_CANCELED_JOB_REGISTRY, "CanceledJobRegistry")                  \
    X(deferred_job_registry, METHOD_DEFERRED_JOB_REGISTRY, "DeferredJobRegistry")                  \
    X(failed_job_registry, METHOD_FAILED_JOB_REGISTRY, "FailedJobRegistry")                        \
    X(finished_job_registry, METHOD_FINISHED_JOB_REGISTRY, "FinishedJobRegistry")                  \
    X(ready_job_registry, METHOD_READY_JOB_REGISTRY, "ReadyJobRegistry")                           \
    X(scheduled_job_registry, METHOD_SCHEDULED_JOB_REGISTRY, "ScheduledJobRegistry")               \
    X(started_job_registry, METHOD_STARTED_JOB_REGISTRY, "StartedJobRegistry")

#define X(property, rq_method, class_name)                                                         \
    static const queue_registry property = {#property, rq_method, class_name};
QUEUE_REGISTRIES(X)
#undef X

#define X(property, rq_method, class_name)                                                         \
    {#property, registry_get, NULL,                                                                \
     "This queue's " class_name ", with its job_class and serializer. No round trip.\n\n"          \
     "Source: rq.Queue." #property ".",                                                            \
     (void *)&(property)},

static PyGetSetDef queue_properties[] = {
    /* clang-format off */
    QUEUE_REGISTRIES(X)
    {NULL, NULL, NULL, NULL, NULL},
    /* clang-format on */
};
#undef X

static int
queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
queue_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, "The properties of rq.Queue that return registries."},
    {Py_tp_getset, queue_properties},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_dealloc, queue_dealloc},
    {0, NULL},
};

static PyType_Spec queue_spec = {
    .name = "rqreg_ext._core.Queue",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = queue_slots,
};

int
queue_setup_type(PyObject *module, core_state *state)
{
    state->registry_keywords = Py_BuildValue("(OO)", state->names.job_class, state->names.queue);
    if (state->registry_keywords == NULL) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &queue_spec, NULL);
    state->queue_type = (PyTypeObject *)type;
    return type == NULL ? -1 : PyModule_AddType(module, state->queue_type);
}
