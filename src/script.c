#include "script.h"

#include "cluster.h"
#include "lists.h"
#include "lua_sources.h"
#include "python_calls.h"
#include "raised.h"
#include "retries.h"
#include "wrapped_call.h"

#define MOST_REPLIES 2

#define SCRIPT(name)                                                                               \
    const script script_##name = {lua_##name##_sha1, lua_##name##_text, lua_##name##_length};
SCRIPT(clean_registries)
SCRIPT(delete_job)
SCRIPT(has_execution)
SCRIPT(requeue_job)

static void
add_script_call(command_buffer *commands, const script_call *request, bool by_sha1)
{
    const script *source = request->script;
    if (request->hash_key != NULL) {
        command_start(commands, "HGETALL", 1);
        command_add_object(commands, request->hash_key);
    }
    int count = 2 + request->key_count + request->argument_count;
    command_start(commands, by_sha1 ? "EVALSHA" : "EVAL", count);
    if (by_sha1) {
        command_add_text(commands, source->sha1);
    }
    else {
        command_add_bytes(commands, source->text, source->length);
    }
    command_add_integer(commands, request->key_count);
    for (int i = 0; i < request->key_count; i++) {
        command_add_argument(commands, &request->keys[i]);
    }
    for (int i = 0; i < request->argument_count; i++) {
        command_add_argument(commands, &request->arguments[i]);
    }
}

/* ---- Through the wrappers of a client -------------------------------------------------------- */

static PyObject *
argument_as_object(const command_argument *argument)
{
    return argument->object != NULL ? Py_NewRef(argument->object)
                                    : PyUnicode_FromString(argument->text);
}

static int
append_arguments(PyObject *words, const command_argument *arguments, int count)
{
    int result = 0;
    for (int i = 0; result == 0 && i < count; i++) {
        result = list_append_new(words, argument_as_object(&arguments[i]));
    }
    return result;
}

static PyObject *
script_as_tuple(const script_call *request, bool by_sha1)
{
    const script *source = request->script;
    PyObject *words = PyList_New(0);
    if (words == NULL) {
        return NULL;
    }
    bool is_complete
        = list_append_new(words, PyUnicode_FromString(by_sha1 ? "EVALSHA" : "EVAL")) == 0
          && list_append_new(words, PyUnicode_FromString(by_sha1 ? source->sha1 : source->text))
                 == 0
          && list_append_new(words, PyLong_FromLong(request->key_count)) == 0
          && append_arguments(words, request->keys, request->key_count) == 0
          && append_arguments(words, request->arguments, request->argument_count) == 0;
    PyObject *tuple = is_complete ? PyList_AsTuple(words) : NULL;
    Py_DECREF(words);
    return tuple;
}

/* The HGETALL of a hash. A wrapper may hide a job from its caller: such a job must not be changed
   either. */
static wrapped_command
hash_command(PyObject *hash_key)
{
    return (wrapped_command){
        .words = Py_BuildValue("(ss)", "HGETALL", PyBytes_AsString(hash_key)),
        .spec = {.shape = REPLY_VALUE},
        .is_hash = true,
        .is_repeatable = true,
        .must_return = true,
    };
}

/* A ZREM that changes nothing, as no job has the id ' '. RQ sends one on this key: a wrapper that
   changes or refuses it now is heard before the script changes anything. */
static wrapped_command
probe_of_key(PyObject *key)
{
    return (wrapped_command){
        .words = Py_BuildValue("(sOs)", "ZREM", key, " "),
        .spec = {.shape = REPLY_INTEGER},
        .is_repeatable = true,
        .must_return = true,
    };
}

/* Read the hash, and check that the wrappers return the reply. Through unknown wrappers, so with
   the registry's key, in the same round trip. */
