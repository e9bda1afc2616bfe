/* The Python type of a connection.

   A connection stands among the connections in use of redis-py's pool. So the pool can disconnect
   it, or give it renewed credentials; see the methods of the type. All its other attributes are
   those of redis-py's object. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "state.h"

int connection_setup_type(PyObject *module, core_state *state);
