/* How a registry lies in memory. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* RQ keeps a registry's attributes in its __dict__, and so do we: they can be read, set and
   patched. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weak_references;
} base_registry;

/* The attributes of a registry: a dict, a new reference; or NULL where it has none. */
static inline PyObject *
registry_attributes(PyObject *self)
{
#ifdef Py_GIL_DISABLED
    return PyObject_GenericGetDict(self, NULL);
#else
    return Py_XNewRef(((base_registry *)self)->dict);
#endif
}
