/* Which methods of a registry's type are RQ's own, or the core's over RQ's own.

   A subclass or a patch may have replaced them; then RQ's code must run.
   rqreg_ext._fastpath.dispatch finds it out. The answer is remembered until the type, or a function
   that it depends on, changes. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "state.h"

/* Fill `known` with the answer that holds for the type now; -1 with an exception. */
int type_methods_of(core_state *state, PyTypeObject *type, type_methods *known);

int type_methods_setup(PyObject *module);
void type_methods_clear(type_methods_cache *cache);
int type_methods_traverse(const type_methods_cache *cache, visitproc visit, void *arg);
