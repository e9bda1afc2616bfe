/* The C side of rqreg_ext._clients, which knows redis-py's clients, pools and connections. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Call a function of rqreg_ext._clients with one argument, or with two where `second` is not NULL. */
PyObject *clients_call(const char *function, PyObject *first, PyObject *second);
