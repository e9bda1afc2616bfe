/* Base64, in which RQ writes the traceback of a job into its result, and an export what is not
   UTF-8. The standard library's functions are several times slower. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The bytes of a base64 text; None if it has other characters, or no whole number of groups of
   four. */
PyObject *base64_decode(const char *text, Py_ssize_t length);

/* The length of the base64 text of so many bytes. */
static inline size_t
base64_length(size_t length)
{
    return (length + 2) / 3 * 4;
}

/* Write the base64 text of the bytes to `out`, where there is room for base64_length(). */
void base64_encode(const char *bytes, size_t length, char *out);

int base64_setup(PyObject *module);
