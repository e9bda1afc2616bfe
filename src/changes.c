#include "changes.h"

#include <ctype.h>

#include "base_registry.h"
#include "guard.h"
#include "registry_call.h"
#include "script.h"

#define MAX_SCRIPT_ARGUMENTS 16

/* ---- What a script may stand for --------------------------------------------------------------- */

/* A job id as RQ makes and accepts them; for any other, RQ's own path has the words. */
static bool
is_plain_id(PyObject *job_id)
{
    if (!PyUnicode_CheckExact(job_id) || !PyUnicode_IS_ASCII(job_id)) {
        return false;
    }
    const Py_UCS1 *text = PyUnicode_1BYTE_DATA(job_id);
    Py_ssize_t length = PyUnicode_GET_LENGTH(job_id);
    for (Py_ssize_t i = 0; i < length; i++) {
        if (!isalnum(text[i]) && text[i] != '_' && text[i] != '-') {
            return false;
        }
    }
    return length > 0;
}

/* Whether RQ is one we know, the registry is one of jobs, nobody replaced what the script stands for, and jobs can be fetched at all
   (with decode_responses=True RQ cannot read their data, and says so). */
static bool
can_stand_for(const head *call, PyObject *guard)
{
    PyObject *serializer = PyObject_GetAttr(call->self, call->state->names.serializer);
    bool has_serializer = serializer != NULL;
    Py_XDECREF(serializer);
    return has_serializer && call->state->rq.is_known && !client_pool_decodes(call->pool)
           && guard_holds(guard) == 1;
}

/* A script for one job, and the hash that is to be read before it, if any. */
typedef struct {
    const script *script;
    PyObject *constants; /* what rqreg_ext._installed_rq says the script is to be given first */
    const command_argument *more;
    int more_count;
    PyObject *hash_key;
} job_script;

/* Run it; answer->value is what it returned for this job. */
static route
run_for_job(head *call, const job_script *wanted, PyObject *job_id, script_answer *answer)
{
    const command_argument key = {.object = call->key};
    command_argument arguments[MAX_SCRIPT_ARGUMENTS];
    int count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(wanted->constants); i++) {
        arguments[count++] = (command_argument){.object = PyTuple_GET_ITEM(wanted->constants, i)};
    }
    for (int i = 0; i < wanted->more_count; i++) {
        arguments[count++] = wanted->more[i];
    }
    arguments[count++] = (command_argument){.object = job_id};
    const script_call filled = {
        .script = wanted->script,
        .hash_key = wanted->hash_key,
        .keys = &key,
        .key_count = 1,
        .arguments = arguments,
        .argument_count = count,
        .answer_shape = REPLY_VALUE,
    };
    route way = script_run(call, &filled, answer);
    if (way == TO_HEAD) {
        PyObject *answers = answer->value;
        bool is_one = PyList_Check(answers) && PyList_GET_SIZE(answers) == 1;
        answer->value = is_one ? Py_NewRef(PyList_GET_ITEM(answers, 0)) : NULL;
        Py_DECREF(answers);
        if (!is_one) {
            script_answer_clear(answer);
            way = TO_TAIL;
        }
    }
    return way;
}

/* The number that a script answered, or -1 for a job that it left to RQ. */
static long
number_of(PyObject *answer)
{
    long number = PyLong_Check(answer) ? PyLong_AsLong(answer) : -1;
    PyErr_Clear();
    return number;
}

/* ---- remove ------------------------------------------------------------------------------------ */

const char remove_doc[]
    = "remove($self, /, job, pipeline=None, delete_job=False)\n--\n\n"
      "Remove a job from this registry; return how many entries went, 0 or 1.\n\n"
      "job: a Job or a job id.\n"
      "pipeline: a redis-py pipeline to put the command into; RQ's own path then.\n"
      "delete_job: whether to delete the job itself too, as Job.delete does.\n"
      "One round trip, with delete_job=True too for a job that is none of RQ's special cases (a group, a\n"
      "rate limit, webhooks, a live execution, ...); those cost RQ's own dozen.\n"
      "Raises redis.exceptions.RedisError; with delete_job=True, and after the entry has gone,\n"
      "rq.exceptions.NoSuchJobError for a job that does not exist.\n"
      "Source: rq.registry.BaseRegistry.remove, rq.job.Job.delete; Redis ZREM.";

