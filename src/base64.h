/* Decodes base64, in which RQ writes the traceback of a job into its result. The standard library's
   decoder is several times slower. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int base64_setup(PyObject *module);
