/* The functions that hiredis's reader calls for each value that it has parsed: they build the
   Python objects.

   Which object a value becomes depends on the shape that the caller expects. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include <hiredis/read.h>

typedef enum {
    REPLY_INTEGER, /* int */
    REPLY_SCORE,   /* float, or None for a member that is not there */
    REPLY_VALUE,   /* whatever came: int, float, bytes, None, bool, list of these */
    REPLY_NOTHING, /* None, whatever came */
    /* What follows is built entry by entry from an array. */
    REPLY_TEXTS,                 /* list of str */
    REPLY_JOB_IDS,               /* list of str: the job id of each "job_id:execution_id" */
    REPLY_JOB_AND_EXECUTION_IDS, /* list of (job id, execution id) */
    REPLY_HAS_JOB, /* bool: whether a "job_id:execution_id" of `job_id` is among the entries */
} reply_shape;

typedef struct {
    reply_shape shape;
    /* REPLY_HAS_JOB: the job id, UTF-8 */
    const char *job_id;
    size_t job_id_length;
    /* REPLY_JOB_IDS and below: RQ's parse_composite_key, see entries.h; borrowed, and kept alive by
       the caller. */
    PyObject *parse_composite_key;
    /* If the previous reply is truthy (RQ must clean up first), read this reply and build nothing:
       the command will be sent again. */
    bool skip_if_previous_truthy;
    /* NULL, or a callable that converts the value. It is called as soon as the reply is read, while
       the server works on the next one. Borrowed, and kept alive by the caller. */
    PyObject *convert;
} reply_spec;

/* The state of reading one reply. */
typedef struct {
    reply_spec spec;
    bool raised;         /* a Python exception is set */
    bool mismatched;     /* the reply is not of the expected shape */
    bool is_out_of_band; /* a push message or an attribute: read, and not kept */
    bool found;          /* REPLY_HAS_JOB: the job id */
    PyObject *error;     /* bytes: the first error message in this reply */
} reply_builder;

/* The functions for a redisReader whose privdata is a reply_builder. */
extern redisReplyObjectFunctions reply_object_functions;

/* The function for strings, for an entry that reply.c parses itself. */
void *reply_create_string(const redisReadTask *task, char *text, size_t length);

static inline bool
reply_is_read_as_list(reply_shape shape)
{
    return shape >= REPLY_TEXTS;
}
