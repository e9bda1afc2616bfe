/* Commands on a registry's key, and reads that clean the registry up first, in the same round
   trip. */
#pragma once

#include "command.h"
#include "dispatch.h"
#include "reply.h"

/* A command on the registry's key: its name, and its arguments after the key. */
typedef struct {
    const char *name;
    int count;
    command_argument arguments[5];
} key_command;

/* Run one command. CALL_DONE: *value is the reply, a new reference. CALL_FALLBACK: there was no
   connection for it. CALL_RAISED: also for an error that the server replied. */
call_outcome fast_call_run(fast_call *call, const key_command *command, const reply_spec *spec,
                           PyObject **value);

/* Do what the registry's cleanup does, then run the command, in one round trip. Where RQ's own
   cleanup must be called, a probe in the same round trip finds out whether it has anything to do;
   if so, it is called, and the command is sent again. */
call_outcome fast_call_clean_and_run(fast_call *call, cleanup_kind cleanup,
                                     const key_command *command, const reply_spec *spec,
                                     PyObject **value);

/* Fill the spec of a reply whose entries are "job_id:execution_id"; -1 with an exception. The
   caller releases its parse_composite_key. */
int composite_key_spec(const fast_call *call, reply_shape shape, reply_spec *spec);

int registry_call_setup(PyObject *module);
