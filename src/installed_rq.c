#include "installed_rq.h"

#include <math.h>

#include "guard.h"

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
installed_rq_load(core_state *state)
{
    installed_rq *rq = &state->rq;
    if (rq->is_loaded) {
        return 0;
    }
    PyObject *facts = PyImport_ImportModule("rqreg_ext._fastpath.installed_rq");
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
    thread_lock_acquire(&state->lock);
    /* Another thread may have loaded it while the import ran. */
    bool is_first = !rq->is_loaded;
    if (is_first) {
        *rq = fresh;
        rq->is_loaded = true;
    }
    thread_lock_release(&state->lock);
    if (!is_first) {
        installed_rq_clear(&fresh);
    }
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
    PyObject *value = dict_get(rq->registry_globals, name);
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_AttributeError, "module 'rq.registry' has no attribute %R", name);
    }
    return value;
}

int
installed_rq_resolves_to_itself(const core_state *state, const PyObject *serializer)
{
    const installed_rq *rq = &state->rq;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(rq->own_serializers); i++) {
        if (serializer == PyTuple_GET_ITEM(rq->own_serializers, i)) {
            return guard_holds(rq->serializer_guard);
        }
    }
    return 0;
}

/* Whether RQ's current_timestamp() reads the system's clock. Not where a test has replaced
   datetime. 1, 0, or -1 with an exception. */
static int
clock_runs(const core_state *state)
{
    PyObject *datetime = PyDict_GetItemWithError(state->rq.datetime_globals, state->names.datetime);
    if (datetime != state->datetime_type) {
        return PyErr_Occurred() == NULL ? 0 : -1;
    }
    return guard_holds(state->rq.clock_guard);
}

/* The function time.time, a new reference; NULL, without an exception, if it was replaced. The core
   calls it, and reads no clock by itself, since libraries like time-machine change what it
   returns. */
static PyObject *
original_time(const core_state *state)
{
    PyObject *time = dict_get(state->rq.time_globals, state->names.time);
    PyObject *module
        = time != NULL && PyCFunction_CheckExact(time) ? PyCFunction_GetSelf(time) : NULL;
    if (module == NULL || !PyModule_Check(module)
        || PyModule_GetDict(module) != state->rq.time_globals) {
        Py_CLEAR(time);
    }
    return time;
}

static PyObject *
now_by_rq(const core_state *state)
{
    PyObject *current_timestamp = installed_rq_name(&state->rq, state->names.current_timestamp);
    PyObject *now = current_timestamp == NULL ? NULL : PyObject_CallNoArgs(current_timestamp);
    Py_XDECREF(current_timestamp);
    return now;
}

PyObject *
installed_rq_now(const core_state *state)
{
    int runs = clock_runs(state);
    PyObject *time = runs == 1 ? original_time(state) : NULL;
    if (time == NULL) {
        return runs < 0 || PyErr_Occurred() != NULL ? NULL : now_by_rq(state);
    }
    PyObject *moment = PyObject_CallNoArgs(time);
    Py_DECREF(time);
    double seconds = moment == NULL ? -1 : PyFloat_AsDouble(moment);
    Py_XDECREF(moment);
    return PyErr_Occurred() ? NULL : PyLong_FromDouble(floor(seconds));
}
