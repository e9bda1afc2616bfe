/* The state of the module: every type, interned name and imported object that the core holds. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "client_check.h"
#include "dispatch.h"
#include "installed_rq.h"
#include "names.h"

typedef struct core_state {
    struct {
#define X(name) PyObject *name;
        CORE_NAMES(X)
#undef X
    } names;

    PyTypeObject *connection_type;
    PyTypeObject *client_pool_type;
    PyTypeObject *attempt_type;
    PyTypeObject *base_registry_type;
    PyTypeObject *guard_type;
    PyTypeObject *queue_type;

    PyObject
        *datetime_type; /* datetime.datetime, whatever stands there; NULL where it is none in C */
    dispatch_cache dispatch;

    PyObject *default_queue_name;
    PyObject *registry_keywords; /* tuple of argument names: of a Queue for its registries */
    PyObject *cleaned_keywords;  /* tuple of argument names: of RQ's clean_registries for them */

    checked_kinds checked_clients;
    checked_kinds checked_pools;

    installed_rq rq;
} core_state;

/* The state of the module that the type, or the nearest of its bases, was made by. */
core_state *core_state_of(PyTypeObject *type);
