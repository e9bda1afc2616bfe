/* Guard: whether functions and names of RQ are unpatched, remembered until one of them changes.

   A Guard calls a Python function to look, which returns the answer with all that it depends on:
   names in modules, types, and functions with their code. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "state.h"

int guard_setup_type(PyObject *module, core_state *state);

/* The answer of a Guard object: 1 (all is as it must be), 0, or -1 with an exception. */
int guard_holds(PyObject *object);

/* Make (function, code, function, code, ...) of a tuple of (function, code), a new reference; NULL
   with an exception. */
PyObject *guard_flat_codes(PyObject *pairs);
/* Whether each function in such a tuple still has its code. Each call asks this of a hundred
   functions, and a flat tuple is read in less time than a hundred pairs. */
bool guard_codes_are_unchanged(PyObject *codes);
