#include "base_registry.h"

#include <stddef.h>
#include <structmember.h>

#include "changes.h"
#include "registry_call.h"
#include "registry_init.h"

/* RQ keeps a registry's attributes in its __dict__, and so do we: they can be read, set and patched. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weak_references;
} base_registry;

/* ---- Life -------------------------------------------------------------------------------------- */

static int
base_registry_traverse(base_registry *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    return 0;
}

static int
base_registry_clear(base_registry *self)
{
    Py_CLEAR(self->dict);
    return 0;
}

static void
base_registry_dealloc(base_registry *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    base_registry_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject *
base_registry_attributes(PyObject *self)
{
    return ((base_registry *)self)->dict;
}

/* ---- Counts ------------------------------------------------------------------------------------ */

PyDoc_STRVAR(get_job_count_doc,
"get_job_count($self, /, cleanup=True)\n--\n\n"
"Return the number of jobs in this registry, int.\n\n"
"cleanup: whether to run this registry's cleanup first.\n"
"One round trip, cleanup included; where RQ's own cleanup has work to do (abandoned or ready jobs),\n"
"that work's round trips in between.\n"
"Raises redis.exceptions.RedisError.\n"
"Source: rq.registry.BaseRegistry.get_job_count; Redis ZCARD.");

static route
count_jobs(head *call, bool with_cleanup, PyObject **value)
{
    const key_command zcard = {"ZCARD", 0, {{NULL, NULL}}};
    const reply_spec spec = {.shape = REPLY_INTEGER};
    cleanup_kind cleanup = with_cleanup ? route_cleanup(call) : CLEANUP_NOTHING;
    return cleanup == CLEANUP_UNKNOWN ? route_elsewhere()
                                      : head_clean_and_run(call, cleanup, &zcard, &spec, value);
}

static route
get_job_count_in_head(head *call, const call_arguments *given, PyObject **value)
{
    PyObject *cleanup = NULL;
    if (!bind_arguments(given, &call->state->names.cleanup, 1, &cleanup)) {
        return TO_TAIL;
    }
    int with_cleanup = plain_truth(cleanup, true);
    return with_cleanup < 0 ? TO_TAIL : count_jobs(call, with_cleanup, value);
}

static DEFINE_METHOD(get_job_count, "get_job_count", METHOD_GET_JOB_COUNT, get_job_count_in_head)

    PyDoc_STRVAR(count_doc,
"The number of jobs in this registry after its cleanup, int.\n\n"
"One round trip, cleanup included; see get_job_count.\n"
"Source: rq.registry.BaseRegistry.count.");

static PyObject *
count_get(PyObject *self, void *closure)
{
    (void)closure;
    head call;
    PyObject *value = NULL;
    route way = route_begin(&call, self, METHOD_COUNT);
    if (way == TO_HEAD) {
        way = route_calls_rq(&call, call.state->names.get_job_count, METHOD_GET_JOB_COUNT)
                  ? count_jobs(&call, true, &value)
                  : route_elsewhere();
        head_end(&call);
    }
    return way == TO_TAIL ? tail_get(self, NULL, "count") : value;
}

static PyObject *
length_by_rq(PyObject *self)
{
    PyObject *method = tail_get(self, NULL, "__len__");
    PyObject *length = method == NULL ? NULL : PyObject_CallNoArgs(method);
    Py_XDECREF(method);
    return length;
}

/* len() is the count that a caller would get: a subclass may have its own. */
static Py_ssize_t
base_registry_length(PyObject *self)
{
    core_state *state = core_state_of(Py_TYPE(self));
    dispatch methods;
    if (state == NULL || dispatch_of(state, Py_TYPE(self), &methods) < 0) {
        return -1;
    }
    PyObject *count = (methods.in_front & METHOD_LEN) != 0
                          ? PyObject_GetAttr(self, state->names.count)
                          : length_by_rq(self);
    if (count == NULL) {
        return -1;
    }
    /* As the interpreter turns what __len__ returns into a length, with its words for what is none. */
    PyObject *index = PyNumber_Index(count);
    Py_DECREF(count);
    Py_ssize_t length = index == NULL ? -1 : PyNumber_AsSsize_t(index, PyExc_OverflowError);
    Py_XDECREF(index);
    if (length < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "__len__() should return >= 0");
    }
    return length;
}

/* ---- Membership -------------------------------------------------------------------------------- */

