/* Registry commands in terms of the head: a read with RQ's cleanup fused into its round trip. */
#pragma once

#include "route.h"

/* A command on the registry's key: its name and what follows the key. */
typedef struct {
    const char *name;
    int count;
    command_argument arguments[5];
} key_command;

/* Run one command. TO_HEAD: *value holds the reply's value, a new reference. TO_TAIL: no connection of
   ours could be had. TO_CALLER: an exception is set, an error reply's included. */
route head_run(head *call, const key_command *command, const reply_spec *spec, PyObject **value);

/* Clean up as RQ's `cleanup` of this registry does, then run the command: in one round trip, or, where RQ's
   own cleanup has work to do, with that in between. */
route head_clean_and_run(head *call, cleanup_kind cleanup, const key_command *command,
                         const reply_spec *spec, PyObject **value);

/* The spec of entries that are cut from "job_id:execution_id"; -1 with an exception. The caller releases
   its parse_composite_key. */
int head_cut_spec(const head *call, reply_shape shape, reply_spec *spec);
