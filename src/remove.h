/* remove() of a registry. With delete_job=True, a script does what RQ's methods do in a dozen
   commands, if the job is of a kind that the script knows. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char remove_doc[];
PyObject *remove_job(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *keywords);
