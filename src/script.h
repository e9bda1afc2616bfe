/* The Lua scripts that are compiled in, run by their SHA1. */
#pragma once

#include "route.h"

typedef struct {
    const char *sha1;
    const char *text;
    size_t length;
} script;

extern const script script_delete_jobs;
extern const script script_has_execution;
extern const script script_requeue_jobs;

typedef struct {
    const script *script;
    const command_argument *keys;
    int key_count;
    const command_argument *arguments;
    int argument_count;
} script_call;

/* TO_HEAD: *value holds the reply's value. TO_TAIL: the server refused the script (ACL, read-only, a type
   that is not RQ's, ...), and RQ's own commands are to say why, or to do the work. */
route script_run(head *call, const script_call *wanted, const reply_spec *spec, PyObject **value);
