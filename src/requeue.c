#include "requeue.h"

#include "guard.h"
#include "job_script.h"
#include "registry_call.h"

const char requeue_doc[]
    = "requeue($self, /, job_or_id, at_front=False)\n--\n\n"
      "Put a job of this registry back on its queue; return the Job.\n\n"
      "job_or_id: a Job or a job id.\n"
      "at_front: whether to put it at the front of the queue.\n"
      "One round trip for an id, two if the job has metadata or large data. Three, by RQ's own method, for a Job\n"
      "object, whose attributes RQ changes, and for a job with a result or a rate limit.\n"
      "Raises rq.exceptions.NoSuchJobError, rq.exceptions.InvalidJobOperation for a job that is not in this\n"
      "registry, and redis.exceptions.RedisError.\n"
      "Source: rq.registry.BaseRegistry.requeue, rq.Queue._enqueue_job.";

/* Whether the script can do this requeue: it is given an id, and the registry's jobs are of RQ's
   own class. */
static bool
script_can_requeue(const fast_call *call, PyObject *job_or_id)
{
    PyObject *job_class = PyObject_GetAttr(call->self, call->state->names.job_class);
    bool can_requeue = job_class == call->state->rq.job_class && is_rq_job_id(job_or_id)
                       && script_may_replace_rq(call, call->state->rq.requeue_guard);
    Py_XDECREF(job_class);
    return can_requeue;
}

/* A call of requeue(), with the arguments for its script. */
typedef struct {
    PyObject *job_id;
    PyObject *at_front;
    bool is_front;
    PyObject *enqueued_at;      /* a datetime */
    PyObject *enqueued_at_text; /* as RQ writes it to the hash */
    PyObject *hash_key;         /* bytes */
    /* Tuple: as it is stored, as RQ would store it again, and the object; NULL before it is
       read. */
    PyObject *metadata;
} requeue_request;

static command_argument
metadata_argument(const requeue_request *request, Py_ssize_t which)
{
    if (request->metadata == NULL) {
        return (command_argument){.text = ""};
    }
    return (command_argument){.object = PyTuple_GET_ITEM(request->metadata, which)};
}

/* The answers of requeue_job.lua. */
enum { REQUEUED = 1, NOT_IN_REGISTRY = 0, MUST_BE_READ = -2 };

static call_outcome
run_requeue(fast_call *call, const requeue_request *request, script_answer *answer)
{
    command_argument arguments[lua_requeue_job_argument_count] = {
        [lua_requeue_job_enqueued_at] = {.object = request->enqueued_at_text},
        [lua_requeue_job_push_command] = {.text = request->is_front ? "LPUSH" : "RPUSH"},
        [lua_requeue_job_metadata] = metadata_argument(request, 0),
        [lua_requeue_job_metadata_again] = metadata_argument(request, 1),
        [lua_requeue_job_is_read] = {.text = request->metadata == NULL ? "" : "1"},
        [lua_requeue_job_job_id] = {.object = request->job_id},
    };
    job_script filled = {
        .script = &script_requeue_job,
        .constants = call->state->rq.requeue_arguments,
        .arguments = arguments,
        .argument_count = lua_requeue_job_argument_count,
        .hash_key = request->hash_key,
    };
    return job_script_run(call, &filled, answer);
}

/* Read the job's metadata from the hash in an answer. CALL_FALLBACK if RQ itself must read it. */
static call_outcome
read_metadata(const fast_call *call, requeue_request *request, const script_answer *answer)
{
    PyObject *found = PyObject_CallFunctionObjArgs(call->state->rq.read_metadata, call->self,
                                                   answer->hash, NULL);
    if (found == NULL) {
        return CALL_RAISED;
    }
    if (!PyTuple_Check(found)) {
        Py_DECREF(found);
        return CALL_FALLBACK;
    }
    request->metadata = found;
    return CALL_DONE;
}

static PyObject *
make_requeued_job(const fast_call *call, const requeue_request *request, PyObject *fields)
{
    PyObject *metadata
        = request->metadata == NULL ? Py_None : PyTuple_GET_ITEM(request->metadata, 2);
    return PyObject_CallFunctionObjArgs(call->state->rq.requeued_job, call->self, request->job_id,
                                        fields, request->enqueued_at, request->at_front, metadata,
                                        NULL);
}

/* Run the script; twice where metadata must be read and stored again, or long data be looked at. */
static call_outcome
requeue_by_script(fast_call *call, requeue_request *request, PyObject **job)
{
    script_answer answer = {.value = NULL};
    call_outcome outcome = run_requeue(call, request, &answer);
    if (outcome == CALL_DONE && job_script_number(answer.value) == MUST_BE_READ) {
        outcome = read_metadata(call, request, &answer);
        script_answer_clear(&answer);
        outcome = outcome == CALL_DONE ? run_requeue(call, request, &answer) : outcome;
    }
    if (outcome != CALL_DONE) {
        return outcome;
    }
    switch (job_script_number(answer.value)) {
    case REQUEUED:
        *job = make_requeued_job(call, request, answer.hash);
        outcome = *job == NULL ? CALL_RAISED : CALL_DONE;
        break;
    case NOT_IN_REGISTRY:
        PyErr_SetNone(call->state->rq.invalid_job_operation);
        outcome = CALL_RAISED;
        break;
    default:
        outcome = CALL_FALLBACK;
        break;
    }
    script_answer_clear(&answer);
    return outcome;
}

static call_outcome
requeue_at(fast_call *call, requeue_request *request, PyObject **job)
{
    int is_front = truth_of_builtin(request->at_front, false);
    if (is_front < 0) {
        return CALL_FALLBACK;
    }
    request->is_front = is_front;
    request->hash_key = job_hash_key(
        PyTuple_GET_ITEM(call->state->rq.requeue_arguments, lua_requeue_job_job_prefix),
        request->job_id);
    call_outcome outcome
        = request->hash_key == NULL ? CALL_RAISED : requeue_by_script(call, request, job);
    Py_CLEAR(request->hash_key);
    Py_CLEAR(request->metadata);
    return outcome;
}

static call_outcome
requeue_fast(fast_call *call, const call_arguments *given, PyObject **job)
{
    PyObject *const parameters[] = {call->state->names.job_or_id, call->state->names.at_front};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values) || values[0] == NULL
        || !script_can_requeue(call, values[0])) {
        return use_fallback_unless_raised();
    }
    requeue_request request
        = {.job_id = values[0], .at_front = values[1] == NULL ? Py_False : values[1]};
    PyObject *moments = PyObject_CallNoArgs(call->state->rq.enqueued_at);
    call_outcome outcome = CALL_RAISED;
    if (moments != NULL
        && PyArg_ParseTuple(moments, "OO", &request.enqueued_at, &request.enqueued_at_text)) {
        outcome = requeue_at(call, &request, job);
    }
    Py_XDECREF(moments);
    return outcome;
}

DEFINE_METHOD(requeue_job, "requeue", METHOD_REQUEUE, requeue_fast);
