/* The calls that change a registry: remove and requeue. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char remove_doc[];
PyObject *remove_job(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *keywords);

extern const char requeue_doc[];
PyObject *requeue_job(PyObject *self, PyObject *const *values, Py_ssize_t count,
                      PyObject *keywords);
