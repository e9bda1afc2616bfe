/* The registries that add nothing to BaseRegistry but a cleanup: of finished, failed, deferred,
   canceled and ready jobs. For deferred and ready jobs that is RQ's. */
#include "job_registries.h"

#include "base_registry.h"
#include "expiry.h"

static PyMethodDef expiring_methods[] = {
    CLEANUP_EXPIRED_METHOD,
    {NULL, NULL, 0, NULL},
};

#define REGISTRY(class_name, doc, methods)                                                         \
    static PyType_Slot class_name##_slots[]                                                        \
        = {{Py_tp_doc, doc}, {Py_tp_methods, methods}, {0, NULL}};                                 \
    static PyType_Spec class_name##_spec = {                                                       \
        .name = "rqreg_ext._core." #class_name,                                                    \
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,                                         \
        .slots = class_name##_slots,                                                               \
    };

static PyMethodDef no_methods[] = {{NULL, NULL, 0, NULL}};

REGISTRY(
    FinishedJobRegistry,
    "The jobs that succeeded, scored by when they expire. Source: rq.registry.FinishedJobRegistry.",
    expiring_methods)
REGISTRY(FailedJobRegistry,
         "The jobs that failed, scored by when they expire. Source: rq.registry.FailedJobRegistry.",
         expiring_methods)
REGISTRY(DeferredJobRegistry,
         "The jobs that wait for others, scored by when they were deferred.\n"
         "Source: rq.registry.DeferredJobRegistry.",
         no_methods)
REGISTRY(CanceledJobRegistry,
         "The jobs that were canceled. Source: rq.registry.CanceledJobRegistry.", no_methods)
REGISTRY(ReadyJobRegistry,
         "The jobs whose dependencies are met, on their way to the queue (RQ 3).\n"
         "Source: rq.registry.ReadyJobRegistry.",
         no_methods)

int
job_registries_setup_types(PyObject *module, core_state *state)
{
    PyType_Spec *specs[]
        = {&FinishedJobRegistry_spec, &FailedJobRegistry_spec, &DeferredJobRegistry_spec,
           &CanceledJobRegistry_spec, &ReadyJobRegistry_spec};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(specs); i++) {
        if (registry_add_subtype(module, state, specs[i]) < 0) {
            return -1;
        }
    }
    return 0;
}
