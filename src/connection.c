#include "connection.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients.h"

struct core_connection {
    PyObject_HEAD
    PyObject *redis_connection;
    const redis_exceptions *exceptions; /* the client pool's, which outlives each exchange */
    reply_reader *reader;
    transport io;
    double health_check_interval; /* seconds; 0: never */
    time_t last_used;
    pid_t pid;                    /* of the process that opened it */
    bool is_busy;                 /* a call uses it: nobody else may close its socket */
    bool is_spent;                /* it was to be disconnected */
    bool has_received;            /* something of the replies */
    bool has_renewed_credentials; /* and has not told the server */
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

/* Whether the connection itself, as it was made, turns commands into bytes as redis-py does: 1, 0, or -1 with an
   exception. */
static int
writes_as_redis_py(PyObject *redis_connection)
{
    PyObject *answer = clients_call("writes_as_redis_py", redis_connection, NULL);
    int is_original = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return is_original;
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

/* Steals the redis-py connection. */
static core_connection *
create(core_state *state, PyObject *redis_connection, const redis_exceptions *exceptions)
{
    PyTypeObject *type = state->connection_type;
    core_connection *self
        = redis_connection == NULL ? NULL : (core_connection *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(redis_connection);
        return NULL;
    }
    self->redis_connection = redis_connection;
    self->exceptions = exceptions;
    self->io.fd = -1;
    self->last_used = monotonic_second();
    self->pid = getpid();
    self->is_busy = true;
    return self;
}

core_connection *
connection_open(core_state *state, PyObject *connection_class, PyObject *connection_kwargs,
                const redis_exceptions *exceptions, bool *is_refused)
{
    *is_refused = false;
    core_connection *self = create(state, connect(connection_class, connection_kwargs), exceptions);
    if (self == NULL) {
        return NULL;
    }
    PyObject *socket = NULL;
    int is_original = writes_as_redis_py(self->redis_connection);
    if (is_original == 1) {
        socket = real_socket(self->redis_connection);
    }
    if (socket == NULL) {
        *is_refused = !PyErr_Occurred();
        goto error;
    }
    if (read_settings(self) < 0 || transport_open(&self->io, socket, self->pid) < 0) {
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
    (void)connection_disconnect(self);
    Py_DECREF(self);
    return NULL;
}

int
connection_disconnect(core_connection *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    self->is_spent = true;
    /* First: the number of its descriptor may be another file's as soon as it is closed. */
    transport_release(&self->io);
    /* It tells the peer only in the process that connected. */
    PyObject *closed = PyObject_CallMethod(self->redis_connection, "disconnect", NULL);
    return errors_restore_unless_raised(closed, type, value, traceback);
}

bool
connection_claim(core_connection *self)
{
    bool is_free = !self->is_busy;
    self->is_busy = true;
    return is_free;
}

void
connection_unclaim(core_connection *self)
{
    self->is_busy = false;
}

pid_t
connection_pid(const core_connection *self)
{
    return self->pid;
}

bool
connection_is_inherited(const core_connection *self)
{
    return self->pid != getpid();
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

static void
set_closed(const core_connection *self)
{
    io_failure closed = {IO_CLOSED, false, NULL};
    errors_set_io(self->exceptions, self->redis_connection, &closed);
}

/* Use the socket that redis-py's connection has now. */
static int
take_socket(core_connection *self)
{
    PyObject *socket = real_socket(self->redis_connection);
    if (socket == NULL) {
        if (!PyErr_Occurred()) {
            set_closed(self);
        }
        return -1;
    }
    int result = transport_open(&self->io, socket, self->pid);
    Py_DECREF(socket);
    return result;
}

/* -1 with an exception in a child that was forked in the middle of the call: the connection is its parent's. */
static int
check_process(const core_connection *self, bool writing)
{
    if (!connection_is_inherited(self)) {
        return 0;
    }
    io_failure forked = {IO_FORKED, writing, NULL};
    errors_set_io(self->exceptions, self->redis_connection, &forked);
    return -1;
}

/* Have redis-py's connection send and receive by itself, and perhaps connect anew. */
static int
have_redis_py(core_connection *self, const char *method)
{
    if (check_process(self, true) < 0) {
        return -1;
    }
    PyObject *done = transport_lend(&self->io) < 0
                         ? NULL
                         : PyObject_CallMethod(self->redis_connection, method, NULL);
    Py_XDECREF(done);
    if (done == NULL || take_socket(self) < 0 || check_process(self, true) < 0) {
        return -1;
    }
    if (self->is_spent) {
        /* Another thread had redis-py disconnect meanwhile, and may be closing the new socket. */
        set_closed(self);
        return -1;
    }
    return 0;
}

/* redis-py's own PING, after an idle time as long as the client's health_check_interval. Where it fails and
   the client has a Retry, redis-py connects anew. */
static int
check_health(core_connection *self, time_t now)
{
    bool is_due = self->health_check_interval > 0
                  && difftime(now, self->last_used) >= self->health_check_interval;
    return is_due ? have_redis_py(self, "check_health") : 0;
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
        /* What was received before may have run a handler of a signal, or a callable of the caller. */
        if (self->has_received && check_process(self, false) < 0) {
            return REPLY_RAISED;
        }
        io_failure failure = {IO_DONE, false, NULL};
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
    self->has_received = false;
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

/* ---- Between two calls ------------------------------------------------------------------------- */

/* Tell the server of credentials that the client's provider has renewed, as redis-py does when a connection is
   given back. */
static int
renew_credentials(core_connection *self)
{
    if (!self->has_renewed_credentials) {
        return 0;
    }
    self->has_renewed_credentials = false;
    return have_redis_py(self, "re_auth");
}

int
connection_settle(core_connection *self)
{
    if (self->is_spent) {
        return 1;
    }
    if (renew_credentials(self) < 0) {
        return -1;
    }
    if (reply_reader_is_at_rest(self->reader)) {
        transport_rest(&self->io);
        reply_reader_rest(self->reader);
    }
    return self->is_spent;
}

/* ---- What redis-py's pool does to its connections in use --------------------------------------- */

/* Of a call that waits, only the wait is ended: the call closes the socket, whose number could be given to another
   file while it uses it. While redis-py itself uses it, it is redis-py's to disconnect. */
static PyObject *
disconnect(core_connection *self, PyObject *args, PyObject *kwargs)
{
    self->is_spent = true;
    if (self->is_busy && self->io.fd >= 0 && !connection_is_inherited(self)) {
        transport_shut_down(&self->io);
        Py_RETURN_NONE;
    }
    if (!self->is_busy) {
        transport_release(&self->io);
    }
    PyObject *method = PyObject_GetAttrString(self->redis_connection, "disconnect");
    PyObject *result = method == NULL ? NULL : PyObject_Call(method, args, kwargs);
    Py_XDECREF(method);
    return result;
}

static PyObject *
mark_for_reconnect(core_connection *self, PyObject *Py_UNUSED(ignored))
{
    self->is_spent = true;
    Py_RETURN_NONE;
}

static PyObject *
set_re_auth_token(core_connection *self, PyObject *token)
{
    PyObject *kept = PyObject_CallMethod(self->redis_connection, "set_re_auth_token", "O", token);
    if (kept == NULL) {
        return NULL;
    }
    self->has_renewed_credentials = true;
    if (connection_claim(self)) {
        if (connection_settle(self) < 0) {
            (void)connection_disconnect(self);
            Py_CLEAR(kept);
        }
        connection_unclaim(self);
    }
    return kept;
}

static PyObject *
get_attribute(core_connection *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr((PyObject *)self, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(self->redis_connection, name);
    }
    return value;
}

static int
set_attribute(core_connection *self, PyObject *name, PyObject *value)
{
    return PyObject_SetAttr(self->redis_connection, name, value);
}

static int
connection_traverse(core_connection *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->redis_connection);
    return transport_traverse(&self->io, visit, arg);
}

/* redis-py's object disconnects when nobody else holds it; where objects are being torn down, its methods can not be
   relied on. */
static void
connection_dealloc(core_connection *self)
{
    PyTypeObject *type_of_self = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    transport_release(&self->io);
    reply_reader_free(self->reader);
    Py_CLEAR(self->redis_connection);
    PyErr_Restore(type, value, traceback);
    type_of_self->tp_free(self);
    Py_DECREF(type_of_self);
}

static PyMethodDef connection_methods[] = {
    {"disconnect", (PyCFunction)(void (*)(void))disconnect, METH_VARARGS | METH_KEYWORDS, NULL},
    {"mark_for_reconnect", (PyCFunction)mark_for_reconnect, METH_NOARGS, NULL},
    {"set_re_auth_token", (PyCFunction)set_re_auth_token, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot connection_slots[] = {
    {Py_tp_methods, connection_methods}, {Py_tp_getattro, get_attribute},
    {Py_tp_setattro, set_attribute},     {Py_tp_traverse, connection_traverse},
    {Py_tp_dealloc, connection_dealloc}, {0, NULL},
};

static PyType_Spec connection_spec = {
    .name = "rqreg_ext._core.Connection",
    .basicsize = sizeof(core_connection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = connection_slots,
};

int
connection_setup_type(PyObject *module, core_state *state)
{
    state->connection_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &connection_spec, NULL);
    return state->connection_type == NULL ? -1 : 0;
}
