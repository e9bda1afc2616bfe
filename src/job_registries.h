/* FinishedJobRegistry, FailedJobRegistry, DeferredJobRegistry, CanceledJobRegistry,
   ReadyJobRegistry. */
#pragma once

#include "state.h"

int job_registries_setup_types(PyObject *module, core_state *state);
