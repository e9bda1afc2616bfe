#include "job_script.h"

#include <ctype.h>

#include "cluster.h"
#include "guard.h"

bool
is_rq_job_id(PyObject *job_id)
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

bool
script_may_replace_rq(const fast_call *call, PyObject *guard)
{
    PyObject *serializer = PyObject_GetAttr(call->self, call->state->names.serializer);
    bool has_serializer = serializer != NULL;
    Py_XDECREF(serializer);
    return has_serializer && call->state->rq.is_known && !client_pool_decodes(call->pool)
           && guard_holds(guard) == 1
           && (!call->is_cluster || cluster_has_one_slot(call->key) == 1);
}

/* Add the constants and the job id; -1 with an exception if an argument is then missing. */
static int
fill_arguments(const job_script *request, PyObject *job_id)
{
    Py_ssize_t constants = PyTuple_GET_SIZE(request->constants);
    for (Py_ssize_t i = 0; i < constants && i < request->argument_count; i++) {
        request->arguments[i].object = PyTuple_GET_ITEM(request->constants, i);
    }
    request->arguments[request->argument_count].object = job_id;
    for (int i = 0; i < request->argument_count; i++) {
        if (request->arguments[i].text == NULL && request->arguments[i].object == NULL) {
            PyErr_Format(PyExc_SystemError, "argument %d of a script is missing", i);
            return -1;
        }
    }
    return 0;
}

call_outcome
job_script_run(fast_call *call, const job_script *request, PyObject *job_id, script_answer *answer)
{
    const command_argument key = {.object = call->key};
    if (fill_arguments(request, job_id) < 0) {
        return RAISED;
    }
    const script_call filled = {
        .script = request->script,
        .hash_key = request->hash_key,
        .keys = &key,
        .key_count = 1,
        .arguments = request->arguments,
        .argument_count = request->argument_count + 1,
        .answer_shape = REPLY_VALUE,
    };
    call_outcome outcome = script_run(call, &filled, answer);
    if (outcome == SERVED) {
        PyObject *answers = answer->value;
        bool is_one = PyList_Check(answers) && PyList_GET_SIZE(answers) == 1;
        answer->value = is_one ? Py_NewRef(PyList_GET_ITEM(answers, 0)) : NULL;
        Py_DECREF(answers);
        if (!is_one) {
            script_answer_clear(answer);
            outcome = USE_FALLBACK;
        }
    }
    return outcome;
}

long
job_script_number(PyObject *answer)
{
    long number = PyLong_Check(answer) ? PyLong_AsLong(answer) : -1;
    PyErr_Clear();
    return number;
}
