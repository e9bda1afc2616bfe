#include "registry_call.h"

static void
add(command_buffer *commands, const head *call, const key_command *command)
{
    command_start(commands, command->name, command->count + 1);
    command_add_object(commands, call->key);
    for (int i = 0; i < command->count; i++) {
        command_add_argument(commands, &command->arguments[i]);
    }
}

/* Run what is in the buffer; the first error reply is raised. */
static route
run(head *call, const command_buffer *commands, const reply_spec *specs, reply *replies)
{
    if (command_finish(commands) < 0) {
        return TO_CALLER;
    }
    switch (client_pool_run(call->pool, commands, specs, replies)) {
    case RUN_UNAVAILABLE:
        return TO_TAIL;
    case RUN_FAILED:
        return TO_CALLER;
    default:
        break;
    }
    for (int i = 0; i < commands->count; i++) {
        if (replies[i].error != NULL) {
            errors_raise(Py_NewRef(replies[i].error));
            replies_clear(replies, commands->count);
            return TO_CALLER;
        }
    }
    return TO_HEAD;
}

route
head_run(head *call, const key_command *command, const reply_spec *spec, PyObject **value)
{
    command_buffer commands;
    reply replies[1];
    command_init(&commands);
    add(&commands, call, command);
    route way = run(call, &commands, spec, replies);
    command_clear(&commands);
    if (way == TO_HEAD) {
        *value = replies[0].value;
    }
    return way;
}

/* What goes in front of the read: the cleanup itself, or the probe that tells whether RQ's is needed: the command by
   which RQ's cleanup reads what it is to work on, so that whoever may do that may do this. */
static void
cleanup_command(cleanup_kind cleanup, PyObject *now, key_command *command, reply_spec *spec)
{
    spec->shape = REPLY_INTEGER;
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

/* One write: the cleanup or its probe, and the read. */
static route
run_both(head *call, cleanup_kind cleanup, const key_command *command, const reply_spec *spec,
         reply *replies)
{
    PyObject *now = installed_rq_now(call->state);
    if (now == NULL) {
        return TO_CALLER;
    }
    key_command first;
    reply_spec specs[2] = {{.shape = REPLY_INTEGER}, *spec};
    specs[1].unless_found = cleanup != CLEANUP_DROPS_EXPIRED;
    cleanup_command(cleanup, now, &first, &specs[0]);
    command_buffer commands;
    command_init(&commands);
    add(&commands, call, &first);
    add(&commands, call, command);
    route way = run(call, &commands, specs, replies);
    command_clear(&commands);
    Py_DECREF(now);
    return way;
}

static route
clean_by_rq_and_run(head *call, const key_command *command, const reply_spec *spec,
                    PyObject **value)
{
    PyObject *cleaned = PyObject_CallMethodNoArgs(call->self, call->state->names.cleanup);
    if (cleaned == NULL) {
        return TO_CALLER;
    }
    Py_DECREF(cleaned);
    return head_run(call, command, spec, value);
}

route
head_clean_and_run(head *call, cleanup_kind cleanup, const key_command *command,
                   const reply_spec *spec, PyObject **value)
{
    if (cleanup == CLEANUP_NOTHING) {
        return head_run(call, command, spec, value);
    }
    reply replies[2];
    route way = run_both(call, cleanup, command, spec, replies);
    if (way != TO_HEAD) {
        return way;
    }
    if (cleanup != CLEANUP_DROPS_EXPIRED && PyObject_IsTrue(replies[0].value) == 1) {
        replies_clear(replies, 2);
        return clean_by_rq_and_run(call, command, spec, value);
    }
    Py_DECREF(replies[0].value);
    *value = replies[1].value;
    return TO_HEAD;
}

int
head_cut_spec(const head *call, reply_shape shape, reply_spec *spec)
{
    *spec = (reply_spec){.shape = shape};
    spec->parse_composite_key
        = installed_rq_name(&call->state->rq, call->state->names.parse_composite_key);
    return spec->parse_composite_key == NULL ? -1 : 0;
}
