/* The type BaseRegistry: the methods that all registries share. */
#pragma once

#include "state.h"

int base_registry_setup_type(PyObject *module, core_state *state);
/* Make a subtype of BaseRegistry and add it to the module. */
int registry_add_subtype(PyObject *module, core_state *state, PyType_Spec *spec);
