/* Decodes base64, in which RQ writes the traceback of a job into its result. The standard library's
   decoder is several times slower. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The bytes of a base64 text; None if it has other characters, or no whole number of groups of
   four. */
PyObject *base64_decode(const char *text, Py_ssize_t length);

int base64_setup(PyObject *module);
