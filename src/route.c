#include "route.h"

/* ---- To the head? ------------------------------------------------------------------------------ */

route
route_begin(head *call, PyObject *self)
{
    *call = (head){.state = core_state_of(Py_TYPE(self)), .self = self};
    if (call->state == NULL || installed_rq_load(&call->state->rq) < 0) {
        return TO_CALLER;
    }
    call->connection = PyObject_GetAttr(self, call->state->names.connection);
    if (call->connection != NULL) {
        call->key = PyObject_GetAttr(self, call->state->names.key);
    }
    if (call->key != NULL && PyUnicode_CheckExact(call->key)) {
        call->pool = client_pool_find(call->state, call->connection);
        if (call->pool != NULL) {
            return TO_HEAD;
        }
    }
    head_end(call);
    /* A client of another kind: its own errors are those that RQ's path meets. */
    if (PyErr_Occurred() != NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
    }
    return route_elsewhere();
}

route
route_elsewhere(void)
{
    if (PyErr_Occurred() == NULL) {
        return TO_TAIL;
    }
    if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return TO_TAIL;
    }
    return TO_CALLER;
}

void
head_end(head *call)
{
    Py_CLEAR(call->connection);
    Py_CLEAR(call->key);
    Py_CLEAR(call->pool);
}

bool
route_is_own(PyObject *self, PyObject *name, PyCFunction own)
{
    PyObject *method = PyObject_GetAttr(self, name);
    bool is_own = method != NULL && PyCFunction_Check(method)
                  && PyCFunction_GetFunction(method) == own && PyCFunction_GetSelf(method) == self;
    Py_XDECREF(method);
    return is_own;
}

static cleanup_kind
kind_of(const core_state *state, PyObject *method)
{
    const installed_rq *rq = &state->rq;
    if (PyCFunction_Check(method)) {
        bool is_own = PyCFunction_GetFunction(method) == state->own_cleanup;
        return is_own && rq->is_known ? CLEANUP_DROPS_EXPIRED : CLEANUP_UNKNOWN;
    }
    if (!PyMethod_Check(method)) {
        return CLEANUP_UNKNOWN;
    }
    PyObject *kind = PyDict_GetItemWithError(rq->cleanups, PyMethod_GET_FUNCTION(method));
    return kind == NULL ? CLEANUP_UNKNOWN : (cleanup_kind)PyLong_AsLong(kind);
}

/* RQ's cleanups that act on expired entries ask self.get_expired_job_ids() for them. */
static bool
finds_expired_itself(const head *call)
{
    return route_is_own(call->self, call->state->names.get_expired_job_ids,
                        call->state->own_get_expired_job_ids)
           && route_entries(call) != ENTRIES_UNKNOWN;
}

cleanup_kind
route_cleanup(const head *call)
{
    PyObject *method = PyObject_GetAttr(call->self, call->state->names.cleanup);
    cleanup_kind kind = method == NULL ? CLEANUP_UNKNOWN : kind_of(call->state, method);
    Py_XDECREF(method);
    if (kind == CLEANUP_IF_EXPIRED && !finds_expired_itself(call)) {
        return CLEANUP_UNKNOWN;
    }
    return kind;
}

entry_kind
route_entries(const head *call)
{
    const installed_rq *rq = &call->state->rq;
    PyObject *parse = PyObject_GetAttr(call->self, call->state->names.parse_job_id);
    entry_kind kind = ENTRIES_UNKNOWN;
    if (parse == rq->parse_job_id) {
        kind = ENTRIES_ARE_JOBS;
    }
    else if (parse == rq->parse_started_job_id && route_can_cut(call)) {
        kind = ENTRIES_ARE_STARTS;
    }
    Py_XDECREF(parse);
    return kind;
}

bool
route_can_cut(const head *call)
{
    return !client_pool_decodes(call->pool);
}

/* ---- To the tail ------------------------------------------------------------------------------- */

PyObject *
tail_get(PyObject *self, const char *name)
{
    core_state *state = core_state_of(Py_TYPE(self));
    PyObject *behind = state == NULL
                           ? NULL
                           : PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type,
                                                          state->base_registry_type, self, NULL);
    PyObject *value = behind == NULL ? NULL : PyObject_GetAttrString(behind, name);
    Py_XDECREF(behind);
    return value;
}

static PyObject *
tail_call(PyObject *self, const char *name, const call_arguments *given)
{
    PyObject *method = tail_get(self, name);
    PyObject *result = method == NULL ? NULL
                                      : PyObject_Vectorcall(method, given->values,
                                                            (size_t)given->count, given->keywords);
    Py_XDECREF(method);
    return result;
}

/* ---- Calls ------------------------------------------------------------------------------------- */

PyObject *
route_call(PyObject *self, const char *name, head_method serve, const call_arguments *given)
{
    head call;
    PyObject *value = NULL;
    route way = route_begin(&call, self);
    if (way == TO_HEAD) {
        way = serve(&call, given, &value);
        head_end(&call);
    }
    return way == TO_TAIL ? tail_call(self, name, given) : value;
}

int
route_contains(PyObject *self, PyObject *item, head_contains serve)
{
    head call;
    PyObject *answer = NULL;
    route way = route_begin(&call, self);
    if (way == TO_HEAD) {
        way = serve(&call, item, &answer);
        head_end(&call);
    }
    if (way == TO_TAIL) {
        const call_arguments given = {&item, 1, NULL};
        answer = tail_call(self, "__contains__", &given);
    }
    int is_in = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return is_in;
}

/* ---- Arguments --------------------------------------------------------------------------------- */

static Py_ssize_t
position_of(PyObject *name, PyObject *const *names, Py_ssize_t names_count)
{
    for (Py_ssize_t i = 0; i < names_count; i++) {
        if (name == names[i]) {
            return i;
        }
    }
    for (Py_ssize_t i = 0; i < names_count; i++) {
        if (PyUnicode_Compare(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int
plain_truth(PyObject *argument, bool otherwise)
{
    if (argument == NULL) {
        return otherwise;
    }
    bool is_plain = PyBool_Check(argument) || argument == Py_None || PyLong_CheckExact(argument);
    return is_plain ? PyObject_IsTrue(argument) : -1;
}

bool
bind_arguments(const call_arguments *given, PyObject *const *names, Py_ssize_t names_count,
               PyObject **values)
{
    if (given->count > names_count) {
        return false;
    }
    for (Py_ssize_t i = 0; i < names_count; i++) {
        values[i] = i < given->count ? given->values[i] : NULL;
    }
    Py_ssize_t keywords = given->keywords == NULL ? 0 : PyTuple_GET_SIZE(given->keywords);
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(given->keywords, i);
        Py_ssize_t position = position_of(name, names, names_count);
        if (position < 0 || values[position] != NULL) {
            PyErr_Clear();
            return false;
        }
        values[position] = given->values[given->count + i];
    }
    return true;
}
