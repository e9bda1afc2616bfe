/* ExecutionRegistry: the executions of one job. */
#pragma once

#include "state.h"

int execution_registry_setup_type(PyObject *module, core_state *state);
