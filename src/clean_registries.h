/* clean_registries(): the clean-ups of all registries of a queue, in one round trip. */
#pragma once

#include "module.h"

int clean_registries_setup(PyObject *module, core_state *state);
