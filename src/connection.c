#include "connection.h"

#include <string.h>
#include <time.h>

#include "clients.h"

struct core_connection {
    PyObject *redis_connection;
    const redis_exceptions *exceptions; /* the client pool's, which outlives us */
    reply_reader *reader;
    transport io;
    double health_check_interval; /* seconds; 0: never */
    time_t last_used;
    bool is_spent; /* it was to be disconnected */
};

/* ---- Opening and closing ---------------------------------------------------------------------- */

static time_t
monotonic_second(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static PyObject *
connect(PyObject *connection_class, PyObject *connection_kwargs)
{
    PyObject *no_args = PyTuple_New(0);
    if (no_args == NULL) {
        return NULL;
    }
    PyObject *redis_connection = PyObject_Call(connection_class, no_args, connection_kwargs);
    Py_DECREF(no_args);
    if (redis_connection == NULL) {
        return NULL;
    }
    PyObject *connected = PyObject_CallMethod(redis_connection, "connect", NULL);
    if (connected == NULL) {
        Py_DECREF(redis_connection);
        return NULL;
    }
    Py_DECREF(connected);
    return redis_connection;
}

/* The connection's socket, or NULL without an exception where it has none of the real kind. */
static PyObject *
real_socket(PyObject *redis_connection)
{
    PyObject *socket = PyObject_GetAttrString(redis_connection, "_sock");
    PyObject *module = socket == NULL ? NULL : PyImport_ImportModule("socket");
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "socket");
    /* Looked up at each opening: gevent and its like replace socket.socket. */
    int is_real = type == NULL ? -1 : PyObject_IsInstance(socket, type);
    Py_XDECREF(type);
    Py_XDECREF(module);
    if (is_real != 1) {
        Py_CLEAR(socket);
    }
    if (is_real < 0 && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return socket;
}

static int
read_settings(core_connection *self)
{
    PyObject *interval = PyObject_GetAttrString(self->redis_connection, "health_check_interval");
    if (interval == NULL) {
        return -1;
    }
    self->health_check_interval = PyFloat_AsDouble(interval);
    Py_DECREF(interval);
    return PyErr_Occurred() ? -1 : 0;
}

core_connection *
connection_open(PyObject *connection_class, PyObject *connection_kwargs,
                const redis_exceptions *exceptions, bool *is_refused)
{
    *is_refused = false;
    core_connection *self = PyMem_Calloc(1, sizeof *self);
    if (self == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    self->exceptions = exceptions;
    self->io.fd = -1;
    self->last_used = monotonic_second();
    PyObject *socket = NULL;
    self->redis_connection = connect(connection_class, connection_kwargs);
    if (self->redis_connection == NULL) {
        goto error;
    }
    socket = real_socket(self->redis_connection);
    if (socket == NULL) {
        *is_refused = !PyErr_Occurred();
        goto error;
    }
    if (read_settings(self) < 0 || transport_open(&self->io, socket) < 0) {
        goto error;
    }
    self->reader = reply_reader_new();
    if (self->reader == NULL) {
        goto error;
    }
    Py_DECREF(socket);
    return self;

error:
    Py_XDECREF(socket);
    connection_close(self);
    return NULL;
}

void
connection_free(core_connection *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    transport_close(&self->io);
    reply_reader_free(self->reader);
    Py_CLEAR(self->redis_connection);
    PyMem_Free(self);
    PyErr_Restore(type, value, traceback);
}

int
connection_disconnect(core_connection *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    self->is_spent = true;
    /* It tells the peer only in the process that connected. */
    PyObject *closed = self->redis_connection == NULL
                           ? Py_NewRef(Py_None)
                           : PyObject_CallMethod(self->redis_connection, "disconnect", NULL);
    return errors_restore_unless_raised(closed, type, value, traceback);
}

int
connection_close(core_connection *self)
{
    int result = connection_disconnect(self);
    connection_free(self);
    return result;
}

int
connection_traverse(const core_connection *self, visitproc visit, void *arg)
{
    Py_VISIT(self->redis_connection);
    return transport_traverse(&self->io, visit, arg);
}

bool
connection_is_usable(const core_connection *self)
{
    /* A server that said more than it was asked is not believed the next time. */
    return !self->is_spent && reply_reader_is_at_rest(self->reader)
           && transport_is_quiet(&self->io);
}

PyObject *
connection_object(const core_connection *self)
{
    return self->redis_connection;
}

/* ---- Exchanging ------------------------------------------------------------------------------- */

/* Take over the socket that redis-py's connection has now. */
static int
take_socket(core_connection *self)
{
    PyObject *socket = real_socket(self->redis_connection);
    if (socket == NULL) {
        if (!PyErr_Occurred()) {
            io_failure closed = {IO_CLOSED, false, NULL};
            errors_set_io(self->exceptions, self->redis_connection, &closed);
        }
        return -1;
    }
    transport_close(&self->io);
    int result = transport_open(&self->io, socket);
    Py_DECREF(socket);
    return result;
}

/* redis-py's own PING, after an idle time as long as the client's health_check_interval. Where it fails and
   the client has a Retry, redis-py connects anew. */
static int
check_health(core_connection *self, time_t now)
{
    if (self->health_check_interval <= 0
        || difftime(now, self->last_used) < self->health_check_interval) {
        return 0;
    }
    if (transport_lend(&self->io) < 0) {
        return -1;
    }
    PyObject *checked = PyObject_CallMethod(self->redis_connection, "check_health", NULL);
    Py_XDECREF(checked);
    return checked == NULL ? -1 : take_socket(self);
}

/* Read until the reader has something to say of the reply that it expects. */
static reply_outcome
read_outcome(core_connection *self, PyObject **value)
{
    for (;;) {
        reply_outcome outcome = reply_reader_next(self->reader, value);
        if (outcome != REPLY_INCOMPLETE) {
            return outcome;
        }
        io_failure failure = {IO_DONE, false, NULL};
        const char *data;
        Py_ssize_t received = transport_receive(&self->io, &data, &failure);
        if (received < 0) {
            errors_set_io(self->exceptions, self->redis_connection, &failure);
            return REPLY_RAISED;
        }
        reply_reader_feed(self->reader, data, (size_t)received);
    }
}

/* As redis-py's Sentinel connections do: what a demoted master refuses is retried on the new one. */
static int
is_demoted_master(const core_connection *self, PyObject *error)
{
    PyObject *answer = clients_call("is_demoted", self->redis_connection, error);
    int is_demoted = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return is_demoted;
}

/* 0 for an error that is the caller's; -1 for one that means that the connection is of no use. */
static int
judge_error(const core_connection *self, reply *into)
{
    int is_demoted = is_demoted_master(self, into->error);
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

/* The value, or what is called with it returns. Steals the value. */
static PyObject *
finished(const reply_spec *spec, PyObject *value)
{
    if (spec->finish == NULL) {
        return value;
    }
    PyObject *result = PyObject_CallOneArg(spec->finish, value);
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
        into->value = finished(spec, value);
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
has_found(const reply *answer)
{
    return answer->value != NULL && PyObject_IsTrue(answer->value) == 1;
}

int
connection_exchange(core_connection *self, const command_buffer *commands, const reply_spec *specs,
                    reply *replies)
{
    time_t now = monotonic_second();
    if (check_health(self, now) < 0) {
        return -1;
    }
    self->last_used = now;
    memset(replies, 0, (size_t)commands->count * sizeof *replies);
    io_failure failure = {IO_DONE, false, NULL};
    if (transport_send(&self->io, commands->data, commands->length, &failure) < 0) {
        errors_set_io(self->exceptions, self->redis_connection, &failure);
        return -1;
    }
    for (int i = 0; i < commands->count; i++) {
        reply_spec spec = specs[i];
        if (spec.unless_found && i > 0 && has_found(&replies[i - 1])) {
            spec.shape = REPLY_NOTHING;
        }
        if (read_reply(self, &spec, &replies[i]) < 0) {
            replies_clear(replies, commands->count);
            return -1;
        }
    }
    if (reply_reader_is_at_rest(self->reader)) {
        transport_rest(&self->io);
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
