/* StartedJobRegistry: the jobs that are being executed. */
#pragma once

#include "state.h"

int started_job_registry_setup_type(PyObject *module, core_state *state);
