#include "started_job_registry.h"

#include "base_registry.h"
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

/* ---- Membership -------------------------------------------------------------------------------- */

/* A surrogate has no UTF-8: no entry can hold it, and RQ's own path finds that out. */
static bool
is_encodable(PyObject *text)
{
    bool encodable = PyUnicode_AsUTF8(text) != NULL;
    if (!encodable && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
    }
    return encodable;
}

/* RQ looks for the id among get_job_ids(cleanup=False): so may we, where those are the core's own, and only
   for an id that an entry can be compared with byte by byte. */
static bool
can_look_up(const head *call, PyObject *job_id)
{
    return PyUnicode_CheckExact(job_id) && is_encodable(job_id)
           && route_calls_rq(call, call->state->names.get_job_ids, METHOD_GET_JOB_IDS)
           && route_entries(call) == ENTRIES_ARE_STARTS;
}

/* Ask the job's own executions first: a running one proves that the job is in the registry, however many
   run. "Not found" proves nothing there: that index expires by itself. */
static route
is_running(head *call, PyObject *job_id, PyObject **answer)
{
    PyObject *index = PyObject_CallMethodOneArg(call->state->rq.execution_key_template,
                                                call->state->names.format, job_id);
    if (index == NULL) {
        return TO_CALLER;
    }
    const command_argument keys[] = {{.object = call->key}, {.object = index}};
    const command_argument argument = {.object = job_id};
    const script_call lookup = {
        .script = &script_has_execution,
        .keys = keys,
        .key_count = 2,
        .arguments = &argument,
        .argument_count = 1,
        .answer_shape = REPLY_INTEGER,
        .is_repeatable = true,
    };
    script_answer found = {NULL, NULL};
    route way = script_run(call, &lookup, &found);
    Py_DECREF(index);
    *answer = found.value;
    return way;
}

static route
is_among_entries(head *call, PyObject *job_id, PyObject **answer)
{
    reply_spec spec;
    if (head_cut_spec(call, REPLY_HAS_JOB, &spec) < 0) {
        return TO_CALLER;
    }
    Py_ssize_t length;
    route way = TO_CALLER;
    spec.wanted = PyUnicode_AsUTF8AndSize(job_id, &length);
    if (spec.wanted != NULL) {
        spec.wanted_length = (size_t)length;
        const key_command command = {"ZRANGE", 2, {{.text = "0"}, {.text = "-1"}}};
        way = head_run(call, &command, &spec, answer);
    }
    Py_DECREF(spec.parse_composite_key);
    return way;
}

static route
contains_in_head(head *call, PyObject *item, PyObject **answer)
{
    PyObject *job_id = registry_id_of(call, item);
    if (job_id == NULL) {
        return TO_CALLER;
    }
    route way = can_look_up(call, job_id) ? TO_HEAD : route_elsewhere();
    if (way == TO_HEAD) {
        way = is_running(call, job_id, answer);
        if (way == TO_TAIL || (way == TO_HEAD && PyObject_IsTrue(*answer) == 0)) {
            Py_CLEAR(*answer);
            way = is_among_entries(call, job_id, answer);
        }
    }
    Py_DECREF(job_id);
    return way;
}

static int
started_job_registry_contains(PyObject *self, PyObject *item)
{
    return route_contains(self, item, METHOD_STARTED_CONTAINS, contains_in_head);
}

/* ---- The type ---------------------------------------------------------------------------------- */

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
