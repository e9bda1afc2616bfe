#include "wrapped_call.h"

#include "entries.h"
#include "errors.h"
#include "lists.h"
#include "python_calls.h"
#include "raised.h"

/* ---- What is known of the kind of client ----------------------------------------------------- */

/* Use the client by its methods from now on. If it was a script that did not pass, only where there
   would be one. */
static int
note_opaque(const fast_call *call)
{
    const core_state *state = call->state;
    return call->is_for_script
               ? PyObject_SetAttr(call->observations, state->names.passed_keys, Py_None)
               : PyObject_SetAttr(call->observations, state->names.is_opaque, Py_True);
}

/* Whether commands of this name have arrived by this kind of client. */
static int
is_known(const fast_call *call, PyObject *name)
{
    PyObject *arrived = PyObject_GetAttr(call->observations, call->state->names.arrived);
    int known = arrived == NULL ? -1 : PySequence_Contains(arrived, name);
    Py_XDECREF(arrived);
    return known;
}

static int
note_known(const fast_call *call, PyObject *name)
{
    PyObject *arrived = PyObject_GetAttr(call->observations, call->state->names.arrived);
    int known = arrived == NULL ? -1 : PySet_Contains(arrived, name);
    int result = known == 0 ? PySet_Add(arrived, name) : known;
    Py_XDECREF(arrived);
    return result < 0 ? -1 : 0;
}

/* The class of the object that stands in for the client, a new reference. NULL without an exception
   where there can be none. */
static PyObject *
class_for(const fast_call *call)
{
    PyObject *found = PyObject_GetAttr(call->observations, call->state->names.stand_in_class);
    if (found == Py_None) {
        Py_DECREF(found);
        found = call_fastpath("clients.core_stand_in", "make_stand_in_class", "(OO)", call->client,
                              call->observations);
    }
    if (found != NULL && found == Py_None) {
        Py_CLEAR(found);
    }
    return found;
}

/* ---- One command ----------------------------------------------------------------------------- */

static run_status
give_up_on_client(const fast_call *call)
{
    return note_opaque(call) < 0 ? RUN_FAILED : RUN_UNAVAILABLE;
}

/* Decide what to do about an exception that the wrappers raised, and that is neither the server's
   nor the connection's. */
static run_status
judge_exception(const fast_call *call, const stand_in *self, PyObject *error, PyObject *name)
{
    int known = is_known(call, name);
    if (known < 0) {
        return RUN_FAILED;
    }
    /* Before a script has arrived, RQ's method can give the wrapper what RQ sends. */
    bool is_refusal_of_script = call->is_for_script && !self->has_arrived;
    int is_for_rq = ask_fastpath("clients.core_stand_in", "should_fall_back", "(OOiii)", error,
                                 self->innermost_result == NULL ? Py_None : self->innermost_result,
                                 (int)self->has_arrived, known && !is_refusal_of_script,
                                 (int)self->commands[self->current].is_repeatable);
    if (is_for_rq == 0) {
        errors_raise(Py_NewRef(error));
    }
    if (is_for_rq != 1) {
        return RUN_FAILED;
    }
    /* It may be of this job or this moment: others have passed. */
    return is_refusal_of_script && known ? RUN_UNAVAILABLE : give_up_on_client(call);
}

static run_status
status_of_exception(const fast_call *call, stand_in *self, PyObject *name, reply *into)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return RUN_FAILED;
    }
    PyObject *error = PyErr_GetRaisedException();
    run_status status = RUN_DONE;
    if (self->is_changed) {
        status = give_up_on_client(call);
    }
    else if (error == self->innermost_result && self->is_error_reply) {
        into->error = Py_NewRef(error);
    }
    else if (error == self->innermost_result) {
        errors_raise(Py_NewRef(error));
        status = RUN_FAILED;
    }
    else {
        status = judge_exception(call, self, error, name);
    }
    Py_DECREF(error);
    return status;
}

