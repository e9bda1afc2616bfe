#include "connection.h"

#include <unistd.h>

#include "connection_struct.h"
#include "raised.h"
#include "redis_connection.h"
#include "threads.h"

/* ---- Opening and closing --------------------------------------------------------------------- */

time_t
connection_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static int
call_redis_connection(core_connection *self, const char *method)
{
    PyObject *done = PyObject_CallMethod(self->redis_connection, method, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Have redis-py connect; once more if another thread asked to disconnect during the first time. */
static int
connect_by_redis_py(core_connection *self)
{
    self->needs_reconnect = false;
    self->has_renewed_credentials = false;
    int result = call_redis_connection(self, "connect");
    while (result == 0 && self->needs_reconnect) {
        self->needs_reconnect = false;
        result = call_redis_connection(self, "disconnect") < 0
                     ? -1
                     : call_redis_connection(self, "connect");
    }
    return result;
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
    self->pid = getpid();
    self->is_claimed = true;
    return self;
}

static void
set_closed(const core_connection *self)
{
    io_failure closed = {.status = IO_CLOSED};
    errors_set_io(self->exceptions, self->redis_connection, &closed);
}

/* Begin to use a socket. */
static int
use_socket(core_connection *self, PyObject *socket)
{
    transport opened;
    int result = transport_open(&opened, socket, self->pid);
    Py_BEGIN_CRITICAL_SECTION(self);
    self->io = opened;
    Py_END_CRITICAL_SECTION();
    return result;
}

void
connection_release_socket(core_connection *self)
{
    transport released;
    Py_BEGIN_CRITICAL_SECTION(self);
    released = self->io;
    self->io = (transport){.fd = -1, .pid = released.pid};
    Py_END_CRITICAL_SECTION();
    transport_release(&released);
}

/* Connect, and begin to use the socket. */
static int
open_socket(core_connection *self, bool *is_refused)
{
    *is_refused = false;
    if (connect_by_redis_py(self) < 0) {
        return -1;
    }
    PyObject *socket = NULL;
    if (redis_connection_writes_as_original(self->redis_connection) == 1) {
        socket = redis_connection_socket(self->redis_connection);
    }
    if (socket == NULL) {
        if (!PyErr_Occurred() && self->needs_reconnect) {
            /* Another thread disconnected it after it had connected. */
            set_closed(self);
        }
        *is_refused = !PyErr_Occurred();
        return -1;
    }
    int result = redis_connection_health_check_interval(self->redis_connection,
                                                        &self->health_check_interval)
                         < 0
                     ? -1
                     : use_socket(self, socket);
    Py_DECREF(socket);
    if (result < 0) {
        return -1;
    }
    self->last_used = connection_clock();
    self->reader = reply_reader_new();
    return self->reader == NULL ? -1 : 0;
}

core_connection *
connection_open(core_state *state, PyObject *connection_class, PyObject *connection_kwargs,
                const redis_exceptions *exceptions, unsigned int generation, bool *is_refused)
{
    *is_refused = false;
    core_connection *self
        = create(state, redis_connection_new(connection_class, connection_kwargs), exceptions);
    if (self == NULL) {
        return NULL;
    }
    self->generation = generation;
    if (open_socket(self, is_refused) < 0) {
        (void)connection_disconnect(self);
        Py_CLEAR(self);
    }
    return self;
}

int
connection_reopen(core_connection *self, bool *is_refused)
{
    *is_refused = false;
    /* Disconnect first, also where the server closed it: redis-py connects only an object without a
       socket. */
    return connection_disconnect(self) < 0 ? -1 : open_socket(self, is_refused);
}

int
connection_disconnect(core_connection *self)
{
    PyObject *error = PyErr_GetRaisedException();
    self->needs_reconnect = true;
    /* Before the socket is closed: then its descriptor's number may become another file's. */
    connection_release_socket(self);
    reply_reader_free(self->reader);
    self->reader = NULL;
    /* redis-py shuts the connection down only in the process that opened it. */
    PyObject *closed = PyObject_CallMethod(self->redis_connection, "disconnect", NULL);
    return set_raised_unless_failed(error, closed);
}

bool
connection_claim(core_connection *self)
{
    return !atomic_exchange(&self->is_claimed, true);
}

void
connection_unclaim(core_connection *self)
{
    self->is_claimed = false;
}

pid_t
connection_pid(const core_connection *self)
{
    return self->pid;
}

unsigned int
connection_generation(const core_connection *self)
{
    return self->generation;
}

bool
connection_is_inherited(const core_connection *self)
{
    return self->pid != getpid();
}

bool
connection_is_usable(const core_connection *self)
{
    /* Not if the server sent more than it was asked for. Credentials that were renewed in the last
       moment of a call are told to the server by connecting anew. */
    return !self->needs_reconnect && !self->has_renewed_credentials
           && reply_reader_is_drained(self->reader) && transport_is_quiet(&self->io);
}

PyObject *
connection_object(const core_connection *self)
{
    return self->redis_connection;
}

/* ---- What redis-py does on the socket -------------------------------------------------------- */

/* Begin to use the socket that redis-py's object has now. */
static int
take_socket(core_connection *self)
{
    PyObject *socket = redis_connection_socket(self->redis_connection);
    if (socket == NULL) {
        if (!PyErr_Occurred()) {
            set_closed(self);
        }
        return -1;
    }
    int result = use_socket(self, socket);
    Py_DECREF(socket);
    return result;
}

int
connection_check_process(const core_connection *self, bool is_writing)
{
    if (!connection_is_inherited(self)) {
        return 0;
    }
    io_failure forked = {.status = IO_FORKED, .is_writing = is_writing};
    errors_set_io(self->exceptions, self->redis_connection, &forked);
    return -1;
}

int
connection_call_method(core_connection *self, const char *method)
{
    if (connection_check_process(self, true) < 0) {
        return -1;
    }
    int restored = transport_restore_socket(&self->io);
    connection_release_socket(self);
    PyObject *done
        = restored < 0 ? NULL : PyObject_CallMethod(self->redis_connection, method, NULL);
    Py_XDECREF(done);
    if (done == NULL || take_socket(self) < 0 || connection_check_process(self, true) < 0) {
        return -1;
    }
    if (self->needs_reconnect) {
        /* Another thread has disconnected it since, and may be closing the new socket. */
        set_closed(self);
        return -1;
    }
    return 0;
}

/* ---- Between calls --------------------------------------------------------------------------- */

/* Authenticate with renewed credentials, as redis-py does when a connection is released. */
static int
renew_credentials(core_connection *self)
{
    if (!self->has_renewed_credentials) {
        return 0;
    }
    self->has_renewed_credentials = false;
    return connection_call_method(self, "re_auth");
}

int
connection_settle(core_connection *self)
{
    if (self->needs_reconnect) {
        return 1;
    }
    if (renew_credentials(self) < 0) {
        return -1;
    }
    if (reply_reader_is_drained(self->reader)) {
        transport_shrink_block(&self->io);
        reply_reader_shrink_buffer(self->reader);
    }
    return self->needs_reconnect;
}
