/* How many jobs a registry has: get_job_count(), count, len(). */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char get_job_count_doc[];
PyObject *get_job_count(PyObject *self, PyObject *const *values, Py_ssize_t count,
                        PyObject *keywords);

extern const char count_doc[];
/* The getter of the property `count`. */
PyObject *count_get(PyObject *self, void *closure);

/* len(registry). */
Py_ssize_t registry_length(PyObject *self);
