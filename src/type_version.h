/* The version of a type: a number that changes with the type, or with one of its bases. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* CPython gives a type a new version, unique in the interpreter, at the first look-up after each
   change. 0: it has none. Before a change it takes the version away; so, without the GIL too, what
   was read between two looks at the same version is of that version. */
static inline unsigned int
type_version(const PyTypeObject *type)
{
#if defined(Py_GIL_DISABLED)
    return __atomic_load_n(&type->tp_version_tag, __ATOMIC_ACQUIRE);
#elif PY_VERSION_HEX < 0x030C0000
    return PyType_HasFeature((PyTypeObject *)type, Py_TPFLAGS_VALID_VERSION_TAG)
               ? type->tp_version_tag
               : 0;
#else
    return type->tp_version_tag;
#endif
}

/* The version, after a look-up that has CPython give the type one. 0 only if CPython gives this
   type no versions (any more). -1 with an exception, as a look-up can run the program's code. */
static inline long long
type_version_assigned(PyTypeObject *type)
{
    unsigned int version = type_version(type);
    if (version == 0) {
        /* Not "__doc__" or the like, which the metatype answers without a look at the type. */
        PyObject *found = PyObject_GetAttrString((PyObject *)type, "__init__");
        if (found == NULL) {
            return -1;
        }
        Py_DECREF(found);
        version = type_version(type);
    }
    return version;
}
