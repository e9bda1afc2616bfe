/* Guard: an answer that is remembered until something that it depends on changes. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "module.h"

int guard_setup_type(PyObject *module, core_state *state);

/* Whether what the guard (an object of its type) looks at is as it must be: 1, 0, or -1 with an exception. */
int guard_holds(PyObject *object);

/* Whether each (function, code) of the tuple still goes together. */
bool guard_codes_are_unchanged(PyObject *functions);
