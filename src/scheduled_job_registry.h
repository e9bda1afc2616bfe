/* ScheduledJobRegistry: the jobs that wait for their time. */
#pragma once

#include "module.h"

int scheduled_job_registry_setup_type(PyObject *module, core_state *state);
