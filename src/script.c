#include "script.h"

#include "lua_sources.h"

#define SCRIPT(name)                                                                               \
    const script script_##name = {lua_##name##_sha1, lua_##name##_text, lua_##name##_length};
SCRIPT(delete_jobs)
SCRIPT(has_execution)
SCRIPT(requeue_jobs)

static void
add(command_buffer *commands, const script_call *wanted, bool by_sha1)
{
    const script *source = wanted->script;
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

static run_status
run(head *call, const script_call *wanted, bool by_sha1, const reply_spec *spec, reply *replies)
{
    command_buffer commands;
    command_init(&commands);
    add(&commands, wanted, by_sha1);
    run_status status = RUN_FAILED;
    if (command_finish(&commands) == 0) {
        status = client_pool_run(call->pool, &commands, spec, replies);
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

route
script_run(head *call, const script_call *wanted, const reply_spec *spec, PyObject **value)
{
    reply replies[1];
    run_status status = run(call, wanted, true, spec, replies);
    if (status == RUN_DONE && is_missing(call, &replies[0])) {
        replies_clear(replies, 1);
        status = run(call, wanted, false, spec, replies);
    }
    if (status != RUN_DONE) {
        return status == RUN_UNAVAILABLE ? TO_TAIL : TO_CALLER;
    }
    if (replies[0].error != NULL) {
        replies_clear(replies, 1);
        return TO_TAIL;
    }
    *value = replies[0].value;
    return TO_HEAD;
}
