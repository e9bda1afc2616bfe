#include "redis_connection.h"

#include "python_calls.h"

PyObject *
redis_connection_new(PyObject *connection_class, PyObject *connection_kwargs)
{
    PyObject *no_args = PyTuple_New(0);
    PyObject *redis_connection
        = no_args == NULL ? NULL : PyObject_Call(connection_class, no_args, connection_kwargs);
    Py_XDECREF(no_args);
    return redis_connection;
}

PyObject *
redis_connection_socket(PyObject *redis_connection)
{
    PyObject *socket = PyObject_GetAttrString(redis_connection, "_sock");
    PyObject *module = socket == NULL ? NULL : PyImport_ImportModule("socket");
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "socket");
    /* Looked up each time, since gevent replaces socket.socket. */
    int is_real = type == NULL ? -1 : PyObject_IsInstance(socket, type);
    Py_XDECREF(type);
    Py_XDECREF(module);
    if (is_real != 1) {
        Py_CLEAR(socket);
    }
    if (is_real < 0 && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return socket;
}

int
redis_connection_writes_as_original(PyObject *redis_connection)
{
    return ask_fastpath("clients.pools", "writes_as_redis_py", "(O)", redis_connection);
}

int
redis_connection_health_check_interval(PyObject *redis_connection, double *seconds)
{
    PyObject *interval = PyObject_GetAttrString(redis_connection, "health_check_interval");
    if (interval == NULL) {
        return -1;
    }
    *seconds = PyFloat_AsDouble(interval);
    Py_DECREF(interval);
    return PyErr_Occurred() ? -1 : 0;
}

int
redis_connection_is_demoted_master(PyObject *redis_connection, PyObject *error)
{
    return ask_fastpath("clients.errors", "is_demoted", "(OO)", redis_connection, error);
}
