/* Calls on a client that somebody wraps, as tracing tools do: each command is given to the client's
   execute_command(), goes through the wrappers, and is sent at their bottom (stand_in.c). */
#pragma once

#include "dispatch.h"
#include "retries.h"
#include "stand_in.h"

/* Run commands in one round trip; the words of each are stolen, and may be NULL with an exception.
   A reply is what the wrappers returned, or the server's error; one that is_hash is a list (field,
   value, ...). RUN_UNAVAILABLE: the client's own methods must serve the call, since it changed
   something. */
run_status wrapped_call_run(fast_call *call, wrapped_command *commands, int count, reply *replies);

/* What the wrappers are to be shown of a reply, to be what redis-py shows them. */
reply_spec wrapped_spec(const fast_call *call, const reply_spec *wanted);
/* Make of what they returned what is wanted. Steals the value. USE_FALLBACK where it is something
   else. */
call_outcome wrapped_value(const reply_spec *wanted, PyObject *returned, PyObject **value);