static run_status
read_hash(fast_call *call, const script_call *request, reply *into)
{
    wrapped_command commands[MOST_WRAPPED] = {hash_command(request->hash_key)};
    int count = 1;
    if (call->is_for_script && commands[0].words != NULL) {
        commands[count++] = probe_of_key(call->key);
    }
    reply replies[MOST_WRAPPED] = {{.value = NULL}, {.value = NULL}};
    run_status status = wrapped_call_run(call, commands, count, replies);
    *into = replies[0];
    if (into->error == NULL && replies[1].error != NULL) {
        Py_CLEAR(into->value);
        into->error = Py_NewRef(replies[1].error);
    }
    replies_clear(&replies[1], 1);
    return status;
}

/* The same as send_directly(), but with a round trip for each command. */
static run_status
send_wrapped(fast_call *call, const script_call *request, bool by_sha1, reply *replies)
{
    const int last = request->hash_key != NULL;
    if (last > 0) {
        run_status status = read_hash(call, request, &replies[0]);
        if (status != RUN_DONE || replies[0].error != NULL) {
            return status;
        }
    }
    wrapped_command command = {
        .words = script_as_tuple(request, by_sha1),
        .spec = {.shape = request->answer_shape},
        .is_repeatable = request->is_repeatable,
        .must_return = true,
    };
    run_status status = wrapped_call_run(call, &command, 1, &replies[last]);
    if (status != RUN_DONE) {
        replies_clear(replies, last);
    }
    return status;
}

/* ---- Directly -------------------------------------------------------------------------------- */

/* Send the script, after the command that reads the hash, if there is one. */
static run_status
send_directly(fast_call *call, const script_call *request, bool by_sha1, reply *replies)
{
    const bool has_hash = request->hash_key != NULL;
    const reply_spec specs[MOST_REPLIES]
        = {{.shape = has_hash ? REPLY_VALUE : request->answer_shape},
           {.shape = request->answer_shape}};
    command_buffer commands;
    command_init(&commands);
    add_script_call(&commands, request, by_sha1);
    run_status status = RUN_FAILED;
    if (command_check(&commands) == 0) {
        status = run_with_retry(call->pool, &commands, specs, replies, NULL);
    }
    else if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        /* RQ's method will raise it too, but perhaps something else before. */
        PyErr_Clear();
        status = RUN_UNAVAILABLE;
    }
    command_clear(&commands);
    return status;
}

static run_status
send_script(fast_call *call, const script_call *request, bool by_sha1, reply *replies)
{
    return call->observations == NULL ? send_directly(call, request, by_sha1, replies)
                                      : send_wrapped(call, request, by_sha1, replies);
}

static bool
is_missing(const fast_call *call, const reply *answer)
{
    PyObject *no_script = client_pool_exceptions(call->pool)->NoScriptError;
    return answer->error != NULL && PyErr_GivenExceptionMatches(answer->error, no_script);
}

/* Whether a server's error is a refusal of scripts (CALL_FALLBACK), or must be raised:
   rqreg_ext._fastpath.server_errors decides. */
static call_outcome
outcome_of_error(PyObject *error)
{
    PyObject *raised = call_fastpath("server_errors", "error_to_raise", "(O)", error);
    if (raised == NULL) {
        return CALL_RAISED;
    }
    if (raised == Py_None) {
        Py_DECREF(raised);
        return CALL_FALLBACK;
    }
    errors_raise(raised);
    return CALL_RAISED;
}

/* Send the script's SHA1, and its text to a server that does not know it. */
static run_status
send_sha1_or_text(fast_call *call, const script_call *request, reply *replies)
{
    const int last = request->hash_key != NULL;
    run_status status = send_script(call, request, true, replies);
    if (status == RUN_DONE && is_missing(call, &replies[last])) {
        replies_clear(replies, last + 1);
        status = send_script(call, request, false, replies);
    }
    return status;
}

/* Of the attempts of a call on a cluster: each kind has a limit of its own. */
typedef struct {
    int connection_errors;
    int redirects;
} failures;

/* If an attempt ended with an error, have the cluster's client deal with it. 1: make the attempt
   again. 0: the replies and the exception are as they were. -1: an exception is set. */
