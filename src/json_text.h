/* The JSON of what Redis replies, as an export has it: a value that is UTF-8 is a string, any other
   is {"base64": "..."}. In Python, each value needs calls of its own. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int json_text_setup(PyObject *module);
