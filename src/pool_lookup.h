/* Finds the core's connections for a client, if the core may use any: the client and its pool must
   be redis-py's own and unpatched. */
#pragma once

#include "client_pool.h"

/* The pool for a client, a new reference. NULL, without an exception or with an AttributeError, for
   a client that must be used by its own methods: it is not redis-py's, or it was patched. NULL with
   another exception on an error.

   *is_cluster: whether it is redis-py's client of a cluster. Such a client has a pool for each
   node, and the result is NULL.

   `observations`: NULL if no wrapped client is allowed. Else *observations is set if clients like
   this one are wrapped: a new reference to their Observations (_fastpath/clients/kinds.py). Their
   commands must go through the wrappers. If *is_write_traced, they must also go through the
   wrappers around the methods by which their connections write. */
client_pool *find_client_pool(core_state *state, PyObject *client, bool *is_cluster,
                              PyObject **observations, bool *is_write_traced);

/* The same, but only the client's redis-py pool is looked at, not the client: for the client of a
   cluster's node, and for a client whose wrappers have seen the commands. */
client_pool *find_pool_unchecked(core_state *state, PyObject *client);
