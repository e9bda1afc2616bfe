/* The text of a job's failure, as RQ writes it into a result: base64 of a compressed traceback. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

int failure_text_setup(PyObject *module);
