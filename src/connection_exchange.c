#include "connection_exchange.h"

#include "connection_struct.h"
#include "redis_connection.h"

/* After an idle time of health_check_interval, have redis-py send a PING. If it fails, redis-py may
   reconnect. */
static int
check_health(core_connection *self, time_t now)
{
    bool is_due = self->health_check_interval > 0
                  && difftime(now, self->last_used) >= self->health_check_interval;
    return is_due ? connection_call_method(self, "check_health") : 0;
}

/* Receive until the reader has an outcome. */
static reply_outcome
read_outcome(core_connection *self, PyObject **value)
{
    for (;;) {
        reply_outcome outcome = reply_reader_next(self->reader, value);
        if (outcome != REPLY_INCOMPLETE) {
            return outcome;
        }
        /* Since the last receipt a signal handler, or a callable of the caller's, may have
           forked. */
        if (self->has_received && connection_check_process(self, false) < 0) {
            return REPLY_RAISED;
        }
        io_failure failure = {.status = IO_DONE};
        const char *data;
        Py_ssize_t received = transport_receive(&self->io, &data, &failure);
        if (received < 0) {
            errors_set_io(self->exceptions, self->redis_connection, &failure);
            return REPLY_RAISED;
        }
        self->has_received = true;
        reply_reader_feed(self->reader, data, (size_t)received);
    }
}

/* Decide what the server's error is about. 0: it is the answer to the command. -1: the connection
   is useless after it, and it is raised. */
static int
judge_error(const core_connection *self, reply *into)
{
    int is_demoted = redis_connection_is_demoted_master(self->redis_connection, into->error);
    if (is_demoted == 0 && !errors_is_connection_failure(self->exceptions, into->error)) {
        return 0;
    }
    if (is_demoted == 0) {
        errors_raise(Py_NewRef(into->error));
    }
    else if (is_demoted == 1) {
        errors_set_demoted_master(self->exceptions);
    }
    Py_CLEAR(into->error);
    return -1;
}

/* The value as the caller wants it; steals the value. */
static PyObject *
apply_converter(const reply_spec *spec, PyObject *value)
{
    if (spec->convert == NULL) {
        return value;
    }
    PyObject *result = PyObject_CallOneArg(spec->convert, value);
    Py_DECREF(value);
    return result;
}

static int
read_reply(core_connection *self, const reply_spec *spec, reply *into)
{
    PyObject *value = NULL;
    reply_reader_expect(self->reader, spec);
    switch (read_outcome(self, &value)) {
    case REPLY_READY:
        into->value = apply_converter(spec, value);
        return into->value == NULL ? -1 : 0;
    case REPLY_IS_ERROR:
        into->error = errors_from_reply(self->redis_connection, value);
        Py_DECREF(value);
        if (into->error == NULL) {
            return -1;
        }
        return judge_error(self, into);
    case REPLY_BROKEN:
        errors_set_broken_reply(self->exceptions, reply_reader_problem(self->reader));
        return -1;
    default:
        return -1;
    }
}

static bool
is_truthy(const reply *answer)
{
    return answer->value != NULL && PyObject_IsTrue(answer->value) == 1;
}

int
connection_exchange(core_connection *self, const command_buffer *commands, const reply_spec *specs,
                    reply *replies)
{
    time_t now = connection_clock();
    if (check_health(self, now) < 0) {
        return -1;
    }
    self->last_used = now;
    self->has_received = false;
    io_failure failure = {.status = IO_DONE};
    if (transport_send(&self->io, commands->data, commands->length, &failure) < 0) {
        errors_set_io(self->exceptions, self->redis_connection, &failure);
        return -1;
    }
    for (int i = 0; i < commands->count; i++) {
        reply_spec spec = specs[i];
        if (spec.skip_if_previous_truthy && i > 0 && is_truthy(&replies[i - 1])) {
            spec.shape = REPLY_NOTHING;
        }
        if (read_reply(self, &spec, &replies[i]) < 0) {
            replies_clear(replies, commands->count);
            return -1;
        }
    }
    return 0;
}

void
replies_clear(reply *replies, int count)
{
    for (int i = 0; i < count; i++) {
        Py_CLEAR(replies[i].value);
        Py_CLEAR(replies[i].error);
    }
}