/* The id of a job, or the argument itself: what RQ's methods do with `job_or_id`. */
PyObject *
registry_id_of(const head *call, PyObject *job_or_id)
{
    PyObject *job_class = PyObject_GetAttr(call->self, call->state->names.job_class);
    int is_job = job_class == NULL ? -1 : PyObject_IsInstance(job_or_id, job_class);
    Py_XDECREF(job_class);
    if (is_job < 0) {
        return NULL;
    }
    return is_job ? PyObject_GetAttr(job_or_id, call->state->names.id) : Py_NewRef(job_or_id);
}

/* The score of a job, as a float or None. */
route
registry_score_of(head *call, PyObject *job_id, PyObject **score)
{
    if (!command_takes(job_id)) {
        return TO_TAIL;
    }
    const key_command zscore = {"ZSCORE", 1, {{.object = job_id}}};
    const reply_spec spec = {.shape = REPLY_SCORE};
    return head_run(call, &zscore, &spec, score);
}

static route
contains_in_head(head *call, PyObject *item, PyObject **answer)
{
    PyObject *job_id = registry_id_of(call, item);
    PyObject *score = NULL;
    route way = job_id == NULL ? TO_CALLER : registry_score_of(call, job_id, &score);
    if (way == TO_HEAD) {
        *answer = PyBool_FromLong(score != Py_None);
    }
    Py_XDECREF(score);
    Py_XDECREF(job_id);
    return way;
}

static int
base_registry_contains(PyObject *self, PyObject *item)
{
    return route_contains(self, item, METHOD_CONTAINS, contains_in_head);
}

/* ---- Listings ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(get_job_ids_doc,
"get_job_ids($self, /, start=0, end=-1, desc=False, cleanup=True)\n--\n\n"
"Return the ids of the jobs in this registry, a list of str ordered by score.\n\n"
"start, end: first and last rank, both included; negative ones count from the end.\n"
"desc: from the highest score down.\n"
"cleanup: whether to run this registry's cleanup first.\n"
"One round trip, cleanup included; where RQ's own cleanup has work to do, that work's in between.\n"
"Raises redis.exceptions.RedisError; UnicodeDecodeError for an entry that is no UTF-8.\n"
"Source: rq.registry.BaseRegistry.get_job_ids; Redis ZRANGE, ZREVRANGE.");

typedef struct {
    PyObject *start;
    PyObject *end;
    int desc;
    int cleanup;
} range;

/* The arguments of a listing, with their defaults; TO_TAIL where they are not ranks as RQ sends them. */
static route
bind_range(const core_state *state, const call_arguments *given, range *wanted)
{
    PyObject *const parameters[]
        = {state->names.start, state->names.end, state->names.desc, state->names.cleanup};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values)) {
        return TO_TAIL;
    }
    *wanted = (range){.start = values[0], .end = values[1]};
    if ((values[0] != NULL && !PyLong_CheckExact(values[0]))
        || (values[1] != NULL && !PyLong_CheckExact(values[1]))) {
        return TO_TAIL;
    }
    wanted->desc = plain_truth(values[2], false);
    wanted->cleanup = plain_truth(values[3], true);
    return wanted->desc < 0 || wanted->cleanup < 0 ? TO_TAIL : TO_HEAD;
}

static command_argument
rank(PyObject *given, const char *fallback)
{
    return (command_argument){.text = given == NULL ? fallback : NULL, .object = given};
}

static route
list_range(head *call, const range *wanted, const reply_spec *spec, PyObject **value)
{
    const key_command command = {
        /* cppcheck-suppress ctunullpointer ; list_job_ids has a range where it has no command */
        wanted->desc ? "ZREVRANGE" : "ZRANGE",
        2,
        {rank(wanted->start, "0"), rank(wanted->end, "-1")},
    };
    cleanup_kind cleanup = wanted->cleanup ? route_cleanup(call) : CLEANUP_NOTHING;
    return cleanup == CLEANUP_UNKNOWN ? route_elsewhere()
                                      : head_clean_and_run(call, cleanup, &command, spec, value);
}

/* Run a listing whose entries are job ids, or are cut to them. */
static route
list_job_ids(head *call, const key_command *command, const range *wanted, PyObject **value)
{
    reply_spec spec = {.shape = REPLY_TEXTS};
    switch (route_entries(call)) {
    case ENTRIES_UNKNOWN:
        return route_elsewhere();
    case ENTRIES_ARE_STARTS:
        if (head_cut_spec(call, REPLY_JOB_IDS, &spec) < 0) {
            return TO_CALLER;
        }
        break;
    default:
        break;
    }
    route way = command != NULL ? head_run(call, command, &spec, value)
                                : list_range(call, wanted, &spec, value);
    Py_XDECREF(spec.parse_composite_key);
    return way;
}

