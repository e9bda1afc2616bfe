/* A client of a Redis Cluster: the node that a call goes to, and what to do where that node is no
   longer the right one. rqreg_ext/_fastpath/cluster.py decides. */
#pragma once

#include "client_pool.h"

/* The pool of the node that has the key, a new reference. NULL, without an exception, where
   redis-py must do the call. */
client_pool *cluster_find_pool(core_state *state, PyObject *cluster, PyObject *key);

/* Whether the keys share a hash tag, so that one node has both. */
bool cluster_share_tag(PyObject *key, PyObject *other);

/* Deal with the error of an attempt, which the server or the connection raised. 1: the node has
   changed, or was waited for, and the commands may be sent again. 0: the error is of another kind.
   -1 with an exception. `attempt`: the number of the attempt that failed, counted from 1. */
int cluster_follow(PyObject *cluster, PyObject *error, int attempt);

/* Take note of an error before redis-py does the call instead. 1: the error is one that a cluster's
   client deals with. 0: it is of another kind. -1 with an exception. */
int cluster_note(PyObject *cluster, PyObject *error);

/* Whether all keys of RQ share the slot of this key. 1, 0, or -1 with an exception. */
int cluster_has_one_slot(PyObject *key);
