/* Calls on a client whose methods are wrapped, as by a tracing tool: each command is given to the
   client's execute_command(), goes through the wrappers, and is sent at their bottom
   (stand_in.c).

   Known tracers look at names and keys only: two commands are sent together, and scripts are used.
   Any other wrapper gets each command as RQ's call gives it, with its options, and its reply as
   redis-py returns it, before the next command is sent; and a script as job_script.h says. */
#pragma once

#include "dispatch.h"
#include "retries.h"
#include "stand_in.h"

/* Run commands in one round trip; the words of each are stolen, and may be NULL with an exception.
   A reply is the value that the wrappers returned, or the server's error; the reply to a command
   that is_hash is a list (field, value, ...). RUN_UNAVAILABLE: the client has changed something,
   and its own methods must serve the call. */
run_status wrapped_call_run(fast_call *call, wrapped_command *commands, int count, reply *replies);

/* The shape to read a reply in, so that the wrappers see the value that redis-py would return. */
reply_spec wrapped_spec(const fast_call *call, const reply_spec *wanted);
/* Convert what the wrappers returned, which is stolen, into the wanted shape. If redis-py returns
   no such value for this command: CALL_FALLBACK, or, where they got what RQ's call gives them, what
   RQ's method makes of it. */
call_outcome wrapped_value(const fast_call *call, const reply_spec *wanted, PyObject *returned,
                           PyObject **value);
