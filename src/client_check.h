/* Whether a client and its pool are redis-py's own and unpatched, at the time of the call.

   rqreg_ext._fastpath.clients.kinds and .pools examine them. Their answer holds for all clients of
   that class with the same attributes, and is remembered until one of the classes or functions that
   it depends on changes. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "state.h"

int checked_kinds_traverse(const checked_kinds *known, visitproc visit, void *arg);
void checked_kinds_clear(checked_kinds *known);

/* The answer of examine_client() or examine_pool(), a new reference: True where everything is
   redis-py's own. NULL with an exception. */
PyObject *client_check_client(core_state *state, PyObject *client);
PyObject *client_check_pool(core_state *state, PyObject *redis_pool);

int client_check_setup(PyObject *module);
