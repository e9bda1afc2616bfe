/* Sending commands on a connection, and reading their replies. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "command.h"
#include "connection.h"
#include "reply.h"

/* The reply to one command. Either `value` is set; or `error` is, the exception that redis-py makes
   of the server's error. */
typedef struct {
    PyObject *value;
    PyObject *error;
} reply;

static inline bool
is_answered(const reply *one)
{
    return one->value != NULL || one->error != NULL;
}

/* Send the commands in one write, and read a reply to each into `replies`, which hold nothing
   before. -1 with an exception where that failed: the connection must be disconnected then, and the
   replies hold nothing again. */
int connection_exchange(core_connection *self, const command_buffer *commands,
                        const reply_spec *specs, reply *replies);

/* Release what the replies hold. */
void replies_clear(reply *replies, int count);
