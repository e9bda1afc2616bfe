/* The version of a dict: another number after each change of what it contains, unique among all
   dicts. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* 0 where Python keeps none, from 3.14 on. Builds without the GIL change dicts while we look: there
   nothing is remembered. */
static inline uint64_t
dict_version(PyObject *dict)
{
#if PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)
    /* Deprecated from Python 3.12 on, and right until it is gone. */
    _Pragma("GCC diagnostic push");
    _Pragma("GCC diagnostic ignored \"-Wdeprecated-declarations\"");
    return ((PyDictObject *)dict)->ma_version_tag;
    _Pragma("GCC diagnostic pop");
#else
    (void)dict;
    return 0;
#endif
}
