/* clean_registries(): cleans all registries of a queue in one round trip, if none of them has work
   for RQ itself. */
#pragma once

#include "state.h"

int clean_registries_setup(PyObject *module, core_state *state);
