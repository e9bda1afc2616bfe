/* Whether the server treats redis-py's idle connection as it treats ours.

   The program may have sent SELECT, AUTH or the like over redis-py's connection, and RQ's calls
   have that database or user from then on. redis-py does not remember such a command, so the server
   is asked once for each connection of redis-py when it is first seen idle. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "client_pool.h"

/* Compare the connection that redis-py would use next with ours, which is claimed. 1: the server
   treats both alike, or redis-py has no idle connection. 0: it does not. -1 with an exception: our
   connection must be disconnected. One round trip on each connection, if redis-py's was not
   compared yet. */
int session_compare(const client_pool *pool, core_connection *ours);
