/* What making a registry sets: RQ's __init__, with a URL in the place of a client. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* tp_init of BaseRegistry. */
int registry_init(PyObject *self, PyObject *args, PyObject *kwargs);
