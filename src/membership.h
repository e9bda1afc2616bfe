/* Whether a job is in a registry, and with which score. */
#pragma once

#include "dispatch.h"

/* The id of a Job; or the argument itself if it is not a Job, and so an id. A new reference. */
PyObject *registry_id_of(const fast_call *call, PyObject *job_or_id);
/* CALL_DONE: *score is the score of a job, a float; or None where it is not in the registry. */
call_outcome registry_score_of(fast_call *call, PyObject *job_id, PyObject **score);

/* `job_or_id in registry`. */
int registry_contains(PyObject *self, PyObject *item);
