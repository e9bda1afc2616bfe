/* Calls of functions in rqreg_ext/_fastpath, the Python half of the core. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Call a function of rqreg_ext._fastpath.<module>. `format` is that of Py_BuildValue for a tuple:
   "(OO)". */
PyObject *call_fastpath(const char *module, const char *function, const char *format, ...);
/* The truth of what such a function returns: 1, 0, or -1 with an exception. */
int ask_fastpath(const char *module, const char *function, const char *format, ...);