static bool
is_false(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    bool is_it = value != NULL && PyObject_IsTrue(value) == 0;
    Py_XDECREF(value);
    return is_it;
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

/* Whether deleting this very object is what the script does: a plain Job of the same client, with nothing
   that only RQ knows how to let go. */
static bool
is_plain_job(const head *call, PyObject *job)
{
    const core_state *state = call->state;
    if ((PyObject *)Py_TYPE(job) != state->rq.job_class || !state->rq.delete_keeps_status) {
        return false;
    }
    PyObject *connection = PyObject_GetAttr(job, state->names.connection);
    PyObject *attributes = connection == NULL ? NULL : PyObject_GenericGetDict(job, NULL);
    bool is_plain = connection == call->connection && attributes != NULL
                    && has_none_of(attributes, state->rq.delete_methods)
                    && is_false(job, state->names.group_id)
                    && is_false(job, state->names.has_rate_limit);
    Py_XDECREF(connection);
    Py_XDECREF(attributes);
    return is_plain;
}

/* How delete_jobs.lua learns the queue: from the hash that it fetches, or from the object at hand. NULL, also
   without an exception, for what only RQ can make a name of. */
static PyObject *
origin_argument(const head *call, PyObject *job)
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

/* `job` is NULL where the caller gave an id. */
static route
delete_by_script(head *call, PyObject *job, PyObject *job_id, PyObject **removed)
{
    const installed_rq *rq = &call->state->rq;
    if (!can_stand_for(call, rq->delete_guard) || !is_plain_id(job_id)
        || (job != NULL && !is_plain_job(call, job))) {
        return route_elsewhere();
    }
    PyObject *origin = origin_argument(call, job);
    if (origin == NULL) {
        return route_elsewhere();
    }
    const command_argument more = {.object = origin};
    const job_script wanted = {&script_delete_jobs, rq->delete_arguments, &more, 1, NULL};
    script_answer answer = {NULL, NULL};
    route way = run_for_job(call, &wanted, job_id, &answer);
    Py_DECREF(origin);
    if (way == TO_HEAD && number_of(answer.value) < 0) {
        script_answer_clear(&answer);
        way = TO_TAIL;
    }
    *removed = answer.value;
    return way;
}

static route
remove_entry(head *call, PyObject *job_id, PyObject **removed)
{
    if (!command_takes(job_id)) {
        return TO_TAIL;
    }
    const key_command zrem = {"ZREM", 1, {{.object = job_id}}};
    const reply_spec spec = {.shape = REPLY_INTEGER};
    return head_run(call, &zrem, &spec, removed);
}

static route
remove_in_head(head *call, const call_arguments *given, PyObject **removed)
{
    const core_state *state = call->state;
    PyObject *const parameters[]
        = {state->names.job, state->names.pipeline, state->names.delete_job};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values) || values[0] == NULL
        || (values[1] != NULL && values[1] != Py_None)) {
        return TO_TAIL;
    }
    int delete_job = plain_truth(values[2], false);
    if (delete_job < 0) {
        return TO_TAIL;
    }
    PyObject *job_id = registry_id_of(call, values[0]);
    if (job_id == NULL) {
        return TO_CALLER;
    }
    PyObject *job = job_id == values[0] ? NULL : values[0];
    route way = delete_job ? delete_by_script(call, job, job_id, removed)
                           : remove_entry(call, job_id, removed);
    Py_DECREF(job_id);
    return way;
}

DEFINE_METHOD(remove_job, "remove", METHOD_REMOVE, remove_in_head)

/* ---- requeue ----------------------------------------------------------------------------------- */

const char requeue_doc[]
    = "requeue($self, /, job_or_id, at_front=False)\n--\n\n"
      "Put a job of this registry back on its queue; return the Job.\n\n"
      "job_or_id: a Job or a job id.\n"
      "at_front: whether to put it at the front of the queue.\n"
      "One round trip for an id whose job is none of RQ's special cases (a result, a group, a rate limit,\n"
      "...), two if it has metadata; RQ's own three for those and for a Job, whose attributes are written.\n"
      "Raises rq.exceptions.NoSuchJobError, rq.exceptions.InvalidJobOperation for a job that is not in this\n"
      "registry, and redis.exceptions.RedisError.\n"
      "Source: rq.registry.BaseRegistry.requeue, rq.Queue._enqueue_job.";

/* An id, and jobs of the class that the script knows. */
static bool
is_plain_requeue(const head *call, PyObject *job_or_id)
{
    PyObject *job_class = PyObject_GetAttr(call->self, call->state->names.job_class);
    bool is_plain = job_class == call->state->rq.job_class && is_plain_id(job_or_id)
                    && can_stand_for(call, call->state->rq.requeue_guard);
    Py_XDECREF(job_class);
    return is_plain;
}

static PyObject *
hash_key_of(const head *call, PyObject *job_id)
{
    PyObject *prefix = PyTuple_GET_ITEM(call->state->rq.requeue_arguments, 0);
    const char *text = PyBytes_AsString(prefix);
    return text == NULL ? NULL : PyBytes_FromFormat("%s%s", text, PyUnicode_1BYTE_DATA(job_id));
}

