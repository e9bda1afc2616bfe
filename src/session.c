#include "session.h"

#include "connection_exchange.h"
#include "python_calls.h"

/* The list of a redis-py pool's idle connections, a new reference; NULL if there is none, perhaps
   with an exception. A blocking pool has its idle connections in a queue, with None for each that
   is not made yet. */
static PyObject *
idle_list(const core_state *state, PyObject *attributes)
{
    PyObject *idle = dict_get(attributes, state->names._available_connections);
    if (idle == NULL && !PyErr_Occurred()) {
        PyObject *queue = dict_get(attributes, state->names.pool);
        PyObject *of_queue = queue == NULL ? NULL : PyObject_GenericGetDict(queue, NULL);
        idle = of_queue == NULL ? NULL : dict_get(of_queue, state->names.queue);
        Py_XDECREF(of_queue);
        Py_XDECREF(queue);
    }
    if (idle != NULL && !PyList_Check(idle)) {
        Py_CLEAR(idle);
    }
    return idle;
}

/* The connection that redis-py would use next, a new reference, or NULL if it would make a new one.
   -1 with an exception. */
static int
next_of_redis_py(const core_state *state, PyObject *redis_pool, PyObject **next)
{
    PyObject *attributes = PyObject_GenericGetDict(redis_pool, NULL);
    PyObject *idle = attributes == NULL ? NULL : idle_list(state, attributes);
    PyObject *last = idle == NULL ? NULL : list_get(idle, -1);
    if (last == Py_None) {
        Py_CLEAR(last);
    }
    Py_XDECREF(idle);
    Py_XDECREF(attributes);
    *next = last;
    if (last != NULL || PyErr_Occurred() == NULL) {
        return 0;
    }
    /* One without a __dict__ keeps its connections elsewhere. */
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* The result of an earlier comparison of this connection: 1 or 0; -1 without an exception if there
   was none. */
static int
known_answer(const core_state *state, PyObject *redis_connection)
{
    PyObject *attributes = PyObject_GenericGetDict(redis_connection, NULL);
    PyObject *answer = attributes == NULL
                           ? NULL
                           : PyDict_GetItemWithError(attributes, state->names._rqreg_ext_is_same);
    int known = answer == NULL ? -1 : answer == Py_True;
    Py_XDECREF(attributes);
    PyErr_Clear();
    return known;
}

/* The reply to CLIENT INFO on our connection, or the server's error as an exception object. */
static PyObject *
describe(core_connection *ours)
{
    command_buffer commands;
    reply replies[1] = {{.value = NULL}};
    const reply_spec spec = {.shape = REPLY_VALUE};
    command_init(&commands);
    command_start(&commands, "CLIENT", 1);
    command_add_text(&commands, "INFO");
    PyObject *description = NULL;
    if (command_check(&commands) == 0
        && connection_exchange(ours, &commands, &spec, replies) == 0) {
        description = replies[0].error != NULL ? replies[0].error : replies[0].value;
        Py_INCREF(description);
        replies_clear(replies, 1);
    }
    command_clear(&commands);
    return description;
}

static int
compare(PyObject *redis_pool, core_connection *ours)
{
    PyObject *description = describe(ours);
    int is_same = description == NULL ? -1
                                      : ask_fastpath("clients.session", "is_same_session", "(OO)",
                                                     redis_pool, description);
    Py_XDECREF(description);
    return is_same;
}

int
session_compare(const client_pool *pool, core_connection *ours)
{
    PyObject *redis_pool = client_pool_redis_pool(pool);
    PyObject *theirs = NULL;
    int is_same = 1;
    if (redis_pool != NULL && next_of_redis_py(client_pool_state(pool), redis_pool, &theirs) < 0) {
        is_same = -1;
    }
    else if (theirs != NULL) {
        is_same = known_answer(client_pool_state(pool), theirs);
        if (is_same < 0) {
            is_same = compare(redis_pool, ours);
        }
    }
    Py_XDECREF(theirs);
    Py_XDECREF(redis_pool);
    return is_same;
}
