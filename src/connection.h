/* One connection to Redis: opened by redis-py, read and written by us.

   The redis-py connection object does the handshake (TLS, AUTH, SELECT, RESP version, ...), and keeps the
   socket. One call uses a connection at a time.

   It is a Python object, which redis-py's pool has among its connections in use: what the pool does to those
   (disconnect, renewed credentials, ...) is done to this one as its state allows. All other attributes are the
   redis-py connection's. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "command.h"
#include "errors.h"
#include "module.h"
#include "reply.h"

/* The reply to one command: a value, or the exception made of the server's error; one of the two. */
typedef struct {
    PyObject *value;
    PyObject *error;
} reply;

typedef struct core_connection core_connection;

int connection_setup_type(PyObject *module, core_state *state);

/* Connect by the class and keyword arguments of a redis-py pool. NULL with redis-py's
   exception, or with none and *is_refused set where the socket is not one we can use. The exceptions must outlive
   every exchange. */
core_connection *connection_open(core_state *state, PyObject *connection_class,
                                 PyObject *connection_kwargs, const redis_exceptions *exceptions,
                                 bool *is_refused);
/* Have redis-py disconnect, without a word on the wire when another process opened it. 0, and the exception that
   is set stays set; or -1 with another in its place: an interrupt that came meanwhile, or no memory for it.
   Afterwards the connection is not usable. */
int connection_disconnect(core_connection *self);

/* Claim a connection, so that nobody else closes its socket; false where somebody has it. One that was opened is. */
bool connection_claim(core_connection *self);
void connection_unclaim(core_connection *self);
/* Whether a claimed connection can serve another call. */
bool connection_is_usable(const core_connection *self);
/* The process that opened it: in another one, not a byte may be sent on it. */
pid_t connection_pid(const core_connection *self);
bool connection_is_inherited(const core_connection *self);
/* After a call: do what the redis-py pool wanted of the connection meanwhile, and give memory back. 0, or 1 where it is
   not usable any more; -1 with an exception, and then it is not usable either. */
int connection_settle(core_connection *self);
/* redis-py's connection object, borrowed. */
PyObject *connection_object(const core_connection *self);

/* Send the commands in one write and read a reply to each. -1 with an exception when the connection
   failed: then it must be closed. */
int connection_exchange(core_connection *self, const command_buffer *commands,
                        const reply_spec *specs, reply *replies);

void replies_clear(reply *replies, int count);
