/* ScheduledJobRegistry: the jobs that wait for their time. */
#pragma once

#include "state.h"

int scheduled_job_registry_setup_type(PyObject *module, core_state *state);