static int
follow_error(const fast_call *call, run_status status, const reply *replies, failures *seen)
{
    PyObject *error = status == RUN_FAILED       ? PyErr_GetRaisedException()
                      : replies[0].error != NULL ? Py_NewRef(replies[0].error)
                                                 : Py_XNewRef(replies[MOST_REPLIES - 1].error);
    if (error == NULL) {
        return 0;
    }
    int count = status == RUN_FAILED ? ++seen->connection_errors : ++seen->redirects;
    int follows = cluster_follow(call->client, error, count);
    if (follows == 0 && status == RUN_FAILED) {
        errors_raise(Py_NewRef(error));
    }
    Py_DECREF(error);
    return follows;
}

static call_outcome
outcome_of_replies(const script_call *request, run_status status, reply *replies,
                   script_answer *answer)
{
    const int last = request->hash_key != NULL;
    if (status != RUN_DONE) {
        return status == RUN_UNAVAILABLE ? CALL_FALLBACK : CALL_RAISED;
    }
    /* A script with a hash sends HGETALL itself before it changes anything: if only the first reply
       is an error, nothing was done. After a repeatable script, RQ's method can do everything
       again. */
    if (replies[0].error != NULL || replies[last].error != NULL) {
        call_outcome outcome = replies[last].error != NULL && !request->is_repeatable
                                   ? outcome_of_error(replies[last].error)
                                   : CALL_FALLBACK;
        replies_clear(replies, last + 1);
        return outcome;
    }
    /* HGETALL is answered by a list. RQ's method reports anything else. */
    if (last > 0 && !PyList_Check(replies[0].value)) {
        replies_clear(replies, last + 1);
        return CALL_FALLBACK;
    }
    answer->hash = last > 0 ? replies[0].value : NULL;
    answer->value = replies[last].value;
    return CALL_DONE;
}

call_outcome
script_run(fast_call *call, const script_call *request, script_answer *answer)
{
    /* RQ sends no script: unknown wrappers get one by job_script_run() only. */
    call_outcome outcome = call->is_as_rq ? CALL_FALLBACK : CALL_DONE;
    failures seen = {.connection_errors = 0};
    while (outcome == CALL_DONE) {
        reply replies[MOST_REPLIES] = {{.value = NULL}, {.value = NULL}};
        run_status status = send_sha1_or_text(call, request, replies);
        int follows = call->is_cluster ? follow_error(call, status, replies, &seen) : 0;
        if (follows == 0) {
            return outcome_of_replies(request, status, replies, answer);
        }
        replies_clear(replies, MOST_REPLIES);
        outcome = follows < 0 ? CALL_RAISED : fast_call_find_node(call);
    }
    return outcome;
}

void
script_answer_clear(script_answer *answer)
{
    Py_CLEAR(answer->hash);
    Py_CLEAR(answer->value);
}

/* ---- Functions of the module ----------------------------------------------------------------- */

static int
add_script(PyObject *scripts, const char *name, const char *arguments, const script *source)
{
    PyObject *item = Py_BuildValue("(sy#s)", source->sha1, source->text, (Py_ssize_t)source->length,
                                   arguments);
    int result = item == NULL ? -1 : PyDict_SetItemString(scripts, name, item);
    Py_XDECREF(item);
    return result;
}

int
scripts_setup(PyObject *module)
{
#define X(name)                                                                                    \
    {#name, lua_##name##_arguments, {lua_##name##_sha1, lua_##name##_text, lua_##name##_length}},
    static const struct {
        const char *name;
        const char *arguments;
        script source;
    } all[] = {LUA_SCRIPTS(X)};
#undef X
    PyObject *scripts = PyDict_New();
    int result = scripts == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < Py_ARRAY_LENGTH(all); i++) {
        result = add_script(scripts, all[i].name, all[i].arguments, &all[i].source);
    }
    if (result == 0) {
        result = PyModule_AddObjectRef(module, "SCRIPTS", scripts);
    }
    Py_XDECREF(scripts);
    return result;
}
