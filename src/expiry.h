/* When entries expire, and the cleanup that removes expired entries. */
#pragma once

#include "dispatch.h"

/* CALL_DONE: *score is the given Unix timestamp, or the current one for None. CALL_FALLBACK if it
   is neither int nor float: redis-py must judge it. */
call_outcome registry_timestamp(const fast_call *call, PyObject *timestamp, PyObject **score);
/* The datetime, in UTC, of a score. */
PyObject *registry_datetime(const fast_call *call, PyObject *score);

extern const char get_expiration_time_doc[];
PyObject *get_expiration_time(PyObject *self, PyObject *const *values, Py_ssize_t count,
                              PyObject *keywords);

/* cleanup() of the registries where it only removes expired entries. */
PyObject *cleanup_expired(PyObject *self, PyObject *const *values, Py_ssize_t count,
                          PyObject *keywords);
extern const char cleanup_expired_doc[];
#define CLEANUP_EXPIRED_METHOD                                                                     \
    {"cleanup", AS_METHOD(cleanup_expired), METH_FASTCALL | METH_KEYWORDS, cleanup_expired_doc}
