#include "membership.h"

#include "registry_call.h"

PyObject *
registry_id_of(const fast_call *call, PyObject *job_or_id)
{
    PyObject *job_class = PyObject_GetAttr(call->self, call->state->names.job_class);
    int is_job = job_class == NULL ? -1 : PyObject_IsInstance(job_or_id, job_class);
    Py_XDECREF(job_class);
    if (is_job < 0) {
        return NULL;
    }
    return is_job ? PyObject_GetAttr(job_or_id, call->state->names.id) : Py_NewRef(job_or_id);
}

call_outcome
registry_score_of(fast_call *call, PyObject *job_id, PyObject **score)
{
    if (!command_takes(job_id)) {
        return CALL_FALLBACK;
    }
    const key_command zscore = {"ZSCORE", 1, {{.object = job_id}}};
    const reply_spec spec = {.shape = REPLY_SCORE};
    return fast_call_run(call, &zscore, &spec, score);
}

static call_outcome
contains_fast(fast_call *call, PyObject *item, PyObject **answer)
{
    PyObject *job_id = registry_id_of(call, item);
    PyObject *score = NULL;
    call_outcome outcome = job_id == NULL ? CALL_RAISED : registry_score_of(call, job_id, &score);
    if (outcome == CALL_DONE) {
        *answer = PyBool_FromLong(score != Py_None);
    }
    Py_XDECREF(score);
    Py_XDECREF(job_id);
    return outcome;
}

int
registry_contains(PyObject *self, PyObject *item)
{
    return dispatch_contains(self, item, METHOD_CONTAINS, contains_fast);
}
