#include "registry_call.h"

#include <string.h>

#include "cluster.h"
#include "raised.h"
#include "retries.h"
#include "wrapped_call.h"

/* ---- Through the wrappers of a client -------------------------------------------------------- */

static bool
is_integer(const char *text)
{
    const char *digits = text + (text[0] == '-');
    return digits[0] != '\0' && digits[strspn(digits, "0123456789")] == '\0';
}

/* RQ calls the client's methods with ints, and with texts that are not integers. */
static PyObject *
argument_as_rq_gives_it(const command_argument *argument)
{
    if (argument->object != NULL) {
        return Py_NewRef(argument->object);
    }
    return is_integer(argument->text) ? PyLong_FromString(argument->text, NULL, 10)
                                      : PyUnicode_FromString(argument->text);
}

static PyObject *
command_as_tuple(PyObject *key, const key_command *command)
{
    PyObject *words = PyTuple_New(command->count + 2);
    PyObject *name = words == NULL ? NULL : PyUnicode_FromString(command->name);
    if (name == NULL) {
        Py_XDECREF(words);
        return NULL;
    }
    PyTuple_SET_ITEM(words, 0, name);
    PyTuple_SET_ITEM(words, 1, Py_NewRef(key));
    for (int i = 0; i < command->count; i++) {
        PyObject *word = argument_as_rq_gives_it(&command->arguments[i]);
        if (word == NULL) {
            Py_DECREF(words);
            return NULL;
        }
        PyTuple_SET_ITEM(words, i + 2, word);
    }
    return words;
}

/* Make of what the wrappers returned what the specs say. */
static call_outcome
convert_all(const fast_call *call, const reply_spec *specs, int count, reply *replies)
{
    for (int i = 0; i < count; i++) {
        PyObject *returned = replies[i].value;
        replies[i].value = NULL;
        call_outcome outcome = returned == NULL
                                   ? CALL_DONE
                                   : wrapped_value(call, &specs[i], returned, &replies[i].value);
        if (outcome != CALL_DONE) {
            replies_clear(replies, count);
            return outcome;
        }
    }
    return CALL_DONE;
}

static call_outcome
run_wrapped(fast_call *call, const key_command *commands, const reply_spec *specs, int count,
            reply *replies)
{
    wrapped_command wrapped[MOST_WRAPPED];
    bool is_built = true;
    for (int i = 0; i < count; i++) {
        PyObject *words = is_built ? command_as_tuple(call->key, &commands[i]) : NULL;
        is_built = words != NULL;
        wrapped[i] = (wrapped_command){
            .words = words,
            .spec = wrapped_spec(call, &specs[i]),
            .is_repeatable = !call->is_as_rq && strcmp(commands[i].name, "ZREM") != 0,
            /* RQ would not read the reply to a probe. */
            .must_return = !call->is_as_rq && specs[i].shape == REPLY_VALUE,
        };
    }
    switch (wrapped_call_run(call, wrapped, count, replies)) {
    case RUN_UNAVAILABLE:
        return CALL_FALLBACK;
    case RUN_FAILED:
        return CALL_RAISED;
    default:
        return convert_all(call, specs, count, replies);
    }
}

/* ---- Commands on a registry's key ------------------------------------------------------------ */

static void
add_key_command(command_buffer *buffer, const fast_call *call, const key_command *command)
{
    command_start(buffer, command->name, command->count + 1);
    command_add_object(buffer, call->key);
    for (int i = 0; i < command->count; i++) {
        command_add_argument(buffer, &command->arguments[i]);
    }
}

/* Raise an error, which is stolen. If redis-py's cluster client knows what to do about it, return
   CALL_FALLBACK instead: RQ's method calls that client. */
static call_outcome
raise_unless_redirected(const fast_call *call, PyObject *error)
{
    int is_noted = call->is_cluster ? cluster_note(call->client, error) : 0;
    if (is_noted != 0) {
        Py_DECREF(error);
        return is_noted < 0 ? CALL_RAISED : CALL_FALLBACK;
    }
    errors_raise(error);
    return CALL_RAISED;
}

static call_outcome
run_directly(fast_call *call, const key_command *commands, const reply_spec *specs, int count,
             reply *replies)
{
    command_buffer buffer;
    command_init(&buffer);
    for (int i = 0; i < count; i++) {
        add_key_command(&buffer, call, &commands[i]);
    }
    run_status status = command_check(&buffer) < 0
                            ? RUN_FAILED
                            : run_with_retry(call->pool, &buffer, specs, replies, NULL);
    command_clear(&buffer);
    if (status == RUN_UNAVAILABLE) {
        return CALL_FALLBACK;
    }
    if (status == RUN_FAILED) {
        return call->is_cluster ? raise_unless_redirected(call, PyErr_GetRaisedException())
                                : CALL_RAISED;
    }
    return CALL_DONE;
}

/* Run the commands; raises the first error that the server replied. */
static call_outcome
run_commands(fast_call *call, const key_command *commands, const reply_spec *specs, int count,
             reply *replies)
{
    call_outcome outcome = call->observations == NULL
                               ? run_directly(call, commands, specs, count, replies)
                               : run_wrapped(call, commands, specs, count, replies);
    if (outcome != CALL_DONE) {
        return outcome;
    }
    for (int i = 0; i < count; i++) {
        if (replies[i].error != NULL) {
            PyObject *error = Py_NewRef(replies[i].error);
            replies_clear(replies, count);
            return raise_unless_redirected(call, error);
        }
    }
    return CALL_DONE;
}

