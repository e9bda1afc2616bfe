/* The ids of the jobs in a registry. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char get_job_ids_doc[];
PyObject *get_job_ids(PyObject *self, PyObject *const *values, Py_ssize_t count,
                      PyObject *keywords);

extern const char get_expired_job_ids_doc[];
PyObject *get_expired_job_ids(PyObject *self, PyObject *const *values, Py_ssize_t count,
                              PyObject *keywords);

/* For started jobs only: each job's id with that of its execution. */
PyObject *get_job_and_execution_ids(PyObject *self, PyObject *const *values, Py_ssize_t count,
                                    PyObject *keywords);
