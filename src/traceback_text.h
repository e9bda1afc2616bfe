/* Finds the exception that the text of a traceback ends with: a loop over its lines, which takes
   Python many times as long. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int traceback_text_setup(PyObject *module);
