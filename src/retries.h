/* Commands run on a connection of a client's pool, and run again where the client's Retry says
   so. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "client_pool.h"
#include "connection_exchange.h"

int retries_setup_type(PyObject *module, core_state *state);

typedef enum {
    RUN_DONE,
    RUN_FAILED,      /* an exception is set */
    RUN_UNAVAILABLE, /* there is no connection of ours for it: the client's own methods are used */
} run_status;

/* Send the commands on a connection of the pool, and read a reply to each into `replies`, which are
   cleared first, and hold nothing unless it returns RUN_DONE. After a failure of the connection,
   redis-py's Retry decides whether and when the commands are sent again. *was_resent (may be NULL)
   tells whether they were: the server may then have run them more than once. */
run_status run_with_retry(client_pool *pool, const command_buffer *commands,
                          const reply_spec *specs, reply *replies, bool *was_resent);
