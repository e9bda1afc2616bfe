/* Finds the core's connections for a client, if the core may use any: the client and its pool must
   be redis-py's own and unpatched. */
#pragma once

#include "client_pool.h"

/* The pool for a client, a new reference. NULL, without an exception or with an AttributeError, for
   a client that must be used by its own methods: it is not redis-py's, or somebody patched it. NULL
   with another exception on an error.

   *is_cluster: whether it is redis-py's client of a cluster, which has a pool for each node; then
   NULL. `observations`: NULL, or where to put what is known of clients like this one, if a known
   tracer wraps them (Observations in _fastpath/clients/kinds.py), a new reference. Their commands must go
   through the wrappers; and, where *is_write_traced, through those around what their connections
   write by. */
client_pool *find_client_pool(core_state *state, PyObject *client, bool *is_cluster,
                              PyObject **observations, bool *is_write_traced);

/* As above, by what the client's redis-py pool is, whatever the client itself is: that of a
   cluster's node, or one whose wrappers have seen the commands. */
client_pool *find_pool_by_redis_pool(core_state *state, PyObject *client);
