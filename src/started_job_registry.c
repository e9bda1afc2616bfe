#include "started_job_registry.h"

#include "base_registry.h"
#include "listings.h"
#include "membership.h"
#include "registry_call.h"
#include "script.h"

PyDoc_STRVAR(get_job_and_execution_ids_doc,
"get_job_and_execution_ids($self, /, start=0, end=-1, desc=False, cleanup=True)\n--\n\n"
"Return the running executions, a list of (job id, execution id), two str each, ordered by score.\n\n"
"start, end: first and last rank, both included; negative ones count from the end.\n"
"desc: from the highest score down.\n"
"cleanup: whether to run RQ's cleanup of abandoned jobs first.\n"
"One round trip; where jobs were abandoned, those of RQ's cleanup in between.\n"
"Raises redis.exceptions.RedisError; ValueError for an entry with more than one colon.\n"
"Source: rq.registry.StartedJobRegistry.get_job_and_execution_ids; Redis ZRANGE, ZREVRANGE.");

/* ---- Membership ------------------------------------------------------------------------------ */

/* Whether it can be encoded as UTF-8: a lone surrogate cannot. It may leave another exception set
   if it is false. */
static bool
is_encodable(PyObject *text)
{
    bool encodable = PyUnicode_AsUTF8(text) != NULL;
    if (!encodable && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
    }
    return encodable;
}

/* RQ searches get_job_ids(cleanup=False). The core can search the reply, if that method is not
   overridden, and if the id can be compared byte by byte. */
static bool
can_look_up(const fast_call *call, PyObject *job_id)
{
    return PyUnicode_CheckExact(job_id) && is_encodable(job_id)
           && fast_call_reaches_rq(call, call->state->names.get_job_ids, METHOD_GET_JOB_IDS)
           && fast_call_entry_kind(call) == ENTRIES_ARE_COMPOSITE;
}

/* Look at the job's own executions. If one of them is also in the registry, so is the job, and the
   registry need not be read. If none is, nothing is proved, since the key of the executions may
   have expired. */
static call_outcome
look_up_execution(fast_call *call, PyObject *job_id, PyObject **answer)
{
    PyObject *index = PyObject_CallMethodOneArg(call->state->rq.execution_key_template,
                                                call->state->names.format, job_id);
    if (index == NULL) {
        return CALL_RAISED;
    }
    const command_argument keys[] = {{.object = call->key}, {.object = index}};
    const command_argument arguments[lua_has_execution_argument_count]
        = {[lua_has_execution_job_id] = {.object = job_id}};
    const script_call lookup = {
        .script = &script_has_execution,
        .keys = keys,
        .key_count = 2,
        .arguments = arguments,
        .argument_count = lua_has_execution_argument_count,
        .answer_shape = REPLY_INTEGER,
        .is_repeatable = true,
    };
    script_answer found = {.value = NULL};
    call_outcome outcome = script_run(call, &lookup, &found);
    Py_DECREF(index);
    *answer = found.value;
    return outcome;
}

static call_outcome
search_entries(fast_call *call, PyObject *job_id, PyObject **answer)
{
    reply_spec spec;
    if (composite_key_spec(call, REPLY_HAS_JOB, &spec) < 0) {
        return CALL_RAISED;
    }
    Py_ssize_t length;
    call_outcome outcome = CALL_RAISED;
    spec.job_id = PyUnicode_AsUTF8AndSize(job_id, &length);
    if (spec.job_id != NULL) {
        spec.job_id_length = (size_t)length;
        const key_command command = {"ZRANGE", 2, {{.text = "0"}, {.text = "-1"}}};
        outcome = fast_call_run(call, &command, &spec, answer);
    }
    Py_DECREF(spec.parse_composite_key);
    return outcome;
}

static call_outcome
contains_fast(fast_call *call, PyObject *item, PyObject **answer)
{
    PyObject *job_id = registry_id_of(call, item);
    if (job_id == NULL) {
        return CALL_RAISED;
    }
    call_outcome outcome = can_look_up(call, job_id) ? CALL_DONE : use_fallback_unless_raised();
    if (outcome == CALL_DONE) {
        outcome = look_up_execution(call, job_id, answer);
        if (outcome == CALL_FALLBACK || (outcome == CALL_DONE && PyObject_IsTrue(*answer) == 0)) {
            Py_CLEAR(*answer);
            outcome = search_entries(call, job_id, answer);
        }
    }
    Py_DECREF(job_id);
    return outcome;
}

static int
started_job_registry_contains(PyObject *self, PyObject *item)
{
    return dispatch_contains(self, item, METHOD_STARTED_CONTAINS, contains_fast);
}

/* ---- The type -------------------------------------------------------------------------------- */

static PyMethodDef started_job_registry_methods[] = {
    {"get_job_and_execution_ids", AS_METHOD(get_job_and_execution_ids),
     METH_FASTCALL | METH_KEYWORDS, get_job_and_execution_ids_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(started_job_registry_doc,
"The jobs that are being executed, scored by when their execution is taken for abandoned.\n\n"
"`job_or_id in registry` takes one round trip for a job whose execution is running, and two for any\n"
"other. Source: rq.registry.StartedJobRegistry.");

static PyType_Slot started_job_registry_slots[] = {
    {Py_tp_doc, (void *)started_job_registry_doc},
    {Py_tp_methods, started_job_registry_methods},
    {Py_sq_contains, started_job_registry_contains},
    {0, NULL},
};

static PyType_Spec started_job_registry_spec = {
    .name = "rqreg_ext._core.StartedJobRegistry",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = started_job_registry_slots,
};

int
started_job_registry_setup_type(PyObject *module, core_state *state)
{
    return registry_add_subtype(module, state, &started_job_registry_spec);
}
