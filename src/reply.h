/* Reads replies with hiredis's reader, which builds Python objects while it parses. Knows no socket
   and no registry.

   The caller says before each reply which shape it expects (reply_objects.h), feeds what was
   received, and asks for the outcome. Push messages are skipped. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "reply_objects.h"

typedef enum {
    REPLY_INCOMPLETE, /* more bytes are needed */
    REPLY_READY,      /* *value holds the reply */
    REPLY_IS_ERROR,   /* *value holds the server's error message, bytes */
    REPLY_RAISED,     /* a Python exception is set; the rest of the reply was not read */
    REPLY_BROKEN, /* not Redis's protocol, or not of the expected shape: see reply_reader_problem */
} reply_outcome;

typedef struct reply_reader reply_reader;

reply_reader *reply_reader_new(void);
void reply_reader_free(reply_reader *reader);

void reply_reader_expect(reply_reader *reader, const reply_spec *spec);
/* Hand over received bytes. They are not copied: they must stay where they are until
   reply_reader_next() returns REPLY_INCOMPLETE, or the reader is drained. */
void reply_reader_feed(reply_reader *reader, const char *data, size_t length);
/* Whether all bytes that were fed are read, and the last reply is complete. */
bool reply_reader_is_drained(const reply_reader *reader);
/* Free the memory that a large reply took; for a reader that is drained. */
void reply_reader_shrink_buffer(reply_reader *reader);
reply_outcome reply_reader_next(reply_reader *reader, PyObject **value);
const char *reply_reader_problem(const reply_reader *reader);

/* Try the hiredis that was loaded: -1 with an exception if it does not work like the version that
   the core was compiled with. */
int reply_check_library(void);
