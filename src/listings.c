#include "listings.h"

#include "expiry.h"
#include "registry_call.h"

const char get_job_ids_doc[]
    = "get_job_ids($self, /, start=0, end=-1, desc=False, cleanup=True)\n--\n\n"
      "Return the ids of the jobs in this registry, a list of str ordered by score.\n\n"
      "start, end: first and last rank, both included; negative ones count from the end.\n"
      "desc: from the highest score down.\n"
      "cleanup: whether to run this registry's cleanup first.\n"
      "One round trip, cleanup included; if RQ's own cleanup has work to do, those of that work in addition.\n"
      "Raises redis.exceptions.RedisError; UnicodeDecodeError for an entry that is not UTF-8.\n"
      "Source: rq.registry.BaseRegistry.get_job_ids; Redis ZRANGE, ZREVRANGE.";

typedef struct {
    PyObject *start;
    PyObject *end;
    int desc;
    int cleanup;
} range;

/* The arguments of a listing, with their defaults. CALL_FALLBACK if start or end is not an int: RQ
   sends anything. */
static call_outcome
bind_range(const core_state *state, const call_arguments *given, range *requested)
{
    PyObject *const parameters[]
        = {state->names.start, state->names.end, state->names.desc, state->names.cleanup};
    PyObject *values[Py_ARRAY_LENGTH(parameters)];
    if (!bind_arguments(given, parameters, Py_ARRAY_LENGTH(parameters), values)) {
        return CALL_FALLBACK;
    }
    *requested = (range){.start = values[0], .end = values[1]};
    if ((values[0] != NULL && !PyLong_CheckExact(values[0]))
        || (values[1] != NULL && !PyLong_CheckExact(values[1]))) {
        return CALL_FALLBACK;
    }
    requested->desc = truth_of_builtin(values[2], false);
    requested->cleanup = truth_of_builtin(values[3], true);
    return requested->desc < 0 || requested->cleanup < 0 ? CALL_FALLBACK : CALL_DONE;
}

static command_argument
rank(PyObject *given, const char *fallback)
{
    return (command_argument){.text = given == NULL ? fallback : NULL, .object = given};
}

static call_outcome
list_range(fast_call *call, const range *requested, const reply_spec *spec, PyObject **value)
{
    const key_command command = {
        requested->desc ? "ZREVRANGE" : "ZRANGE",
        2,
        {rank(requested->start, "0"), rank(requested->end, "-1")},
    };
    cleanup_kind cleanup = requested->cleanup ? fast_call_cleanup_kind(call) : CLEANUP_NOTHING;
    return cleanup == CLEANUP_UNKNOWN
               ? use_fallback_unless_raised()
               : fast_call_clean_and_run(call, cleanup, &command, spec, value);
}

/* Fill the spec of a reply whose entries become job ids; the caller releases its
   parse_composite_key, which may be NULL. */
static call_outcome
job_ids_spec(const fast_call *call, reply_spec *spec)
{
    *spec = (reply_spec){.shape = REPLY_TEXTS};
    switch (fast_call_entry_kind(call)) {
    case ENTRIES_UNKNOWN:
        return use_fallback_unless_raised();
    case ENTRIES_ARE_COMPOSITE:
        return composite_key_spec(call, REPLY_JOB_IDS, spec) < 0 ? CALL_RAISED : CALL_DONE;
    default:
        return CALL_DONE;
    }
}

static call_outcome
get_job_ids_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    range requested;
    reply_spec spec;
    call_outcome outcome = bind_range(call->state, given, &requested);
    if (outcome == CALL_DONE) {
        outcome = job_ids_spec(call, &spec);
    }
    if (outcome == CALL_DONE) {
        outcome = list_range(call, &requested, &spec, value);
        Py_XDECREF(spec.parse_composite_key);
    }
    return outcome;
}

DEFINE_METHOD(get_job_ids, "get_job_ids", METHOD_GET_JOB_IDS, get_job_ids_fast);

static call_outcome
get_job_and_execution_ids_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    range requested;
    if (!reply_is_bytes(call) || !text_functions_are_original(call)) {
        return use_fallback_unless_raised();
    }
    call_outcome outcome = bind_range(call->state, given, &requested);
    if (outcome != CALL_DONE) {
        return outcome;
    }
    reply_spec spec;
    if (composite_key_spec(call, REPLY_JOB_AND_EXECUTION_IDS, &spec) < 0) {
        return CALL_RAISED;
    }
    outcome = list_range(call, &requested, &spec, value);
    Py_DECREF(spec.parse_composite_key);
    return outcome;
}

DEFINE_METHOD(get_job_and_execution_ids, "get_job_and_execution_ids",
              METHOD_GET_JOB_AND_EXECUTION_IDS, get_job_and_execution_ids_fast);

const char get_expired_job_ids_doc[]
    = "get_expired_job_ids($self, /, timestamp=None)\n--\n\n"
      "Return the ids of the jobs that expired, a list of str ordered by score.\n\n"
      "timestamp: Unix timestamp in seconds; those with a score up to it are returned. Default: now.\n"
      "One round trip. Raises redis.exceptions.RedisError.\n"
      "Source: rq.registry.BaseRegistry.get_expired_job_ids; Redis ZRANGEBYSCORE.";

static call_outcome
get_expired_job_ids_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    PyObject *timestamp = NULL;
    if (!bind_arguments(given, &call->state->names.timestamp, 1, &timestamp)) {
        return CALL_FALLBACK;
    }
    PyObject *score;
    call_outcome outcome = registry_timestamp(call, timestamp, &score);
    if (outcome != CALL_DONE) {
        return outcome;
    }
    reply_spec spec;
    outcome = job_ids_spec(call, &spec);
    if (outcome == CALL_DONE) {
        const key_command command = {"ZRANGEBYSCORE", 2, {{.text = "0"}, {.object = score}}};
        outcome = fast_call_run(call, &command, &spec, value);
        Py_XDECREF(spec.parse_composite_key);
    }
    Py_DECREF(score);
    return outcome;
}

DEFINE_METHOD(get_expired_job_ids, "get_expired_job_ids", METHOD_GET_EXPIRED_JOB_IDS,
              get_expired_job_ids_fast);