/* A requeue under way, with what the script is given for it. */
typedef struct {
    PyObject *job_id;
    PyObject *at_front;
    bool is_front;
    PyObject *moment;   /* the time of the requeue, */
    PyObject *written;  /* and as RQ writes it */
    PyObject *hash_key; /* bytes */
    PyObject *
        metadata; /* tuple: as stored, as RQ would store it again, and unpickled; NULL until it is read */
} requeueing;

static command_argument
metadata_argument(const requeueing *this, Py_ssize_t which)
{
    if (this->metadata == NULL) {
        return (command_argument){.text = ""};
    }
    return (command_argument){.object = PyTuple_GET_ITEM(this->metadata, which)};
}

/* The answers of requeue_jobs.lua. */
enum { REQUEUED = 1, NOT_IN_REGISTRY = 0, HAS_METADATA = -2 };

static route
run_requeue(head *call, const requeueing *this, script_answer *answer)
{
    const command_argument more[] = {{.object = this->written},
                                     {.text = this->is_front ? "LPUSH" : "RPUSH"},
                                     metadata_argument(this, 0),
                                     metadata_argument(this, 1)};
    const job_script wanted = {&script_requeue_jobs, call->state->rq.requeue_arguments, more,
                               Py_ARRAY_LENGTH(more), this->hash_key};
    return run_for_job(call, &wanted, this->job_id, answer);
}

/* Read the metadata in the hash that came with an answer: what only RQ can make something of goes to the tail. */
static route
read_metadata(const head *call, requeueing *this, const script_answer *answer)
{
    PyObject *found = PyObject_CallFunctionObjArgs(call->state->rq.read_metadata, call->self,
                                                   answer->hash, NULL);
    if (found == NULL) {
        return TO_CALLER;
    }
    if (!PyTuple_Check(found)) {
        Py_DECREF(found);
        return TO_TAIL;
    }
    this->metadata = found;
    return TO_HEAD;
}

static PyObject *
make_requeued_job(const head *call, const requeueing *this, PyObject *fields)
{
    PyObject *metadata = this->metadata == NULL ? Py_None : PyTuple_GET_ITEM(this->metadata, 2);
    return PyObject_CallFunctionObjArgs(call->state->rq.requeued_job, call->self, this->job_id,
                                        fields, this->moment, this->at_front, metadata, NULL);
}

/* Once, or for a job with metadata twice. */
static route
requeue_by_script(head *call, requeueing *this, PyObject **job)
{
    script_answer answer = {NULL, NULL};
    route way = run_requeue(call, this, &answer);
    if (way == TO_HEAD && number_of(answer.value) == HAS_METADATA) {
        way = read_metadata(call, this, &answer);
        script_answer_clear(&answer);
        way = way == TO_HEAD ? run_requeue(call, this, &answer) : way;
    }
    if (way != TO_HEAD) {
        return way;
    }
    switch (number_of(answer.value)) {
    case REQUEUED:
        *job = make_requeued_job(call, this, answer.hash);
        way = *job == NULL ? TO_CALLER : TO_HEAD;
        break;
    case NOT_IN_REGISTRY:
        PyErr_SetNone(call->state->rq.invalid_job_operation);
        way = TO_CALLER;
        break;
    default:
        way = TO_TAIL;
        break;
    }
    script_answer_clear(&answer);
    return way;
}

static route
requeue_at(head *call, requeueing *this, PyObject **job)
{
    int is_front = plain_truth(this->at_front, false);
    if (is_front < 0) {
        return TO_TAIL;
    }
    this->is_front = is_front;
    this->hash_key = hash_key_of(call, this->job_id);
    route way = this->hash_key == NULL ? TO_CALLER : requeue_by_script(call, this, job);
    Py_CLEAR(this->hash_key);
    Py_CLEAR(this->metadata);
    return way;
}

static route
requeue_in_head(head *call, const call_arguments *given, PyObject **job)
{
    PyObject *const parameters[] = {call->state->names.job_or_id, call->state->names.at_front};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values) || values[0] == NULL
        || !is_plain_requeue(call, values[0])) {
        return route_elsewhere();
    }
    requeueing this = {.job_id = values[0], .at_front = values[1] == NULL ? Py_False : values[1]};
    PyObject *moments = PyObject_CallNoArgs(call->state->rq.enqueued_at);
    route way = TO_CALLER;
    if (moments != NULL && PyArg_ParseTuple(moments, "OO", &this.moment, &this.written)) {
        way = requeue_at(call, &this, job);
    }
    Py_XDECREF(moments);
    return way;
}

DEFINE_METHOD(requeue_job, "requeue", METHOD_REQUEUE, requeue_in_head)
