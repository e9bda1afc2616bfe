/* The one place that turns what went wrong on a connection into redis-py's exceptions. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "transport.h"

/* redis-py's exception classes that we name ourselves; new references. */
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

/* Raise what redis-py raises for this failure; releases failure->args. */
void errors_set_io(const redis_exceptions *exceptions, PyObject *redis_connection,
                   io_failure *failure);
void errors_set_broken_reply(const redis_exceptions *exceptions, const char *problem);
void errors_set_demoted_master(const redis_exceptions *exceptions);
/* The exception that redis-py's parser makes of the server's message (bytes): a new reference. */
PyObject *errors_from_reply(PyObject *redis_connection, PyObject *message);

/* Whether redis-py counts it among the failures of a connection, which its Retry may try again. */
bool errors_is_connection_failure(const redis_exceptions *exceptions, PyObject *error);
/* Raise an exception instance; steals the reference. */
void errors_raise(PyObject *error);
/* After a call made while an exception was put aside (PyErr_Fetch): 0, and that exception is set again; or,
   where the call raised (`result` is NULL), -1, and the call's exception stays in its place. Steals all. */
int errors_restore_unless_raised(PyObject *result, PyObject *type, PyObject *value,
                                 PyObject *traceback);
