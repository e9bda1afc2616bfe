#include "pool_lookup.h"

#include "client_check.h"

/* Our pool among the attributes of a redis-py pool, a new reference; or NULL. A copy of a
   redis-py pool has the attribute too, but our pool was made for the original. */
static client_pool *
kept_by(core_state *state, PyObject *redis_pool, PyObject *attributes)
{
    PyObject *kept = dict_get(attributes, state->names._rqreg_ext_pool);
    PyObject *made_for = kept != NULL && Py_IS_TYPE(kept, state->client_pool_type)
                             ? client_pool_redis_pool((client_pool *)kept)
                             : NULL;
    Py_XDECREF(made_for);
    if (made_for != redis_pool) {
        Py_CLEAR(kept);
    }
    return (client_pool *)kept;
}

/* Keep a new pool, or return the one that another thread has kept meanwhile. A new reference; NULL
   with an exception. */
static client_pool *
keep(core_state *state, PyObject *redis_pool, PyObject *attributes, client_pool *fresh)
{
    client_pool *kept;
    PyObject *replaced = NULL;
    Py_BEGIN_CRITICAL_SECTION(attributes);
    kept = kept_by(state, redis_pool, attributes);
    if (kept == NULL && !PyErr_Occurred()) {
        /* Released after the critical section. */
        replaced = dict_get(attributes, state->names._rqreg_ext_pool);
    }
    if (kept == NULL && !PyErr_Occurred()
        && PyDict_SetItem(attributes, state->names._rqreg_ext_pool, (PyObject *)fresh) == 0) {
        kept = (client_pool *)Py_NewRef((PyObject *)fresh);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(replaced);
    return kept;
}

/* Our pool is kept in the redis-py pool's __dict__: they live equally long, and the garbage
   collector can free a cycle through both. */
static client_pool *
find_or_create(core_state *state, PyObject *redis_pool)
{
    PyObject *attributes = PyObject_GenericGetDict(redis_pool, NULL);
    if (attributes == NULL) {
        return NULL;
    }
    client_pool *self = kept_by(state, redis_pool, attributes);
    client_pool *fresh
        = self != NULL || PyErr_Occurred() ? NULL : client_pool_new(state, redis_pool);
    if (fresh != NULL) {
        self = keep(state, redis_pool, attributes, fresh);
        Py_DECREF(fresh);
    }
    Py_DECREF(attributes);
    return self;
}

/* Whether the client has a connection to itself (single_connection_client=True), whose state, like
   the database, may differ from the pool's. 1, 0, or -1 with an exception. */
static int
has_own_connection(core_state *state, PyObject *client)
{
    PyObject *own = PyObject_GetAttr(client, state->names.connection);
    if (own == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(own);
    return own == NULL ? -1 : own != Py_None;
}

/* Whether the pool's connections are redis-py's own, so that the core may use its own in their
   place. `is_write_traced`: NULL if no tracer is allowed; else *is_write_traced tells whether
   tracers wrap the methods by which connections write. */
static bool
pool_is_usable(core_state *state, PyObject *redis_pool, bool *is_write_traced)
{
    PyObject *answer = client_check_pool(state, redis_pool);
    bool may = answer == Py_True;
    if (is_write_traced != NULL && answer != NULL && PyUnicode_Check(answer)) {
        *is_write_traced = PyUnicode_CompareWithASCIIString(answer, "traced") == 0;
        may = *is_write_traced;
    }
    Py_XDECREF(answer);
    return may;
}

static client_pool *
find_pool(core_state *state, PyObject *client, bool *is_write_traced)
{
    PyObject *redis_pool = PyObject_GetAttr(client, state->names.connection_pool);
    if (redis_pool == NULL) {
        return NULL;
    }
    client_pool *self = pool_is_usable(state, redis_pool, is_write_traced)
                            ? find_or_create(state, redis_pool)
                            : NULL;
    Py_DECREF(redis_pool);
    if (self != NULL && client_pool_is_refused(self)) {
        Py_CLEAR(self);
    }
    return self;
}

client_pool *
find_pool_unchecked(core_state *state, PyObject *client)
{
    return find_pool(state, client, NULL);
}

/* The Observations of clients of this kind, a new reference. NULL, perhaps with an exception, if
   these must be used by their methods. */
static PyObject *
observations_of(core_state *state, PyObject *kind)
{
    PyObject *found = PyObject_GetAttr(kind, state->names.observations);
    if (found == NULL || found == Py_None) {
        Py_XDECREF(found);
        return NULL;
    }
    PyObject *is_opaque = PyObject_GetAttr(found, state->names.is_opaque);
    if (is_opaque != Py_False) {
        Py_CLEAR(found);
    }
    Py_XDECREF(is_opaque);
    return found;
}

/* Whether the core may use connections of its own for a client that was answered this. */
static bool
core_may_serve(core_state *state, PyObject *answer, PyObject **observations)
{
    if (answer == NULL || answer == Py_True) {
        return answer != NULL;
    }
    if (observations == NULL || answer == Py_None || PyUnicode_Check(answer)) {
        return false;
    }
    *observations = observations_of(state, answer);
    return *observations != NULL;
}

client_pool *
find_client_pool(core_state *state, PyObject *client, bool *is_cluster, PyObject **observations,
                 bool *is_write_traced)
{
    PyObject *answer = client_check_client(state, client);
    /* Of clients, only a cluster's is described by a str. */
    *is_cluster = answer != NULL && PyUnicode_Check(answer);
    if (observations != NULL) {
        *observations = NULL;
    }
    client_pool *self = NULL;
    if (core_may_serve(state, answer, observations) && has_own_connection(state, client) == 0) {
        bool is_wrapped = observations != NULL && *observations != NULL;
        self = find_pool(state, client, is_wrapped ? is_write_traced : NULL);
    }
    if (self == NULL && observations != NULL) {
        Py_CLEAR(*observations);
    }
    Py_XDECREF(answer);
    return self;
}
