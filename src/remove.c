#include "remove.h"

#include "job_script.h"
#include "membership.h"
#include "registry_call.h"

const char remove_doc[]
    = "remove($self, /, job, pipeline=None, delete_job=False)\n--\n\n"
      "Remove a job from this registry; return how many entries were removed, 0 or 1.\n\n"
      "job: a Job or a job id.\n"
      "pipeline: a redis-py pipeline to put the command into, by RQ's own method.\n"
      "delete_job: whether to delete the job itself too, as Job.delete does.\n"
      "One round trip; about a dozen for a job that RQ's own method deletes. The page \"What was tried\" of the guide\n"
      "says which jobs these are.\n"
      "Raises redis.exceptions.RedisError; with delete_job=True, and after the entry was removed,\n"
      "rq.exceptions.NoSuchJobError for a job that does not exist.\n"
      "Source: rq.registry.BaseRegistry.remove, rq.job.Job.delete; Redis ZREM.";

static bool
has_falsy_attribute(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    bool is_falsy = value != NULL && PyObject_IsTrue(value) == 0;
    Py_XDECREF(value);
    return is_falsy;
}

static bool
has_none_of(PyObject *attributes, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (PyDict_GetItemWithError(attributes, PyTuple_GET_ITEM(names, i)) != NULL
            || PyErr_Occurred() != NULL) {
            return false;
        }
    }
    return true;
}

/* Whether job.delete() of this object does what the script does. Not for a subclass, another
   client, a patched object, or a job with a group or a rate limit. */
static bool
script_can_delete(const fast_call *call, PyObject *job)
{
    const core_state *state = call->state;
    if ((PyObject *)Py_TYPE(job) != state->rq.job_class || !state->rq.delete_keeps_status) {
        return false;
    }
    PyObject *connection = PyObject_GetAttr(job, state->names.connection);
    PyObject *attributes = connection == NULL ? NULL : PyObject_GenericGetDict(job, NULL);
    bool can_delete = connection == call->client && attributes != NULL
                      && has_none_of(attributes, state->rq.delete_methods)
                      && has_falsy_attribute(job, state->names.group_id)
                      && has_falsy_attribute(job, state->names.has_rate_limit);
    Py_XDECREF(connection);
    Py_XDECREF(attributes);
    return can_delete;
}

/* The argument `origin` of delete_job.lua: to read the name of the queue from the job's hash, or
   the name that the Job object has. NULL, without an exception, if the Job's origin is not a
   str. */
static PyObject *
origin_argument(const fast_call *call, PyObject *job)
{
    if (job == NULL) {
        return PyUnicode_FromString("fetch");
    }
    PyObject *origin = PyObject_GetAttr(job, call->state->names.origin);
    PyObject *argument = origin != NULL && PyUnicode_CheckExact(origin)
                             ? PyUnicode_FromFormat("origin:%U", origin)
                             : NULL;
    Py_XDECREF(origin);
    return argument;
}

/* `hash_key`: NULL if nothing is to be read before. */
static call_outcome
run_deletion(fast_call *call, PyObject *job_id, PyObject *origin, PyObject *hash_key,
             PyObject **removed)
{
    command_argument arguments[lua_delete_job_argument_count] = {
        [lua_delete_job_origin] = {.object = origin},
        [lua_delete_job_job_id] = {.object = job_id},
    };
    job_script request = {
        .script = &script_delete_job,
        .constants = call->state->rq.delete_arguments,
        .arguments = arguments,
        .argument_count = lua_delete_job_argument_count,
        .hash_key = hash_key,
    };
    script_answer answer = {.value = NULL};
    call_outcome outcome = job_script_run(call, &request, &answer);
    if (outcome == CALL_DONE && job_script_number(answer.value) < 0) {
        outcome = CALL_FALLBACK;
    }
    if (outcome == CALL_DONE) {
        *removed = Py_NewRef(answer.value);
    }
    script_answer_clear(&answer);
    return outcome;
}

/* `job` is NULL where the caller gave an id. */
static call_outcome
delete_by_script(fast_call *call, PyObject *job, PyObject *job_id, PyObject **removed)
{
    const installed_rq *rq = &call->state->rq;
    if (!script_may_replace_rq(call, rq->delete_guard) || !is_rq_job_id(job_id)
        || (job != NULL && !script_can_delete(call, job))) {
        return use_fallback_unless_raised();
    }
    PyObject *origin = origin_argument(call, job);
    if (origin == NULL) {
        return use_fallback_unless_raised();
    }
    PyObject *hash_key = NULL;
    if (call->is_as_rq) {
        hash_key = job_hash_key(PyTuple_GET_ITEM(rq->delete_arguments, lua_delete_job_job_prefix),
                                job_id);
    }
    call_outcome outcome = call->is_as_rq && hash_key == NULL
                               ? CALL_RAISED
                               : run_deletion(call, job_id, origin, hash_key, removed);
    Py_XDECREF(hash_key);
    Py_DECREF(origin);
    return outcome;
}

static call_outcome
remove_entry(fast_call *call, PyObject *job_id, PyObject **removed)
{
    if (!command_takes(job_id)) {
        return CALL_FALLBACK;
    }
    const key_command zrem = {"ZREM", 1, {{.object = job_id}}};
    const reply_spec spec = {.shape = REPLY_INTEGER};
    return fast_call_run(call, &zrem, &spec, removed);
}

static call_outcome
remove_fast(fast_call *call, const call_arguments *given, PyObject **removed)
{
    const core_state *state = call->state;
    PyObject *const parameters[]
        = {state->names.job, state->names.pipeline, state->names.delete_job};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values) || values[0] == NULL
        || (values[1] != NULL && values[1] != Py_None)) {
        return CALL_FALLBACK;
    }
    int delete_job = truth_of_builtin(values[2], false);
    if (delete_job < 0) {
        return CALL_FALLBACK;
    }
    PyObject *job_id = registry_id_of(call, values[0]);
    if (job_id == NULL) {
        return CALL_RAISED;
    }
    PyObject *job = job_id == values[0] ? NULL : values[0];
    call_outcome outcome = delete_job ? delete_by_script(call, job, job_id, removed)
                                      : remove_entry(call, job_id, removed);
    Py_DECREF(job_id);
    return outcome;
}

DEFINE_METHOD(remove_job, "remove", METHOD_REMOVE, remove_fast);
