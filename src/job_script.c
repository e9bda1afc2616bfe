#include "job_script.h"

#include "cluster.h"
#include "guard.h"
#include "python_calls.h"

bool
is_rq_job_id(PyObject *job_id)
{
    if (!PyUnicode_CheckExact(job_id) || !PyUnicode_IS_ASCII(job_id)) {
        return false;
    }
    const Py_UCS1 *text = PyUnicode_1BYTE_DATA(job_id);
    Py_ssize_t length = PyUnicode_GET_LENGTH(job_id);
    for (Py_ssize_t i = 0; i < length; i++) {
        if (!Py_ISALNUM(text[i]) && text[i] != '_' && text[i] != '-') {
            return false;
        }
    }
    return length > 0;
}

bool
script_may_replace_rq(const fast_call *call, PyObject *guard)
{
    /* An ExecutionRegistry has no serializer: it holds no jobs. */
    PyObject *serializer = PyObject_GetAttr(call->self, call->state->names.serializer);
    bool holds_jobs = serializer != NULL;
    Py_XDECREF(serializer);
    return holds_jobs && call->state->rq.is_known && !client_pool_decodes(call->pool)
           && guard_holds(guard) == 1
           && (!call->is_cluster || cluster_has_one_slot(call->key) == 1);
}

/* Set the constants; -1 with an exception if an argument is then missing. */
static int
set_constants(job_script *request)
{
    Py_ssize_t constants = PyTuple_GET_SIZE(request->constants);
    for (Py_ssize_t i = 0; i < constants && i < request->argument_count; i++) {
        request->arguments[i].object = PyTuple_GET_ITEM(request->constants, i);
    }
    for (int i = 0; i < request->argument_count; i++) {
        if (request->arguments[i].text == NULL && request->arguments[i].object == NULL) {
            PyErr_Format(PyExc_SystemError, "argument %d of a script is missing", i);
            return -1;
        }
    }
    return 0;
}

PyObject *
job_hash_key(PyObject *prefix, PyObject *job_id)
{
    const char *text = PyBytes_AsString(prefix);
    return text == NULL ? NULL : PyBytes_FromFormat("%s%s", text, PyUnicode_1BYTE_DATA(job_id));
}

/* Whether the client's wrappers pass on RQ's commands on this registry: 1, 0, or -1 with an
   exception. */
static int
wrappers_pass_on(const fast_call *call)
{
    PyObject *passed = PyObject_GetAttr(call->observations, call->state->names.passed_keys);
    int is_in = passed == NULL ? -1 : 0;
    if (passed != NULL && passed != Py_None) {
        is_in = PySequence_Contains(passed, call->key);
        if (is_in == 0) {
            is_in = ask_fastpath("clients.wrapped", "passes_for_script", "(OOO)", call->client,
                                 call->observations, call->key);
        }
    }
    Py_XDECREF(passed);
    return is_in;
}

call_outcome
job_script_run(fast_call *call, job_script *request, script_answer *answer)
{
    const command_argument key = {.object = call->key};
    if (set_constants(request) < 0) {
        return CALL_RAISED;
    }
    const script_call filled = {
        .script = request->script,
        .hash_key = request->hash_key,
        .keys = &key,
        .key_count = 1,
        .arguments = request->arguments,
        .argument_count = request->argument_count,
        .answer_shape = REPLY_VALUE,
    };
    if (!call->is_as_rq) {
        return script_run(call, &filled, answer);
    }
    int pass = wrappers_pass_on(call);
    if (pass != 1) {
        return pass < 0 ? CALL_RAISED : CALL_FALLBACK;
    }
    call->is_as_rq = false;
    call->is_for_script = true;
    call_outcome outcome = script_run(call, &filled, answer);
    call->is_as_rq = true;
    call->is_for_script = false;
    return outcome;
}

long
job_script_number(PyObject *answer)
{
    long number = PyLong_CheckExact(answer) ? PyLong_AsLong(answer) : -1;
    PyErr_Clear();
    return number;
}