static route
get_job_ids_in_head(head *call, const call_arguments *given, PyObject **value)
{
    range wanted;
    route way = bind_range(call->state, given, &wanted);
    return way == TO_HEAD ? list_job_ids(call, NULL, &wanted, value) : way;
}

DEFINE_METHOD(get_job_ids, "get_job_ids", METHOD_GET_JOB_IDS, get_job_ids_in_head)

static route
get_job_and_execution_ids_in_head(head *call, const call_arguments *given, PyObject **value)
{
    range wanted;
    if (!route_can_cut(call) || !route_has_texts(call)) {
        return route_elsewhere();
    }
    route way = bind_range(call->state, given, &wanted);
    if (way != TO_HEAD) {
        return way;
    }
    reply_spec spec;
    if (head_cut_spec(call, REPLY_JOB_AND_IDS, &spec) < 0) {
        return TO_CALLER;
    }
    way = list_range(call, &wanted, &spec, value);
    Py_DECREF(spec.parse_composite_key);
    return way;
}

DEFINE_METHOD(get_job_and_execution_ids, "get_job_and_execution_ids",
              METHOD_GET_JOB_AND_EXECUTION_IDS, get_job_and_execution_ids_in_head)

/* ---- Expiry ------------------------------------------------------------------------------------ */

route
registry_timestamp(const head *call, PyObject *timestamp, PyObject **score)
{
    if (timestamp == NULL || timestamp == Py_None) {
        *score = installed_rq_now(call->state);
        return *score == NULL ? TO_CALLER : TO_HEAD;
    }
    if (!PyLong_CheckExact(timestamp) && !PyFloat_CheckExact(timestamp)) {
        return TO_TAIL;
    }
    *score = Py_NewRef(timestamp);
    return TO_HEAD;
}

PyDoc_STRVAR(get_expired_job_ids_doc,
"get_expired_job_ids($self, /, timestamp=None)\n--\n\n"
"Return the ids of the jobs that expired, a list of str ordered by score.\n\n"
"timestamp: Unix timestamp in seconds; those with a score up to it are returned. Default: now.\n"
"One round trip. Raises redis.exceptions.RedisError.\n"
"Source: rq.registry.BaseRegistry.get_expired_job_ids; Redis ZRANGEBYSCORE.");

static route
get_expired_job_ids_in_head(head *call, const call_arguments *given, PyObject **value)
{
    PyObject *timestamp = NULL;
    if (!bind_arguments(given, &call->state->names.timestamp, 1, &timestamp)) {
        return TO_TAIL;
    }
    PyObject *score;
    route way = registry_timestamp(call, timestamp, &score);
    if (way != TO_HEAD) {
        return way;
    }
    const key_command command = {"ZRANGEBYSCORE", 2, {{.text = "0"}, {.object = score}}};
    way = list_job_ids(call, &command, NULL, value);
    Py_DECREF(score);
    return way;
}

static DEFINE_METHOD(get_expired_job_ids, "get_expired_job_ids", METHOD_GET_EXPIRED_JOB_IDS,
                     get_expired_job_ids_in_head)

    const char drop_expired_doc[]
    = "cleanup($self, /, timestamp=None, exception_handlers=None)\n--\n\n"
      "Remove the expired entries from this registry.\n\n"
      "timestamp: Unix timestamp in seconds; entries with a score from 0 up to it go. Default: now.\n"
      "exception_handlers: not used here.\n"
      "One round trip. Raises redis.exceptions.RedisError.\n"
      "Source: `cleanup` of RQ's FinishedJobRegistry, FailedJobRegistry and ExecutionRegistry; Redis\n"
      "ZREMRANGEBYSCORE.";

static route
drop_expired_in_head(head *call, const call_arguments *given, PyObject **value)
{
    PyObject *const parameters[]
        = {call->state->names.timestamp, call->state->names.exception_handlers};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values)) {
        return TO_TAIL;
    }
    PyObject *score;
    route way = registry_timestamp(call, values[0], &score);
    if (way != TO_HEAD) {
        return way;
    }
    const key_command command = {"ZREMRANGEBYSCORE", 2, {{.text = "0"}, {.object = score}}};
    const reply_spec spec = {.shape = REPLY_INTEGER};
    way = head_run(call, &command, &spec, value);
    if (way == TO_HEAD) {
        Py_SETREF(*value, Py_NewRef(Py_None));
    }
    Py_DECREF(score);
    return way;
}

