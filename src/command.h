/* Builds commands in Redis's protocol (RESP), one after another in one buffer. Knows no connection
   and no registry. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* An argument of a command: text, or an object (borrowed) that is encoded as redis-py encodes
   it. */
typedef struct {
    const char *text;
    PyObject *object;
} command_argument;

typedef struct {
    char *data;
    size_t length;
    size_t capacity;
    int count;   /* commands started */
    bool failed; /* a Python exception is set: later additions are ignored */
    char initial[512];
} command_buffer;

void command_init(command_buffer *commands);
void command_clear(command_buffer *commands);

/* Begin a command; argument_count arguments must follow. */
void command_start(command_buffer *commands, const char *name, int argument_count);
void command_add_bytes(command_buffer *commands, const char *bytes, size_t length);
void command_add_text(command_buffer *commands, const char *text);
void command_add_integer(command_buffer *commands, long long value);
/* A str, bytes, int or float, encoded as redis-py encodes it. */
void command_add_object(command_buffer *commands, PyObject *value);
void command_add_argument(command_buffer *commands, const command_argument *argument);
/* Add a whole command: the items of a tuple from `first` on, its name before its arguments. -1 with
   an exception, a TypeError for an argument that command_takes() does not. */
int command_add_words(command_buffer *commands, PyObject *words, Py_ssize_t first);

/* Whether command_add_object takes the value. redis-py must be asked about any other: it may refuse
   it, in its words. */
bool command_takes(PyObject *value);

/* 0, or -1 with the exception of the first that could not be added. */
int command_check(const command_buffer *commands);
