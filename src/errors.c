#include "errors.h"

#include "python_calls.h"

#define EACH_EXCEPTION(X)                                                                          \
    X(ConnectionError)                                                                             \
    X(TimeoutError)                                                                                \
    X(InvalidResponse)                                                                             \
    X(NoScriptError)

int
redis_exceptions_load(redis_exceptions *exceptions, const char *module_name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return -1;
    }
    bool is_complete = true;
#define X(name)                                                                                    \
    exceptions->name = is_complete ? PyObject_GetAttrString(module, #name) : NULL;                 \
    is_complete = exceptions->name != NULL;
    EACH_EXCEPTION(X)
#undef X
    Py_DECREF(module);
    if (!is_complete) {
        redis_exceptions_clear(exceptions);
        return -1;
    }
    return 0;
}

void
redis_exceptions_clear(redis_exceptions *exceptions)
{
#define X(name) Py_CLEAR(exceptions->name);
    EACH_EXCEPTION(X)
#undef X
}

int
redis_exceptions_traverse(const redis_exceptions *exceptions, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(exceptions->name);
    EACH_EXCEPTION(X)
#undef X
    return 0;
}

/* redis-py's message for an OSError while writing depends on the number of its arguments. */
static void
set_write_error(const redis_exceptions *exceptions, PyObject *args)
{
    if (PyTuple_Check(args) && PyTuple_GET_SIZE(args) == 1) {
        PyErr_Format(exceptions->ConnectionError, "Error UNKNOWN while writing to socket. %S.",
                     PyTuple_GET_ITEM(args, 0));
    }
    else if (PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 1) {
        PyErr_Format(exceptions->ConnectionError, "Error %S while writing to socket. %S.",
                     PyTuple_GET_ITEM(args, 0), PyTuple_GET_ITEM(args, 1));
    }
    else {
        PyErr_SetString(exceptions->ConnectionError, "Error UNKNOWN while writing to socket. .");
    }
}

/* redis-py's message for an OSError while reading depends on its parser. */
static void
set_read_error(const redis_exceptions *exceptions, PyObject *redis_connection, PyObject *args)
{
    PyObject *words
        = call_fastpath("clients.errors", "reading_error", "(OO)", redis_connection, args);
    if (words != NULL) {
        PyErr_SetObject(exceptions->ConnectionError, words);
        Py_DECREF(words);
    }
}

void
errors_set_io(const redis_exceptions *exceptions, PyObject *redis_connection, io_failure *failure)
{
    switch (failure->status) {
    case IO_CLOSED:
        PyErr_SetString(exceptions->ConnectionError, "Connection closed by server.");
        break;
    case IO_FORKED:
        PyErr_SetString(
            exceptions->ConnectionError,
            "The process forked in the middle of the call, and the connection is its parent's");
        break;
    case IO_TIMEOUT:
        PyErr_SetString(exceptions->TimeoutError, failure->is_writing
                                                      ? "Timeout writing to socket"
                                                      : "Timeout reading from socket");
        break;
    case IO_FAILED:
        if (failure->is_writing) {
            set_write_error(exceptions, failure->args);
        }
        else {
            set_read_error(exceptions, redis_connection, failure->args);
        }
        break;
    case IO_RAISED:
    case IO_DONE:
        break;
    }
    Py_CLEAR(failure->args);
}

void
errors_set_broken_reply(const redis_exceptions *exceptions, const char *problem)
{
    PyErr_Format(exceptions->InvalidResponse, "Protocol Error: %s", problem);
}

void
errors_set_demoted_master(const redis_exceptions *exceptions)
{
    PyErr_SetString(exceptions->ConnectionError, "The previous master is now a slave");
}

PyObject *
errors_from_reply(PyObject *redis_connection, PyObject *message)
{
    PyObject *text
        = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), "replace");
    PyObject *parser = text == NULL ? NULL : PyObject_GetAttrString(redis_connection, "_parser");
    PyObject *error = NULL;
    if (parser != NULL) {
        error = PyObject_CallMethod(parser, "parse_error", "O", text);
    }
    if (error != NULL && !PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "parse_error() returned %R, which is not an exception",
                     error);
        Py_CLEAR(error);
    }
    Py_XDECREF(parser);
    Py_XDECREF(text);
    return error;
}

bool
errors_is_connection_failure(const redis_exceptions *exceptions, PyObject *error)
{
    return PyErr_GivenExceptionMatches(error, exceptions->ConnectionError)
           || PyErr_GivenExceptionMatches(error, exceptions->TimeoutError);
}

void
errors_raise(PyObject *error)
{
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
}
