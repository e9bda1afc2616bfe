/* Our connections beside those of a redis-py client: one pool of them per redis-py pool. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "command.h"
#include "connection.h"
#include "module.h"

typedef struct client_pool client_pool;

int client_pool_setup_types(PyObject *module, core_state *state);

/* The pool beside the client's own (a new reference), or NULL; then, without an exception or with an
   AttributeError, the client is one whose connections we do not take over. */
client_pool *client_pool_find(core_state *state, PyObject *client);

typedef enum {
    RUN_DONE,
    RUN_FAILED,      /* an exception is set */
    RUN_UNAVAILABLE, /* no connection of ours can be had: redis-py's own path serves the call */
} run_status;

/* Send the commands and read their replies on a connection of the pool. What redis-py's Retry would try
   again is tried again, as often and as late as it says. */
run_status client_pool_run(client_pool *self, const command_buffer *commands,
                           const reply_spec *specs, reply *replies);

/* The exception classes of the client's package: redis.exceptions, or valkey's. */
const redis_exceptions *client_pool_exceptions(const client_pool *self);
/* Whether the client decodes replies to str, job data included. */
bool client_pool_decodes(const client_pool *self);