call_outcome
fast_call_run(fast_call *call, const key_command *command, const reply_spec *spec, PyObject **value)
{
    reply replies[1];
    call_outcome outcome = run_commands(call, command, spec, 1, replies);
    if (outcome == CALL_DONE) {
        *value = replies[0].value;
    }
    return outcome;
}

/* The command before the read: the cleanup itself, or a probe for whether RQ's cleanup has work to
   do. RQ's cleanup sends the same command as the probe, so that no other rights are needed. */
static void
cleanup_command(cleanup_kind cleanup, PyObject *now, key_command *command, reply_spec *spec)
{
    *spec = (reply_spec){.shape = REPLY_INTEGER};
    switch (cleanup) {
    case CLEANUP_DROPS_EXPIRED:
        *command = (key_command){"ZREMRANGEBYSCORE", 2, {{.text = "0"}, {.object = now}}};
        break;
    case CLEANUP_IF_EXPIRED:
        *command = (key_command){
            "ZRANGEBYSCORE",
            5,
            {{.text = "0"}, {.object = now}, {.text = "LIMIT"}, {.text = "0"}, {.text = "1"}},
        };
        spec->shape = REPLY_VALUE;
        break;
    default:
        *command = (key_command){"ZRANGE", 2, {{.text = "0"}, {.text = "0"}}};
        spec->shape = REPLY_VALUE;
        break;
    }
}

/* Send the cleanup, or its probe, and the read in one write. */
static call_outcome
run_with_cleanup(fast_call *call, cleanup_kind cleanup, const key_command *command,
                 const reply_spec *spec, reply *replies)
{
    PyObject *now = installed_rq_now(call->state);
    if (now == NULL) {
        return CALL_RAISED;
    }
    key_command commands[2];
    reply_spec specs[2];
    specs[1] = *spec;
    specs[1].skip_if_previous_truthy = cleanup != CLEANUP_DROPS_EXPIRED;
    cleanup_command(cleanup, now, &commands[0], &specs[0]);
    commands[1] = *command;
    call_outcome outcome = run_commands(call, commands, specs, 2, replies);
    Py_DECREF(now);
    return outcome;
}

static call_outcome
clean_by_rq_and_run(fast_call *call, const key_command *command, const reply_spec *spec,
                    PyObject **value)
{
    PyObject *cleaned = PyObject_CallMethodNoArgs(call->self, call->state->names.cleanup);
    if (cleaned == NULL) {
        return CALL_RAISED;
    }
    Py_DECREF(cleaned);
    return fast_call_run(call, command, spec, value);
}

call_outcome
fast_call_clean_and_run(fast_call *call, cleanup_kind cleanup, const key_command *command,
                        const reply_spec *spec, PyObject **value)
{
    if (cleanup == CLEANUP_NOTHING) {
        return fast_call_run(call, command, spec, value);
    }
    if (call->is_as_rq && cleanup != CLEANUP_DROPS_EXPIRED) {
        /* RQ sends no probe. */
        return clean_by_rq_and_run(call, command, spec, value);
    }
    reply replies[2];
    call_outcome outcome = run_with_cleanup(call, cleanup, command, spec, replies);
    if (outcome != CALL_DONE) {
        return outcome;
    }
    if (cleanup != CLEANUP_DROPS_EXPIRED && PyObject_IsTrue(replies[0].value) == 1) {
        replies_clear(replies, 2);
        return clean_by_rq_and_run(call, command, spec, value);
    }
    Py_DECREF(replies[0].value);
    *value = replies[1].value;
    return CALL_DONE;
}

int
composite_key_spec(const fast_call *call, reply_shape shape, reply_spec *spec)
{
    *spec = (reply_spec){.shape = shape};
    spec->parse_composite_key
        = installed_rq_name(&call->state->rq, call->state->names.parse_composite_key);
    return spec->parse_composite_key == NULL ? -1 : 0;
}

/* ---- For what is written in Python ----------------------------------------------------------- */

PyDoc_STRVAR(cleanup_command_doc,
"cleanup_command($module, kind, key, timestamp, /)\n--\n\n"
"Return (name, key, *arguments) of the command that the core sends before a read, for this kind of cleanup.\n\n"
"kind: DROPS_EXPIRED, for which it is the cleanup itself; IF_EXPIRED or IF_ANY, for which it is the probe, whose\n"
"reply is true if the registry's own cleanup must be called. key: str. timestamp: int, the Unix timestamp in\n"
"seconds up to which entries have expired. No round trip. Raises ValueError for another kind.");

static PyObject *
cleanup_command_of(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    int kind;
    PyObject *key;
    PyObject *now;
    if (!PyArg_ParseTuple(arguments, "iOO:cleanup_command", &kind, &key, &now)) {
        return NULL;
    }
    if (kind < CLEANUP_DROPS_EXPIRED || kind > CLEANUP_IF_ANY) {
        return PyErr_Format(PyExc_ValueError, "a cleanup of kind %d has no command", kind);
    }
    key_command command;
    reply_spec spec;
    cleanup_command((cleanup_kind)kind, now, &command, &spec);
    return command_as_tuple(key, &command);
}

static PyMethodDef registry_call_functions[] = {
    {"cleanup_command", cleanup_command_of, METH_VARARGS, cleanup_command_doc},
    {NULL, NULL, 0, NULL},
};

int
registry_call_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, registry_call_functions);
}
