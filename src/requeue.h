/* requeue() of a registry: a script does what RQ's methods do, if the job is of a kind that the
   script knows. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char requeue_doc[];
PyObject *requeue_job(PyObject *self, PyObject *const *values, Py_ssize_t count,
                      PyObject *keywords);
