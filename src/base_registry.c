#include "base_registry.h"

#include <stddef.h>
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#endif

#include "counts.h"
#include "expiry.h"
#include "listings.h"
#include "membership.h"
#include "registry_init.h"
#include "registry_object.h"
#include "remove.h"
#include "requeue.h"

/* ---- Memory of the object -------------------------------------------------------------------- */

static int
base_registry_traverse(base_registry *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    return 0;
}

static int
base_registry_clear(base_registry *self)
{
    Py_CLEAR(self->dict);
    return 0;
}

static void
base_registry_dealloc(base_registry *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    base_registry_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- The type -------------------------------------------------------------------------------- */

static PyMethodDef base_registry_methods[] = {
    {"get_job_count", AS_METHOD(get_job_count), METH_FASTCALL | METH_KEYWORDS, get_job_count_doc},
    {"get_job_ids", AS_METHOD(get_job_ids), METH_FASTCALL | METH_KEYWORDS, get_job_ids_doc},
    {"get_expired_job_ids", AS_METHOD(get_expired_job_ids), METH_FASTCALL | METH_KEYWORDS,
     get_expired_job_ids_doc},
    {"get_expiration_time", AS_METHOD(get_expiration_time), METH_FASTCALL | METH_KEYWORDS,
     get_expiration_time_doc},
    {"remove", AS_METHOD(remove_job), METH_FASTCALL | METH_KEYWORDS, remove_doc},
    {"requeue", AS_METHOD(requeue_job), METH_FASTCALL | METH_KEYWORDS, requeue_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef base_registry_properties[] = {
    {"count", count_get, NULL, count_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef base_registry_members[] = {
    {"__dictoffset__", Py_T_PYSSIZET, offsetof(base_registry, dict), Py_READONLY, NULL},
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(base_registry, weak_references), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(base_registry_doc,
"BaseRegistry(name='default', connection=None, job_class=None, queue=None, serializer=None,\n"
"             death_penalty_class=None)\n--\n\n"
"What all registries of jobs share: a sorted set of job ids, scored by Unix timestamps.\n\n"
"name: the queue's name. connection: a redis-py client, or a URL string.\n"
"job_class: the class of its jobs; default: rq.job.Job.\n"
"queue: a Queue, which gives the name, the connection and the serializer.\n"
"serializer, death_penalty_class: as for rq.Queue.\n"
"No round trip. Source: rq.registry.BaseRegistry.");

static PyType_Slot base_registry_slots[] = {
    {Py_tp_doc, (void *)base_registry_doc},
    {Py_tp_init, registry_init},
    {Py_tp_traverse, base_registry_traverse},
    {Py_tp_clear, base_registry_clear},
    {Py_tp_dealloc, base_registry_dealloc},
    {Py_tp_methods, base_registry_methods},
    {Py_tp_getset, base_registry_properties},
    {Py_tp_members, base_registry_members},
    {Py_sq_length, registry_length},
    {Py_sq_contains, registry_contains},
    {0, NULL},
};

static PyType_Spec base_registry_spec = {
    .name = "rqreg_ext._core.BaseRegistry",
    .basicsize = sizeof(base_registry),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = base_registry_slots,
};

int
base_registry_setup_type(PyObject *module, core_state *state)
{
    state->base_registry_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &base_registry_spec, NULL);
    return state->base_registry_type == NULL ? -1
                                             : PyModule_AddType(module, state->base_registry_type);
}

int
registry_add_subtype(PyObject *module, core_state *state, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)state->base_registry_type);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}