DEFINE_METHOD(drop_expired, "cleanup", METHOD_CLEANUP, drop_expired_in_head)

PyDoc_STRVAR(get_expiration_time_doc,
"get_expiration_time($self, /, job)\n--\n\n"
"Return when the job's entry expires, a datetime in UTC.\n\n"
"job: a Job.\n"
"One round trip. Raises TypeError for a job that is not in the registry, as RQ does, OverflowError for\n"
"one that never expires, and redis.exceptions.RedisError.\n"
"Source: rq.registry.BaseRegistry.get_expiration_time; Redis ZSCORE.");

/* rq.registry.datetime.fromtimestamp(score, rq.registry.timezone.utc) */
PyObject *
registry_datetime(const head *call, PyObject *score)
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

static route
get_expiration_time_in_head(head *call, const call_arguments *given, PyObject **value)
{
    PyObject *job = NULL;
    if (!bind_arguments(given, &call->state->names.job, 1, &job) || job == NULL) {
        return TO_TAIL;
    }
    PyObject *job_id = PyObject_GetAttr(job, call->state->names.id);
    PyObject *score = NULL;
    route way = job_id == NULL ? TO_CALLER : registry_score_of(call, job_id, &score);
    if (way == TO_HEAD) {
        *value = registry_datetime(call, score);
        way = *value == NULL ? TO_CALLER : TO_HEAD;
    }
    Py_XDECREF(score);
    Py_XDECREF(job_id);
    return way;
}

static DEFINE_METHOD(get_expiration_time, "get_expiration_time", METHOD_GET_EXPIRATION_TIME,
                     get_expiration_time_in_head)

    /* ---- The type ---------------------------------------------------------------------------------- */

    static PyMethodDef base_registry_methods[] = {
        {"get_job_count", AS_METHOD(get_job_count), METH_FASTCALL | METH_KEYWORDS,
         get_job_count_doc},
        {"get_job_ids", AS_METHOD(get_job_ids), METH_FASTCALL | METH_KEYWORDS, get_job_ids_doc},
        {"get_expired_job_ids", AS_METHOD(get_expired_job_ids), METH_FASTCALL | METH_KEYWORDS,
         get_expired_job_ids_doc},
        {"get_expiration_time", AS_METHOD(get_expiration_time), METH_FASTCALL | METH_KEYWORDS,
         get_expiration_time_doc},
        {"remove", AS_METHOD(remove_job), METH_FASTCALL | METH_KEYWORDS, remove_doc},
        {"requeue", AS_METHOD(requeue_job), METH_FASTCALL | METH_KEYWORDS, requeue_doc},
        {NULL, NULL, 0, NULL},
};

static PyGetSetDef base_registry_properties[] = {
    {"count", count_get, NULL, count_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef base_registry_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(base_registry, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(base_registry, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(base_registry_doc,
"BaseRegistry(name='default', connection=None, job_class=None, queue=None, serializer=None,\n"
"             death_penalty_class=None)\n--\n\n"
"What all registries of jobs share: a sorted set of job ids, scored by Unix timestamps.\n\n"
"name: the queue's name. connection: a redis-py client, or a URL string.\n"
"job_class: the class of its jobs; default: rq.job.Job.\n"
"queue: a Queue, which gives the name, the connection and the serializer.\n"
"serializer, death_penalty_class: as for rq.Queue.\n"
"No round trip. Source: rq.registry.BaseRegistry.");

static PyType_Slot base_registry_slots[] = {
    {Py_tp_doc, (void *)base_registry_doc},
    {Py_tp_init, registry_init},
    {Py_tp_traverse, base_registry_traverse},
    {Py_tp_clear, base_registry_clear},
    {Py_tp_dealloc, base_registry_dealloc},
    {Py_tp_methods, base_registry_methods},
    {Py_tp_getset, base_registry_properties},
    {Py_tp_members, base_registry_members},
    {Py_sq_length, base_registry_length},
    {Py_sq_contains, base_registry_contains},
    {0, NULL},
};

static PyType_Spec base_registry_spec = {
    .name = "rqreg_ext._core.BaseRegistry",
    .basicsize = sizeof(base_registry),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = base_registry_slots,
};

int
base_registry_setup_type(PyObject *module, core_state *state)
{
    state->base_registry_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &base_registry_spec, NULL);
    return state->base_registry_type == NULL ? -1
                                             : PyModule_AddType(module, state->base_registry_type);
}

int
registry_add_subtype(PyObject *module, core_state *state, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)state->base_registry_type);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}
