/* Queue: the properties of rq.Queue that return registries. */
#pragma once

#include "state.h"

int queue_setup_type(PyObject *module, core_state *state);
