/* Which methods of a registry's type are RQ's own, directly or overridden by the core's.

   A subclass or a patch may have put something else in their place, and then RQ's way is the only
   right one. rqreg_ext._fastpath.dispatch finds it out; the answer is remembered until the type, or
   a function it depends on, changes. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "state.h"

/* Fill `known` with what holds for the type now; -1 with an exception. */
int type_methods_of(core_state *state, PyTypeObject *type, type_methods *known);

int type_methods_setup(PyObject *module);
void type_methods_clear(type_methods_cache *cache);
int type_methods_traverse(const type_methods_cache *cache, visitproc visit, void *arg);
