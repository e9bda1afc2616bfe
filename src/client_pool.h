/* Connections of the core, in addition to those of a redis-py client: a pool of them for each
   redis-py pool.

   They are made by the redis-py pool's class and arguments, and are closed with it. There are at
   most as many as the pool's maximum, beside redis-py's own. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "connection.h"
#include "state.h"

typedef struct client_pool client_pool;

int client_pool_setup_type(PyObject *module, core_state *state);

/* Make the pool for a redis-py pool. NULL with an exception if that failed; NULL without an
   exception if no weak reference to the redis-py pool can be made. */
client_pool *client_pool_new(core_state *state, PyObject *redis_pool);
/* The redis-py pool, a new reference; NULL without an exception when it is gone. */
PyObject *client_pool_redis_pool(const client_pool *self);
/* Whether the core cannot make connections like the redis-py pool's. */
bool client_pool_is_refused(const client_pool *self);

/* Take a usable connection, claimed. NULL without an exception where none can be had: then the
   client's own methods must serve the call. */
core_connection *client_pool_take(client_pool *self);
/* Give it back, which steals the reference; -1 with an exception on an error. */
int client_pool_give_back(client_pool *self, core_connection *used);
/* Close a connection that failed, and give it back. It connects anew when it is taken again, as
   redis-py's own do. Keeps the exception that is set, and returns 0; or replaces it, and returns
   -1. */
int client_pool_give_back_closed(client_pool *self, core_connection *used);

core_state *client_pool_state(const client_pool *self);
/* The exception classes of the client's package: redis.exceptions, or valkey's. */
const redis_exceptions *client_pool_exceptions(const client_pool *self);
/* Whether the client decodes replies to str, job data included. */
bool client_pool_decodes(const client_pool *self);
