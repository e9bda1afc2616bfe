/* BaseRegistry.__init__: sets the same attributes as RQ's, and also takes a URL as connection. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* tp_init of BaseRegistry. */
int registry_init(PyObject *self, PyObject *args, PyObject *kwargs);

/* Call RQ's __init__ instead; see fallback_getattr for core_type. */
int registry_init_by_rq(PyObject *self, PyTypeObject *core_type, PyObject *args, PyObject *kwargs);
