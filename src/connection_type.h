/* The Python type of a connection.

   redis-py's pool has a connection among its own connections in use. So the pool can disconnect it,
   or give it renewed credentials, by the methods of the type. All other attributes are looked up on
   redis-py's connection object. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "state.h"

int connection_setup_type(PyObject *module, core_state *state);