/* Whether the dict has the same fields and values as the list. */
static bool
is_dict_of(PyObject *dict, PyObject *list)
{
    if (!PyDict_CheckExact(dict) || PyDict_GET_SIZE(dict) * 2 != PyList_GET_SIZE(list)) {
        return false;
    }
    for (Py_ssize_t i = 0; i + 1 < PyList_GET_SIZE(list); i += 2) {
        PyObject *value = PyDict_GetItemWithError(dict, PyList_GET_ITEM(list, i));
        if (value != PyList_GET_ITEM(list, i + 1)) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

/* Whether the wrappers returned the reply that they were given. */
static bool
is_unchanged(const stand_in *self, PyObject *returned)
{
    const wrapped_command *command = &self->commands[self->current];
    const reply *raw = &self->replies[self->current];
    if (command->is_hash && raw->value != NULL) {
        return is_dict_of(returned, raw->value);
    }
    if (returned == self->innermost_result) {
        return true;
    }
    bool is_comparable = self->innermost_result != NULL
                         && Py_TYPE(returned) == Py_TYPE(self->innermost_result)
                         && !PyExceptionInstance_Check(returned);
    int is_equal
        = is_comparable ? PyObject_RichCompareBool(returned, self->innermost_result, Py_EQ) : 0;
    PyErr_Clear();
    return is_equal == 1;
}

/* Judge the value that the wrappers returned, which is stolen. */
static run_status
status_of_returned(const fast_call *call, stand_in *self, PyObject *returned, reply *into)
{
    const wrapped_command *command = &self->commands[self->current];
    run_status status = RUN_DONE;
    if (self->is_changed || (!self->has_arrived && command->is_repeatable)) {
        status = give_up_on_client(call);
    }
    else if (!self->has_arrived) {
        /* The command may have changed Redis elsewhere, so it is not repeated: return the wrapper's
           value. */
        into->value = Py_NewRef(returned);
        status = note_opaque(call) < 0 ? RUN_FAILED : RUN_DONE;
    }
    else if (command->must_return && !is_unchanged(self, returned)) {
        if (command->is_repeatable || self->innermost_result == NULL) {
            status = give_up_on_client(call);
        }
        else if (note_opaque(call) < 0) {
            status = RUN_FAILED;
        }
        else {
            *(self->is_error_reply ? &into->error : &into->value)
                = Py_NewRef(self->innermost_result);
        }
    }
    else if (command->is_hash && self->replies[self->current].value != NULL) {
        into->value = Py_NewRef(self->replies[self->current].value);
    }
    else {
        into->value = Py_NewRef(returned);
    }
    Py_DECREF(returned);
    return status;
}

static PyObject *
execute(const fast_call *call, stand_in *self, PyObject *words)
{
    if (call->is_as_rq) {
        return call_fastpath("clients.by_methods", "call_as_rq", "(OO)", self, words);
    }
    PyObject *method = PyObject_GetAttr((PyObject *)self, call->state->names.execute_command);
    PyObject *returned = method == NULL ? NULL : PyObject_Call(method, words, NULL);
    Py_XDECREF(method);
    return returned;
}

/* Give the current command to the client. */
static run_status
run_current(const fast_call *call, stand_in *self, reply *into)
{
    PyObject *words = self->commands[self->current].words;
    PyObject *name = PyTuple_GET_ITEM(words, 0);
    PyObject *returned = execute(call, self, words);
    run_status status = returned == NULL ? status_of_exception(call, self, name, into)
                                         : status_of_returned(call, self, returned, into);
    if (status == RUN_DONE && self->has_arrived && note_known(call, name) < 0) {
        status = RUN_FAILED;
    }
    return status;
}

/* ---- A call ---------------------------------------------------------------------------------- */

/* Give one command after the other to the client. RQ sends nothing after an error; but a command
   that was sent along with the failed one is given to the wrappers too. */
static run_status
run_all(const fast_call *call, stand_in *self, reply *replies)
{
    run_status status = RUN_DONE;
    bool goes_on = true;
    for (int i = 0; goes_on && i < self->count; i++) {
        stand_in_begin(self, i);
        status = run_current(call, self, &replies[i]);
        bool is_next_sent = i + 1 < self->count && is_answered(&self->replies[i + 1]);
        goes_on = status == RUN_DONE && (replies[i].error == NULL || is_next_sent);
    }
    return status;
}

run_status
wrapped_call_run(fast_call *call, wrapped_command *commands, int count, reply *replies)
{
    bool has_all = true;
    for (int i = 0; i < count; i++) {
        replies[i] = (reply){.value = NULL};
        has_all = has_all && commands[i].words != NULL;
    }
    PyObject *class = has_all ? class_for(call) : NULL;
    stand_in *self = class == NULL ? NULL : stand_in_new(call->pool, class, call->client);
    Py_XDECREF(class);
    run_status status = PyErr_Occurred() ? RUN_FAILED : RUN_UNAVAILABLE;
    if (self != NULL) {
        for (int i = 0; i < count; i++) {
            self->commands[i] = commands[i];
            Py_INCREF(commands[i].words);
        }
        self->count = count;
        self->is_as_rq = call->is_as_rq;
        self->is_write_traced = call->is_write_traced;
        status = run_all(call, self, replies);
        stand_in_end(self);
        Py_DECREF(self);
    }
    for (int i = 0; i < count; i++) {
        Py_CLEAR(commands[i].words);
    }
    if (status != RUN_DONE) {
        replies_clear(replies, count);
    }
    return status;
}

/* ---- Replies --------------------------------------------------------------------------------- */

reply_spec
wrapped_spec(const fast_call *call, const reply_spec *wanted)
{
    switch (wanted->shape) {
    case REPLY_INTEGER:
    case REPLY_SCORE:
        return (reply_spec){.shape = wanted->shape};
    default:
        return (reply_spec){.shape = client_pool_decodes(call->pool) ? REPLY_TEXTS : REPLY_VALUE};
    }
}

/* An item of a list as the shape wants it, a new reference; NULL with an exception. */
static PyObject *
converted_item(const reply_spec *wanted, const char *entry, size_t length)
{
    switch (wanted->shape) {
    case REPLY_JOB_IDS:
        return entry_job_id(wanted->parse_composite_key, entry, length);
    case REPLY_JOB_AND_EXECUTION_IDS:
        return entry_job_and_execution_id(wanted->parse_composite_key, entry, length);
    default:
        return entry_text(entry, length);
    }
}

static bool
has_only(PyObject *items, PyTypeObject *type)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
        if (!Py_IS_TYPE(PyTuple_GET_ITEM(items, i), type)) {
            return false;
        }
    }
    return true;
}

