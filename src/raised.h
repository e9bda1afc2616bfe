/* Take the exception that is set, and set it again. CPython 3.12 and newer keep it as one object,
   and deprecate the functions that older releases have for this. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Take the exception that is set, a new reference to the object; NULL where none is. */
static inline PyObject *
raised_take(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Set an exception again as it was taken, in the place of one that may be set; steals it. */
static inline void
raised_put_back(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    PyObject *type = error == NULL ? NULL : Py_NewRef((PyObject *)Py_TYPE(error));
    PyErr_Restore(type, error, error == NULL ? NULL : PyException_GetTraceback(error));
#endif
}

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
raised_put_back_unless_raised(PyObject *error, PyObject *result)
{
    if (result == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    Py_DECREF(result);
    raised_put_back(error);
    return 0;
}

/* A file that includes this one must use the functions above: these names no longer compile. */
#pragma GCC poison PyErr_Fetch PyErr_Restore PyErr_NormalizeException
