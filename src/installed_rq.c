#include "installed_rq.h"

#include <math.h>

#include "module.h"

static int
load_objects(installed_rq *rq, PyObject *facts)
{
#define X(name)                                                                                    \
    rq->name = PyObject_GetAttrString(facts, #name);                                               \
    if (rq->name == NULL) {                                                                        \
        return -1;                                                                                 \
    }
    INSTALLED_RQ_OBJECTS(X)
#undef X
    return 0;
}

static int
load_flag(PyObject *facts, const char *name, bool *flag)
{
    PyObject *value = PyObject_GetAttrString(facts, name);
    int truth = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    *flag = truth == 1;
    return truth < 0 ? -1 : 0;
}

int
installed_rq_load(installed_rq *rq)
{
    if (rq->is_loaded) {
        return 0;
    }
    PyObject *facts = PyImport_ImportModule("rqreg_ext._installed_rq");
    if (facts == NULL) {
        return -1;
    }
    installed_rq fresh = {0};
    int result = load_objects(&fresh, facts);
    if (result == 0) {
        result = load_flag(facts, "is_known", &fresh.is_known);
    }
    if (result == 0) {
        result = load_flag(facts, "delete_keeps_status", &fresh.delete_keeps_status);
    }
    Py_DECREF(facts);
    if (result < 0) {
        installed_rq_clear(&fresh);
        return -1;
    }
    if (rq->is_loaded) {
        /* Another thread was faster while the import ran. */
        installed_rq_clear(&fresh);
        return 0;
    }
    *rq = fresh;
    rq->is_loaded = true;
    return 0;
}

void
installed_rq_clear(installed_rq *rq)
{
    rq->is_loaded = false;
#define X(name) Py_CLEAR(rq->name);
    INSTALLED_RQ_OBJECTS(X)
#undef X
}

int
installed_rq_traverse(const installed_rq *rq, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(rq->name);
    INSTALLED_RQ_OBJECTS(X)
#undef X
    return 0;
}

PyObject *
installed_rq_name(const installed_rq *rq, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(rq->registry_globals, name);
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_AttributeError, "module 'rq.registry' has no attribute %R", name);
    }
    return Py_XNewRef(value);
}

bool
installed_rq_is_untouched(PyObject *guards)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(guards); i++) {
        PyObject *guard = PyTuple_GET_ITEM(guards, i);
        PyObject *owner = PyTuple_GET_ITEM(guard, 0);
        PyObject *names
            = PyModule_Check(owner) ? PyModule_GetDict(owner) : ((PyTypeObject *)owner)->tp_dict;
        PyObject *value = PyDict_GetItemWithError(names, PyTuple_GET_ITEM(guard, 1));
        if (value != PyTuple_GET_ITEM(guard, 2)) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

bool
installed_rq_resolves_to_itself(const core_state *state, const PyObject *serializer)
{
    const installed_rq *rq = &state->rq;
    bool is_own = false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(rq->own_serializers); i++) {
        is_own = is_own || serializer == PyTuple_GET_ITEM(rq->own_serializers, i);
    }
    bool resolves
        = is_own
          && PyDict_GetItemWithError(rq->registry_globals, state->names.resolve_serializer)
                 == rq->resolve_serializer;
    PyErr_Clear();
    return resolves;
}

/* Whether RQ's current_timestamp() would read the system's clock: not under a test that stopped it. */
static bool
clock_runs(const core_state *state)
{
    const installed_rq *rq = &state->rq;
    bool runs = PyDict_GetItemWithError(rq->registry_globals, state->names.current_timestamp)
                    == rq->current_timestamp
                && PyDict_GetItemWithError(rq->utils_globals, state->names.now) == rq->now
                && PyDict_GetItemWithError(rq->datetime_globals, state->names.datetime)
                       == rq->datetime_type;
    PyErr_Clear();
    return runs;
}

PyObject *
installed_rq_now(const core_state *state)
{
    if (!clock_runs(state)) {
        PyObject *current_timestamp = installed_rq_name(&state->rq, state->names.current_timestamp);
        PyObject *now = current_timestamp == NULL ? NULL : PyObject_CallNoArgs(current_timestamp);
        Py_XDECREF(current_timestamp);
        return now;
    }
    PyObject *time = PyObject_CallNoArgs(state->rq.time);
    double seconds = time == NULL ? -1 : PyFloat_AsDouble(time);
    Py_XDECREF(time);
    return PyErr_Occurred() ? NULL : PyLong_FromDouble(floor(seconds));
}
