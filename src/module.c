/* The module rqreg_ext._core. It includes all other files, whose types and functions it sets up,
   and has no header, as no other file needs it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <datetime.h>

#include "base64.h"
#include "base_registry.h"
#include "clean_registries.h"
#include "client_check.h"
#include "client_pool.h"
#include "connection_type.h"
#include "exchange.h"
#include "execution_registry.h"
#include "guard.h"
#include "installed_rq.h"
#include "job_registries.h"
#include "json_text.h"
#include "queue.h"
#include "registry_call.h"
#include "reply.h"
#include "retries.h"
#include "scheduled_job_registry.h"
#include "script.h"
#include "stand_in.h"
#include "started_job_registry.h"
#include "state.h"
#include "traceback_text.h"
#include "type_methods.h"

static int
intern_names(core_state *state)
{
#define X(name)                                                                                    \
    state->names.name = PyUnicode_InternFromString(#name);                                         \
    if (state->names.name == NULL) {                                                               \
        return -1;                                                                                 \
    }
    CORE_NAMES(X)
#undef X
    state->default_queue_name = PyUnicode_InternFromString("default");
    return state->default_queue_name == NULL ? -1 : 0;
}

/* datetime.datetime from its C API, where it cannot be replaced. Where there is none, RQ is asked
   for the time. */
static int
find_datetime(core_state *state)
{
    (void)PyDateTimeAPI;
    const PyDateTime_CAPI *api = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    if (api == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)
            && !PyErr_ExceptionMatches(PyExc_ImportError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    state->datetime_type = Py_NewRef((PyObject *)api->DateTimeType);
    return 0;
}

static int
core_exec(PyObject *module)
{
    core_state *state = PyModule_GetState(module);
    if (intern_names(state) < 0 || reply_check_library() < 0 || find_datetime(state) < 0
        || guard_setup_type(module, state) < 0 || type_methods_setup(module) < 0
        || connection_setup_type(module, state) < 0 || client_pool_setup_type(module, state) < 0
        || retries_setup_type(module, state) < 0 || stand_in_setup_type(module, state) < 0
        || base_registry_setup_type(module, state) < 0
        || job_registries_setup_types(module, state) < 0
        || started_job_registry_setup_type(module, state) < 0
        || scheduled_job_registry_setup_type(module, state) < 0
        || execution_registry_setup_type(module, state) < 0 || queue_setup_type(module, state) < 0
        || clean_registries_setup(module, state) < 0 || client_check_setup(module) < 0
        || exchange_setup(module) < 0 || registry_call_setup(module) < 0
        || scripts_setup(module) < 0 || base64_setup(module) < 0 || json_text_setup(module) < 0
        || traceback_text_setup(module) < 0) {
        /* PyType_FromModuleAndSpec of CPython 3.11 does not always set an exception when it has no
           memory. */
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return -1;
    }
    return 0;
}

#define EACH_OBJECT(X)                                                                             \
    X(connection_type)                                                                             \
    X(client_pool_type)                                                                            \
    X(attempt_type)                                                                                \
    X(base_registry_type)                                                                          \
    X(guard_type)                                                                                  \
    X(queue_type)                                                                                  \
    X(stand_in_type)                                                                               \
    X(datetime_type)                                                                               \
    X(cleaned_keywords)                                                                            \
    X(registry_keywords)                                                                           \
    X(default_queue_name)

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state *state = PyModule_GetState(module);
#define X(name) Py_VISIT(state->name);
    EACH_OBJECT(X)
#undef X
    int stopped = checked_kinds_traverse(&state->checked_clients, visit, arg);
    if (stopped == 0) {
        stopped = checked_kinds_traverse(&state->checked_pools, visit, arg);
    }
    if (stopped == 0) {
        stopped = type_methods_traverse(&state->type_methods, visit, arg);
    }
    return stopped != 0 ? stopped : installed_rq_traverse(&state->rq, visit, arg);
}

static int
core_clear(PyObject *module)
{
    core_state *state = PyModule_GetState(module);
#define X(name) Py_CLEAR(state->name);
    EACH_OBJECT(X)
#undef X
#define X(name) Py_CLEAR(state->names.name);
    CORE_NAMES(X)
#undef X
    checked_kinds_clear(&state->checked_clients);
    checked_kinds_clear(&state->checked_pools);
    type_methods_clear(&state->type_methods);
    installed_rq_clear(&state->rq);
    return 0;
}

static void
core_free(void *module)
{
    core_clear(module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#ifdef Py_mod_multiple_interpreters
    /* All state is in the module; static variables are never written. */
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef core_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "rqreg_ext._core",
    .m_doc = "The fast path of RQ's job registries, in C over hiredis's reader.",
    .m_size = sizeof(core_state),
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_definition);
}
