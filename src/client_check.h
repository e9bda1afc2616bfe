/* Whether a redis-py client, and its pool, do what redis-py's own do, as they are at the time of the call. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

struct core_state;

#define CHECKED_KINDS 8
#define CHECKED_CLASSES 3

/* Objects for which the answer is known: of one class, with the same attributes of their own, while none of
   `classes` and `functions` has changed. */
typedef struct {
    PyTypeObject *type; /* NULL: the place is free */
    PyObject *names;    /* tuple of the names of the object's own attributes, in their order */
    PyObject *classes;  /* tuple of classes whose methods count */
    unsigned int versions[CHECKED_CLASSES];
    PyObject *functions; /* tuple: function, its code, function, its code, ... */
    PyObject *globals;   /* tuple: dict, name, value, dict, name, value, ... */
    PyObject *answer;
} checked_kind;

/* The last kinds that were met. */
typedef struct {
    checked_kind kinds[CHECKED_KINDS];
    int next; /* where the next one goes */
} checked_kinds;

int checked_kinds_traverse(const checked_kinds *known, visitproc visit, void *arg);
void checked_kinds_clear(checked_kinds *known);

/* What rqreg_ext._clients answers of such an object, a new reference, or NULL with an exception; it is asked
   again whenever something is not as it was. True: all is redis-py's own. */
PyObject *client_check_client(struct core_state *state, PyObject *client);
PyObject *client_check_pool(struct core_state *state, PyObject *redis_pool);

int client_check_setup(PyObject *module);
