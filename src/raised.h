/* The exception that is set: CPython's functions of 3.12 for older releases, and two steps more. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030C0000
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *error)
{
    PyObject *type = error == NULL ? NULL : Py_NewRef((PyObject *)Py_TYPE(error));
    PyErr_Restore(type, error, error == NULL ? NULL : PyException_GetTraceback(error));
}
#endif

/* Clear an exception of this class. 0; or -1 if another one is set, which stays. */
static inline int
raised_clear(PyObject *class)
{
    if (PyErr_Occurred() != NULL && !PyErr_ExceptionMatches(class)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* Put the exception back after a call. Steals the exception and the result of the call. Returns 0;
   or -1 if the result is NULL: then the exception that the call raised stays set instead. */
static inline int
set_raised_unless_failed(PyObject *error, PyObject *result)
{
    if (result == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    Py_DECREF(result);
    PyErr_SetRaisedException(error);
    return 0;
}

/* A file that includes this one must use the functions above: these names no longer compile. */
#pragma GCC poison PyErr_Fetch PyErr_Restore PyErr_NormalizeException
