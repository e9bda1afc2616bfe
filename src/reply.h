/* Python objects built by hiredis's reader while it parses. Knows no socket and no registry.

   A reply_reader is told before each reply what shape to build; an error reply or a push message is
   told apart by the outcome. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include <hiredis/read.h>

typedef enum {
    REPLY_INTEGER,     /* int */
    REPLY_SCORE,       /* float, or None for a member that is not there */
    REPLY_VALUE,       /* whatever came: int, float, bytes, None, bool, list of these */
    REPLY_NOTHING,     /* None: read, and not built */
    REPLY_TEXTS,       /* list of str */
    REPLY_JOB_IDS,     /* list of str: the job's part of each "job_id:execution_id" */
    REPLY_JOB_AND_IDS, /* list of (job id, execution id) */
    REPLY_HAS_JOB,     /* bool: whether a "job_id:execution_id" of `wanted` is among the entries */
} reply_shape;

typedef struct {
    reply_shape shape;
    /* REPLY_HAS_JOB: the job id, UTF-8 */
    const char *wanted;
    size_t wanted_length;
    /* The shapes that cut entries: RQ's parse_composite_key, for the entries that are not
       "job_id:execution_id" in ASCII; borrowed, and kept alive by the caller. */
    PyObject *parse_composite_key;
    /* Not built where the reply before it found something (is true): the command will be sent again. */
    bool unless_found;
    /* What is called with the value as soon as it is read, and returns what stands in its place; borrowed, and
       kept alive by the caller. NULL: nothing. */
    PyObject *finish;
} reply_spec;

typedef enum {
    REPLY_INCOMPLETE, /* more bytes are needed */
    REPLY_READY,      /* *value holds the reply */
    REPLY_IS_ERROR,   /* *value holds the server's error message, bytes */
    REPLY_RAISED,     /* a Python exception is set; the rest of the reply was not read */
    REPLY_BROKEN,     /* what came is no RESP, or not of the shape: see reply_reader_problem */
} reply_outcome;

typedef struct reply_reader reply_reader;

reply_reader *reply_reader_new(void);
void reply_reader_free(reply_reader *reader);

void reply_reader_expect(reply_reader *reader, const reply_spec *spec);
/* Hand over received bytes, which must stay where they are until they are read: until the reader has
   REPLY_INCOMPLETE to say, or is at rest. */
void reply_reader_feed(reply_reader *reader, const char *data, size_t length);
/* Whether all that was received is read, to the end of a reply. */
bool reply_reader_is_at_rest(const reply_reader *reader);
/* Give back the memory that a large reply took; for a reader at rest. */
void reply_reader_rest(reply_reader *reader);
reply_outcome reply_reader_next(reply_reader *reader, PyObject **value);
const char *reply_reader_problem(const reply_reader *reader);

/* -1 with an exception where the hiredis that was loaded is not like the one that this was compiled with. */
int reply_check_library(void);
