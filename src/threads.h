/* What the GIL protects, protected without it too. With a GIL, and before CPython 3.13, a critical
   section is nothing, and the other functions are those that every release has.

   A critical section ends early where its thread waits or runs Python code. So it has neither. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* A lock for what no object has: held only for steps that run no Python code, and that wait for no
   other lock, as a look-up in a dict may: a fork then leaves none of them locked. */
#ifdef Py_GIL_DISABLED
typedef PyMutex thread_lock;
#define thread_lock_acquire(lock) PyMutex_Lock(lock)
#define thread_lock_release(lock) PyMutex_Unlock(lock)
#else
typedef struct {
    char unused;
} thread_lock;
#define thread_lock_acquire(lock) ((void)(lock))
#define thread_lock_release(lock) ((void)(lock))
#endif

/* How many hold a thing that is replaced while others read it. The last one frees it. */
#ifdef Py_GIL_DISABLED
typedef atomic_int use_count;
#else
typedef int use_count;
#endif

/* Whether an object of one call may be used here: in its own thread; with the GIL in all others
   too. */
static inline bool
may_use_here(unsigned long own_thread)
{
#ifdef Py_GIL_DISABLED
    return own_thread == PyThread_get_thread_ident();
#else
    (void)own_thread;
    return true;
#endif
}

/* The value of a key, a new reference; NULL without an exception if there is none, or with one. */
static inline PyObject *
dict_get(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value;
    (void)PyDict_GetItemRef(dict, key, &value);
    return value;
#else
    return Py_XNewRef(PyDict_GetItemWithError(dict, key));
#endif
}

/* An item of a list, a new reference; a negative index counts from its end. NULL without an
   exception if there is none. */
static inline PyObject *
list_get(PyObject *list, Py_ssize_t index)
{
    PyObject *item = NULL;
    Py_BEGIN_CRITICAL_SECTION(list);
    Py_ssize_t count = PyList_GET_SIZE(list);
    Py_ssize_t place = index < 0 ? count + index : index;
    if (place >= 0 && place < count) {
        item = Py_NewRef(PyList_GET_ITEM(list, place));
    }
    Py_END_CRITICAL_SECTION();
    return item;
}
