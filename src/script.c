#include "script.h"

#include "lua_sources.h"

#define MOST_REPLIES 2

#define SCRIPT(name)                                                                               \
    const script script_##name = {lua_##name##_sha1, lua_##name##_text, lua_##name##_length};
SCRIPT(clean_registries)
SCRIPT(delete_jobs)
SCRIPT(has_execution)
SCRIPT(requeue_jobs)

static void
add(command_buffer *commands, const script_call *wanted, bool by_sha1)
{
    const script *source = wanted->script;
    if (wanted->hash_key != NULL) {
        command_start(commands, "HGETALL", 1);
        command_add_object(commands, wanted->hash_key);
    }
    int count = 2 + wanted->key_count + wanted->argument_count;
    command_start(commands, by_sha1 ? "EVALSHA" : "EVAL", count);
    if (by_sha1) {
        command_add_text(commands, source->sha1);
    }
    else {
        command_add_bytes(commands, source->text, source->length);
    }
    command_add_integer(commands, wanted->key_count);
    for (int i = 0; i < wanted->key_count; i++) {
        command_add_argument(commands, &wanted->keys[i]);
    }
    for (int i = 0; i < wanted->argument_count; i++) {
        command_add_argument(commands, &wanted->arguments[i]);
    }
}

/* Fills replies for the hash, where one is wanted, and for the script. */
static run_status
run(head *call, const script_call *wanted, bool by_sha1, reply *replies)
{
    const bool has_hash = wanted->hash_key != NULL;
    const reply_spec specs[MOST_REPLIES] = {
        {.shape = has_hash ? REPLY_VALUE : wanted->answer_shape}, {.shape = wanted->answer_shape}};
    command_buffer commands;
    command_init(&commands);
    add(&commands, wanted, by_sha1);
    run_status status = RUN_FAILED;
    if (command_finish(&commands) == 0) {
        status = client_pool_run(call->pool, &commands, specs, replies);
    }
    else if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        /* RQ's own path meets it too, perhaps after something else that it has to say first. */
        PyErr_Clear();
        status = RUN_UNAVAILABLE;
    }
    command_clear(&commands);
    return status;
}

static bool
is_missing(const head *call, const reply *answer)
{
    PyObject *no_script = client_pool_exceptions(call->pool)->NoScriptError;
    return answer->error != NULL && PyErr_GivenExceptionMatches(answer->error, no_script);
}

/* What a script's error is to the call: rqreg_ext._script_errors decides. */
static route
route_after(PyObject *error)
{
    PyObject *module = PyImport_ImportModule("rqreg_ext._script_errors");
    PyObject *raised
        = module == NULL ? NULL : PyObject_CallMethod(module, "error_to_raise", "O", error);
    Py_XDECREF(module);
    if (raised == NULL) {
        return TO_CALLER;
    }
    if (raised == Py_None) {
        Py_DECREF(raised);
        return TO_TAIL;
    }
    errors_raise(raised);
    return TO_CALLER;
}

route
script_run(head *call, const script_call *wanted, script_answer *answer)
{
    reply replies[MOST_REPLIES] = {{NULL, NULL}, {NULL, NULL}};
    const int last = wanted->hash_key != NULL;
    run_status status = run(call, wanted, true, replies);
    if (status == RUN_DONE && is_missing(call, &replies[last])) {
        replies_clear(replies, last + 1);
        status = run(call, wanted, false, replies);
    }
    if (status != RUN_DONE) {
        return status == RUN_UNAVAILABLE ? TO_TAIL : TO_CALLER;
    }
    if (replies[0].error != NULL || replies[last].error != NULL) {
        route way = replies[last].error != NULL && !wanted->is_repeatable
                        ? route_after(replies[last].error)
                        : TO_TAIL;
        replies_clear(replies, last + 1);
        return way;
    }
    answer->hash = last > 0 ? replies[0].value : NULL;
    answer->value = replies[last].value;
    return TO_HEAD;
}

void
script_answer_clear(script_answer *answer)
{
    Py_CLEAR(answer->hash);
    Py_CLEAR(answer->value);
}

/* ---- For what is written in Python ------------------------------------------------------------- */

static int
add_script(PyObject *scripts, const char *name, const script *source)
{
    PyObject *item = Py_BuildValue("(sy#)", source->sha1, source->text, (Py_ssize_t)source->length);
    int result = item == NULL ? -1 : PyDict_SetItemString(scripts, name, item);
    Py_XDECREF(item);
    return result;
}

int
scripts_setup(PyObject *module)
{
#define X(name) {#name, {lua_##name##_sha1, lua_##name##_text, lua_##name##_length}},
    static const struct {
        const char *name;
        script source;
    } all[] = {LUA_SCRIPTS(X)};
#undef X
    PyObject *scripts = PyDict_New();
    int result = scripts == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < Py_ARRAY_LENGTH(all); i++) {
        result = add_script(scripts, all[i].name, &all[i].source);
    }
    if (result == 0) {
        result = PyModule_AddObjectRef(module, "SCRIPTS", scripts);
    }
    Py_XDECREF(scripts);
    return result;
}
