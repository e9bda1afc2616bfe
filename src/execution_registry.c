#include "execution_registry.h"

#include "base_registry.h"
#include "expiry.h"

/* RQ's ExecutionRegistry is not a registry of jobs: it shares only the methods of BaseRegistry that
   read or expire entries. */

static PyMethodDef execution_registry_methods[] = {
    CLEANUP_EXPIRED_METHOD,
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(execution_registry_doc,
"ExecutionRegistry(job_id, connection)\n--\n\n"
"The executions of one job, scored by when they expire.\n\n"
"job_id: str. connection: a redis-py client, or a URL string. No round trip.\n"
"Source: rq.executions.ExecutionRegistry.");

static PyType_Slot execution_registry_slots[] = {
    {Py_tp_doc, (void *)execution_registry_doc},
    {Py_tp_methods, execution_registry_methods},
    {0, NULL},
};

static PyType_Spec execution_registry_spec = {
    .name = "rqreg_ext._core.ExecutionRegistry",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = execution_registry_slots,
};

int
execution_registry_setup_type(PyObject *module, core_state *state)
{
    return registry_add_subtype(module, state, &execution_registry_spec);
}
