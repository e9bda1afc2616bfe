/* Turns failures of a connection into redis-py's exceptions, with redis-py's messages. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "transport.h"

/* The exception classes that the core raises itself; owned. */
typedef struct {
    PyObject *ConnectionError;
    PyObject *TimeoutError;
    PyObject *InvalidResponse;
    PyObject *NoScriptError;
} redis_exceptions;

/* Load them from a module like redis.exceptions. */
int redis_exceptions_load(redis_exceptions *exceptions, const char *module_name);
void redis_exceptions_clear(redis_exceptions *exceptions);
int redis_exceptions_traverse(const redis_exceptions *exceptions, visitproc visit, void *arg);

/* Set the exception that redis-py raises for this failure; releases failure->args. */
void errors_set_io(const redis_exceptions *exceptions, PyObject *redis_connection,
                   io_failure *failure);
void errors_set_broken_reply(const redis_exceptions *exceptions, const char *problem);
void errors_set_demoted_master(const redis_exceptions *exceptions);
/* The exception that redis-py's parser makes of the server's error message (bytes), a new
   reference. */
PyObject *errors_from_reply(PyObject *redis_connection, PyObject *message);

/* Whether it is an error of the connection, after which a Retry may send again. */
bool errors_is_connection_failure(const redis_exceptions *exceptions, PyObject *error);
/* Set an exception instance; steals the reference. */
void errors_raise(PyObject *error);
