/* Lists that are built item by item. None is ever made with NULL in it, which gc.get_objects()
   would show to other threads. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Append an item, which is stolen; -1 with an exception, also where it is NULL. */
static inline int
list_append_new(PyObject *list, PyObject *item)
{
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}
