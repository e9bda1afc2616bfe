#include "expiry.h"

#include "guard.h"
#include "membership.h"
#include "registry_call.h"

call_outcome
registry_timestamp(const fast_call *call, PyObject *timestamp, PyObject **score)
{
    if (timestamp == NULL || timestamp == Py_None) {
        /* RQ has a clock in each of its modules. If one was replaced, RQ must ask it. */
        int clock_is_original = guard_holds(call->state->rq.clock_guard);
        if (clock_is_original != 1) {
            return clock_is_original < 0 ? CALL_RAISED : CALL_FALLBACK;
        }
        *score = installed_rq_now(call->state);
        return *score == NULL ? CALL_RAISED : CALL_DONE;
    }
    if (!PyLong_CheckExact(timestamp) && !PyFloat_CheckExact(timestamp)) {
        return CALL_FALLBACK;
    }
    *score = Py_NewRef(timestamp);
    return CALL_DONE;
}

const char cleanup_expired_doc[]
    = "cleanup($self, /, timestamp=None, exception_handlers=None)\n--\n\n"
      "Remove the expired entries from this registry.\n\n"
      "timestamp: Unix timestamp in seconds; entries with a score from 0 up to it go. Default: now.\n"
      "exception_handlers: not used here.\n"
      "One round trip. Raises redis.exceptions.RedisError.\n"
      "Source: `cleanup` of RQ's FinishedJobRegistry, FailedJobRegistry and ExecutionRegistry; Redis\n"
      "ZREMRANGEBYSCORE.";

static call_outcome
cleanup_expired_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    PyObject *const parameters[]
        = {call->state->names.timestamp, call->state->names.exception_handlers};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values)) {
        return CALL_FALLBACK;
    }
    PyObject *score;
    call_outcome outcome = registry_timestamp(call, values[0], &score);
    if (outcome != CALL_DONE) {
        return outcome;
    }
    const key_command command = {"ZREMRANGEBYSCORE", 2, {{.text = "0"}, {.object = score}}};
    const reply_spec spec = {.shape = REPLY_INTEGER};
    outcome = fast_call_run(call, &command, &spec, value);
    if (outcome == CALL_DONE) {
        Py_SETREF(*value, Py_NewRef(Py_None));
    }
    Py_DECREF(score);
    return outcome;
}

DEFINE_METHOD(cleanup_expired, "cleanup", METHOD_CLEANUP, cleanup_expired_fast);

const char get_expiration_time_doc[]
    = "get_expiration_time($self, /, job)\n--\n\n"
      "Return when the job's entry expires, a datetime in UTC.\n\n"
      "job: a Job.\n"
      "One round trip. Raises TypeError for a job that is not in the registry, as RQ does, OverflowError for\n"
      "one that never expires, and redis.exceptions.RedisError.\n"
      "Source: rq.registry.BaseRegistry.get_expiration_time; Redis ZSCORE.";

/* rq.registry.datetime.fromtimestamp(score, rq.registry.timezone.utc) */
PyObject *
registry_datetime(const fast_call *call, PyObject *score)
{
    PyObject *datetime = installed_rq_name(&call->state->rq, call->state->names.datetime);
    PyObject *timezone = datetime == NULL
                             ? NULL
                             : installed_rq_name(&call->state->rq, call->state->names.timezone);
    PyObject *utc = timezone == NULL ? NULL : PyObject_GetAttr(timezone, call->state->names.utc);
    PyObject *moment = NULL;
    if (utc != NULL) {
        moment = PyObject_CallMethodObjArgs(datetime, call->state->names.fromtimestamp, score, utc,
                                            NULL);
    }
    Py_XDECREF(datetime);
    Py_XDECREF(timezone);
    Py_XDECREF(utc);
    return moment;
}

static call_outcome
get_expiration_time_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    PyObject *job = NULL;
    if (!bind_arguments(given, &call->state->names.job, 1, &job) || job == NULL) {
        return CALL_FALLBACK;
    }
    PyObject *job_id = PyObject_GetAttr(job, call->state->names.id);
    PyObject *score = NULL;
    call_outcome outcome = job_id == NULL ? CALL_RAISED : registry_score_of(call, job_id, &score);
    if (outcome == CALL_DONE) {
        *value = registry_datetime(call, score);
        outcome = *value == NULL ? CALL_RAISED : CALL_DONE;
    }
    Py_XDECREF(score);
    Py_XDECREF(job_id);
    return outcome;
}

DEFINE_METHOD(get_expiration_time, "get_expiration_time", METHOD_GET_EXPIRATION_TIME,
              get_expiration_time_fast);