static PyObject *
converted_list(const reply_spec *wanted, PyObject *entries)
{
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < PyTuple_GET_SIZE(entries); i++) {
        PyObject *entry = PyTuple_GET_ITEM(entries, i);
        PyObject *item
            = converted_item(wanted, PyBytes_AS_STRING(entry), (size_t)PyBytes_GET_SIZE(entry));
        if (list_append_new(list, item) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
job_is_listed(const reply_spec *wanted, PyObject *entries)
{
    bool found = false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(entries); i++) {
        PyObject *entry = PyTuple_GET_ITEM(entries, i);
        int matches = entry_is_of_job(wanted->parse_composite_key, PyBytes_AS_STRING(entry),
                                      (size_t)PyBytes_GET_SIZE(entry), wanted->job_id,
                                      wanted->job_id_length);
        if (matches < 0) {
            return NULL;
        }
        found = found || matches == 1;
    }
    return PyBool_FromLong(found);
}

/* A list as the shape wants it; NULL without an exception where it is none. */
static PyObject *
converted(const reply_spec *wanted, PyObject *returned)
{
    if (!PyList_CheckExact(returned)) {
        return NULL;
    }
    /* A copy: RQ's parse_composite_key is Python code, which may run others. */
    PyObject *items = PyList_AsTuple(returned);
    PyObject *result = NULL;
    if (items == NULL) {
        return NULL;
    }
    if (wanted->shape == REPLY_TEXTS && has_only(items, &PyUnicode_Type)) {
        result = PySequence_List(items);
    }
    else if (has_only(items, &PyBytes_Type)) {
        result = wanted->shape == REPLY_HAS_JOB ? job_is_listed(wanted, items)
                                                : converted_list(wanted, items);
    }
    Py_DECREF(items);
    return result;
}

/* What RQ's method makes of a reply that the wrappers changed, a new reference. */
static PyObject *
converted_by_rq(const fast_call *call, const reply_spec *wanted, PyObject *returned)
{
    switch (wanted->shape) {
    case REPLY_TEXTS:
    case REPLY_JOB_IDS:
        return call_fastpath("clients.core_stand_in", "job_ids_by_rq", "(OO)", call->self,
                             returned);
    case REPLY_JOB_AND_EXECUTION_IDS:
        return call_fastpath("clients.core_stand_in", "executions_by_rq", "(O)", returned);
    case REPLY_HAS_JOB:
        return call_fastpath("clients.core_stand_in", "has_job_by_rq", "(OOs#)", call->self,
                             returned, wanted->job_id, (Py_ssize_t)wanted->job_id_length);
    default:
        return Py_NewRef(returned);
    }
}

static call_outcome
outcome_of_changed(const fast_call *call, const reply_spec *wanted, PyObject *returned,
                   PyObject **value)
{
    if (!call->is_as_rq) {
        return CALL_FALLBACK;
    }
    *value = converted_by_rq(call, wanted, returned);
    return *value == NULL ? CALL_RAISED : CALL_DONE;
}

call_outcome
wrapped_value(const fast_call *call, const reply_spec *wanted, PyObject *returned, PyObject **value)
{
    PyObject *found = NULL;
    switch (wanted->shape) {
    case REPLY_INTEGER:
        found = PyLong_CheckExact(returned) ? Py_NewRef(returned) : NULL;
        break;
    case REPLY_SCORE:
        found = returned == Py_None || PyFloat_CheckExact(returned) ? Py_NewRef(returned) : NULL;
        break;
    case REPLY_VALUE:
        found = Py_NewRef(returned);
        break;
    case REPLY_NOTHING:
        found = Py_NewRef(Py_None);
        break;
    default:
        found = converted(wanted, returned);
        break;
    }
    call_outcome outcome = found != NULL ? CALL_DONE : CALL_RAISED;
    if (found == NULL && !PyErr_Occurred()) {
        outcome = outcome_of_changed(call, wanted, returned, &found);
    }
    Py_DECREF(returned);
    *value = found;
    return outcome;
}
