#include "queue.h"

/* RQ makes a new registry at each access, with the queue's own job_class and serializer: so do we. */
static PyObject *
make_registry(PyObject *self, void *class_name)
{
    core_state *state = core_state_of(Py_TYPE(self));
    if (state == NULL) {
        return NULL;
    }
    PyObject *module = PyImport_ImportModule("rqreg_ext.registry");
    PyObject *class = module == NULL ? NULL : PyObject_GetAttrString(module, class_name);
    PyObject *job_class = class == NULL ? NULL : PyObject_GetAttr(self, state->names.job_class);
    PyObject *registry = NULL;
    if (job_class != NULL) {
        PyObject *arguments[] = {job_class, self};
        registry = PyObject_Vectorcall(class, arguments, 0, state->registry_keywords);
    }
    Py_XDECREF(job_class);
    Py_XDECREF(class);
    Py_XDECREF(module);
    return registry;
}

#define REGISTRY(property, class_name)                                                             \
    {property, make_registry, NULL,                                                                \
     "This queue's " class_name ", with its job_class and serializer. No round trip.\n\n"          \
     "Source: rq.Queue." property ".",                                                             \
     class_name}

static PyGetSetDef queue_properties[] = {
    REGISTRY("canceled_job_registry", "CanceledJobRegistry"),
    REGISTRY("deferred_job_registry", "DeferredJobRegistry"),
    REGISTRY("failed_job_registry", "FailedJobRegistry"),
    REGISTRY("finished_job_registry", "FinishedJobRegistry"),
    REGISTRY("ready_job_registry", "ReadyJobRegistry"),
    REGISTRY("scheduled_job_registry", "ScheduledJobRegistry"),
    REGISTRY("started_job_registry", "StartedJobRegistry"),
    {NULL, NULL, NULL, NULL, NULL},
};

static int
queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    (void)self;
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
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}
