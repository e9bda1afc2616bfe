#include "scheduled_job_registry.h"

#include "base_registry.h"
#include "expiry.h"
#include "membership.h"
#include "registry_call.h"
#include "registry_init.h"

/* As in RQ, each instance has get_jobs_to_enqueue, another name for get_expired_job_ids. */
static int
scheduled_job_registry_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    core_state *state = core_state_of(Py_TYPE(self));
    type_methods methods;
    if (state == NULL || type_methods_of(state, Py_TYPE(self), &methods) < 0) {
        return -1;
    }
    if ((methods.overridden & METHOD_SCHEDULED_INIT) == 0) {
        return registry_init_by_rq(self, NULL, args, kwargs);
    }
    if (registry_init(self, args, kwargs) < 0) {
        return -1;
    }
    PyObject *method = PyObject_GetAttr(self, state->names.get_expired_job_ids);
    int result
        = method == NULL ? -1 : PyObject_SetAttr(self, state->names.get_jobs_to_enqueue, method);
    Py_XDECREF(method);
    return result;
}

PyDoc_STRVAR(get_jobs_to_schedule_doc,
"get_jobs_to_schedule($self, /, timestamp=None, chunk_size=1000)\n--\n\n"
"Return the ids of jobs whose time has come, a list of str ordered by that time.\n\n"
"timestamp: Unix timestamp in seconds; jobs scheduled up to it are returned. Default: now.\n"
"chunk_size: the most ids to return.\n"
"One round trip. Raises redis.exceptions.RedisError.\n"
"Source: rq.registry.ScheduledJobRegistry.get_jobs_to_schedule; Redis ZRANGEBYSCORE.");

static call_outcome
get_jobs_to_schedule_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    PyObject *const parameters[] = {call->state->names.timestamp, call->state->names.chunk_size};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values)
        || (values[1] != NULL && !PyLong_CheckExact(values[1]))) {
        return CALL_FALLBACK;
    }
    if (!text_functions_are_original(call)) {
        return use_fallback_unless_raised();
    }
    PyObject *score;
    call_outcome outcome = registry_timestamp(call, values[0], &score);
    if (outcome != CALL_DONE) {
        return outcome;
    }
    command_argument chunk_size = {.text = "1000"};
    if (values[1] != NULL) {
        chunk_size = (command_argument){.object = values[1]};
    }
    const key_command command = {
        "ZRANGEBYSCORE",
        5,
        {{.text = "0"}, {.object = score}, {.text = "LIMIT"}, {.text = "0"}, chunk_size},
    };
    const reply_spec spec = {.shape = REPLY_TEXTS};
    outcome = fast_call_run(call, &command, &spec, value);
    Py_DECREF(score);
    return outcome;
}

static DEFINE_METHOD(get_jobs_to_schedule, "get_jobs_to_schedule", METHOD_GET_JOBS_TO_SCHEDULE,
                     get_jobs_to_schedule_fast);

PyDoc_STRVAR(get_scheduled_time_doc,
"get_scheduled_time($self, /, job_or_id)\n--\n\n"
"Return when the job is due, a datetime in UTC.\n\n"
"job_or_id: a Job or a job id.\n"
"One round trip. Raises rq.exceptions.NoSuchJobError for a job that is not scheduled, and\n"
"redis.exceptions.RedisError.\n"
"Source: rq.registry.ScheduledJobRegistry.get_scheduled_time; Redis ZSCORE.");

/* The id of a job, or the argument itself. Here RQ asks for an rq.job.Job, whatever the registry's
   job_class. */
static PyObject *
scheduled_id_of(const fast_call *call, PyObject *job_or_id)
{
    PyObject *job_class = installed_rq_name(&call->state->rq, call->state->names.Job);
    int is_job = job_class == NULL ? -1 : PyObject_IsInstance(job_or_id, job_class);
    Py_XDECREF(job_class);
    if (is_job < 0) {
        return NULL;
    }
    return is_job ? PyObject_GetAttr(job_or_id, call->state->names.id) : Py_NewRef(job_or_id);
}

static call_outcome
get_scheduled_time_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    PyObject *job_or_id = NULL;
    if (!bind_arguments(given, &call->state->names.job_or_id, 1, &job_or_id) || job_or_id == NULL) {
        return CALL_FALLBACK;
    }
    PyObject *job_id = scheduled_id_of(call, job_or_id);
    PyObject *score = NULL;
    call_outcome outcome = job_id == NULL ? CALL_RAISED : registry_score_of(call, job_id, &score);
    if (outcome == CALL_DONE) {
        outcome = CALL_RAISED;
        int is_scheduled = PyObject_IsTrue(score);
        if (is_scheduled == 0) {
            PyErr_SetNone(call->state->rq.no_such_job_error);
        }
        else if (is_scheduled == 1) {
            *value = registry_datetime(call, score);
            outcome = *value == NULL ? CALL_RAISED : CALL_DONE;
        }
    }
    Py_XDECREF(score);
    Py_XDECREF(job_id);
    return outcome;
}

static DEFINE_METHOD(get_scheduled_time, "get_scheduled_time", METHOD_GET_SCHEDULED_TIME,
                     get_scheduled_time_fast);

static PyMethodDef scheduled_job_registry_methods[] = {
    {"get_jobs_to_schedule", AS_METHOD(get_jobs_to_schedule), METH_FASTCALL | METH_KEYWORDS,
     get_jobs_to_schedule_doc},
    {"get_scheduled_time", AS_METHOD(get_scheduled_time), METH_FASTCALL | METH_KEYWORDS,
     get_scheduled_time_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(scheduled_job_registry_doc,
"The jobs that wait for their time, scored by it.\n\n"
"Source: rq.registry.ScheduledJobRegistry.");

static PyType_Slot scheduled_job_registry_slots[] = {
    {Py_tp_doc, (void *)scheduled_job_registry_doc},
    {Py_tp_init, scheduled_job_registry_init},
    {Py_tp_methods, scheduled_job_registry_methods},
    {0, NULL},
};

static PyType_Spec scheduled_job_registry_spec = {
    .name = "rqreg_ext._core.ScheduledJobRegistry",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = scheduled_job_registry_slots,
};

int
scheduled_job_registry_setup_type(PyObject *module, core_state *state)
{
    return registry_add_subtype(module, state, &scheduled_job_registry_spec);
}
