/* One connection to Redis: opened by redis-py, read and written by us.

   The redis-py connection object does the handshake (TLS, AUTH, SELECT, RESP version, ...), and stays
   alive beside its socket. One call uses a connection at a time. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "command.h"
#include "errors.h"
#include "reply.h"

/* The reply to one command: a value, or the exception made of the server's error; one of the two. */
typedef struct {
    PyObject *value;
    PyObject *error;
} reply;

typedef struct core_connection core_connection;

/* Connect by the class and keyword arguments of a redis-py pool. NULL with redis-py's exception, or with
   none and *is_refused set where the socket is not one we can take over. */
core_connection *connection_open(PyObject *connection_class, PyObject *connection_kwargs,
                                 const redis_exceptions *exceptions, bool *is_refused);
/* Have redis-py disconnect, without a word on the wire when another process opened it. 0, and the exception that
   is set stays set; or -1 with another in its place: an interrupt that came meanwhile, or no memory for it.
   Afterwards the connection is not usable. */
int connection_disconnect(core_connection *self);
/* Disconnect, and let go of it even where that failed. */
int connection_close(core_connection *self);
/* Let go of it: redis-py's object disconnects when nobody else holds it. For when objects are being torn
   down, and its methods can no longer be relied on. */
void connection_free(core_connection *self);
int connection_traverse(const core_connection *self, visitproc visit, void *arg);

/* Whether an idle connection can serve another call. */
bool connection_is_usable(const core_connection *self);
/* redis-py's connection object, borrowed. */
PyObject *connection_object(const core_connection *self);

/* Send the commands in one write and read a reply to each. -1 with an exception when the connection
   failed: then it must be closed. */
int connection_exchange(core_connection *self, const command_buffer *commands,
                        const reply_spec *specs, reply *replies);

void replies_clear(reply *replies, int count);
