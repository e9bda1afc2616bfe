/* The Lua scripts that are compiled in, run by their SHA1. */
#pragma once

#include "route.h"

typedef struct {
    const char *sha1;
    const char *text;
    size_t length;
} script;

extern const script script_clean_registries;
extern const script script_delete_jobs;
extern const script script_has_execution;
extern const script script_requeue_jobs;

typedef struct {
    const script *script;
    PyObject *hash_key; /* bytes: a hash that is read first, in the same write; NULL for none */
    const command_argument *keys;
    int key_count;
    const command_argument *arguments;
    int argument_count;
    reply_shape answer_shape;
    bool
        is_repeatable; /* it changes nothing that RQ's own path would not do once more, whatever the error is */
} script_call;

typedef struct {
    PyObject *hash; /* list of bytes (field, value, ...), where a key was given; else NULL */
    PyObject *value;
} script_answer;

/* TO_HEAD: *answer holds the replies' values. TO_TAIL: the server refused the script, in whatever words, and RQ's own
   commands are to say why, or to do the work. TO_CALLER: it is no refusal (a redirect, the state of the server). */
route script_run(head *call, const script_call *wanted, script_answer *answer);
void script_answer_clear(script_answer *answer);

/* Add SCRIPTS to the module: name -> (SHA1, text), of all scripts that are compiled in. */
int scripts_setup(PyObject *module);
