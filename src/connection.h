/* One connection to Redis: opened by redis-py, then read and written by the core.

   A connection object of redis-py's does the handshake (TLS, AUTH, SELECT, RESP version, ...) and
   keeps the socket. The core sends commands and reads replies on that socket by itself. One call
   uses a connection at a time.

   connection_exchange.h sends commands on it. connection_type.h makes it a Python object for
   redis-py's pool. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "errors.h"
#include "state.h"

typedef struct core_connection core_connection;

/* Make a connection by the class and keyword arguments of a redis-py pool, and connect it. It is
   claimed for the caller.

   NULL with redis-py's exception. NULL without an exception, and *is_refused set, if the core
   cannot use it, because its socket or its way of writing commands is not redis-py's. `exceptions`
   must live as long as the connection is used. `generation` is kept for the caller, to tell
   connections of before a pool's reset() from those after it. */
core_connection *connection_open(core_state *state, PyObject *connection_class,
                                 PyObject *connection_kwargs, const redis_exceptions *exceptions,
                                 unsigned int generation, bool *is_refused);
/* Connect a claimed connection anew, after it was disconnected, or is not usable any more. It takes
   the arguments that it was made with, even if its pool has others by now. Returns 0; or -1 where
   connection_open() returns NULL. */
int connection_reopen(core_connection *self, bool *is_refused);
/* Have redis-py disconnect it; nothing is sent where another process opened it. Until it is
   reopened it is not usable. Keeps the exception that is set, and returns 0; if disconnecting
   raised, that exception replaces it, and -1 is returned. */
int connection_disconnect(core_connection *self);

/* Reserve a connection for one call: until connection_unclaim(), no other thread closes its socket.
   False if another call has reserved it. */
bool connection_claim(core_connection *self);
void connection_unclaim(core_connection *self);
/* Whether a claimed connection is open, and all that was received on it was read. */
bool connection_is_usable(const core_connection *self);
/* The process that opened it. Any other process must not send a byte on it. */
pid_t connection_pid(const core_connection *self);
bool connection_is_inherited(const core_connection *self);
unsigned int connection_generation(const core_connection *self);
/* After a call: do what redis-py's pool has asked for during it, and free the memory that a large
   reply took. 0 if the connection can serve another call, 1 if it cannot. -1 with an exception;
   then it cannot either. */
int connection_settle(core_connection *self);
/* redis-py's connection object, borrowed. */
PyObject *connection_object(const core_connection *self);

/* The rest is for connection_exchange.c and connection_type.c. */

time_t connection_clock(void);
/* Stop using the socket: nobody shuts down its descriptor after this. It stays open. */
void connection_release_socket(core_connection *self);
/* -1 with an exception in a child that was forked in the middle of the call: the connection is its
   parent's. */
int connection_check_process(const core_connection *self, bool is_writing);
/* Call a method of redis-py's object that sends and receives, and may connect anew. */
int connection_call_method(core_connection *self, const char *method);
