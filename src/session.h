/* Whether the server treats redis-py's idle connection as it treats ours.

   Somebody may have sent SELECT, AUTH or the like over redis-py's connection, and RQ's calls have
   that database or user from then on. redis-py does not remember such a command, so the server is
   asked once for each connection of redis-py's when it is first seen idle. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "client_pool.h"

/* Compare the connection that redis-py would use next with ours, which is claimed. 1: the same, or
   redis-py has none; 0: not the same; -1 with an exception: our connection must be disconnected. A
   round trip on each of the two, only for a connection of redis-py's that was not compared yet. */
int is_same_session(const client_pool *pool, core_connection *ours);
