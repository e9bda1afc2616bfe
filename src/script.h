/* The Lua scripts of src/lua/, which are compiled in. They are run by EVALSHA, and by EVAL where
   the server has not seen them yet. */
#pragma once

#include "command.h"
#include "dispatch.h"
#include "lua_arguments.h"
#include "reply.h"

typedef struct {
    const char *sha1;
    const char *text;
    size_t length;
} script;

extern const script script_clean_registries;
extern const script script_delete_job;
extern const script script_has_execution;
extern const script script_requeue_job;

typedef struct {
    const script *script;
    PyObject *hash_key; /* bytes: a hash to read first, in the same round trip; or NULL */
    const command_argument *keys;
    int key_count;
    const command_argument *arguments;
    int argument_count;
    reply_shape answer_shape;
    /* It changes nothing that RQ's own method would not do again: so any error of the server means
       CALL_FALLBACK. */
    bool is_repeatable;
} script_call;

typedef struct {
    PyObject *hash; /* list of bytes (field, value, ...) where hash_key was given; else NULL */
    PyObject *value;
} script_answer;

/* Run a script. CALL_FALLBACK: the server refused to run it; RQ's own commands may still do the
   work, or say why not. CALL_RAISED: also for errors that are not refusals (a redirect, READONLY,
   OOM, ...). */
call_outcome script_run(fast_call *call, const script_call *request, script_answer *answer);
void script_answer_clear(script_answer *answer);

/* Add SCRIPTS to the module: name -> (SHA1, text, the names of its arguments in order, separated by
   spaces), of all scripts that are compiled in. */
int scripts_setup(PyObject *module);
