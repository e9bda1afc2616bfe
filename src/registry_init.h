/* What making a registry sets: RQ's __init__, with a URL in the place of a client. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* tp_init of BaseRegistry. */
int registry_init(PyObject *self, PyObject *args, PyObject *kwargs);

/* The __init__ behind a core type; see tail_get. */
int registry_init_by_rq(PyObject *self, PyTypeObject *core_type, PyObject *args, PyObject *kwargs);
