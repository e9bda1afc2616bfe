/* An object in a wrapped client's place: its class is derived from the client's, and it has the
   client's attributes.

   Its methods are the client's, with their wrappers, except redis-py's innermost methods. There a
   command is compared with the one that was given, and sent on a connection of the core's.

   Of one that is_as_rq, redis-py's own methods are called (zcard(), ...), which give the options
   that RQ's call gives; and whatever else arrives is sent by redis-py's own innermost method.

   Without the GIL, what arrives in another thread counts as something else. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "client_pool.h"
#include "command.h"
#include "connection_exchange.h"

#define MOST_WRAPPED 2

/* A command that goes through the wrappers of a client. */
typedef struct {
    PyObject *words;    /* tuple: the name and the arguments, as RQ gives them to redis-py */
    reply_spec spec;    /* the shape in which the wrappers see the reply */
    bool is_hash;       /* they see a dict, as redis-py makes one of the reply to HGETALL */
    bool is_repeatable; /* it may be sent once more: RQ's method would do the same again */
    bool must_return;   /* the wrappers must return the reply unchanged */
} wrapped_command;

typedef struct {
    PyObject_HEAD
    client_pool *pool;
    PyObject *redis_pool;
    unsigned long thread;                   /* in which it was made */
    wrapped_command commands[MOST_WRAPPED]; /* each with a reference to its words */
    int count;
    int current;          /* the command that is given to the client */
    bool is_over;         /* the call is: the object does nothing more than the client would */
    bool is_as_rq;        /* see above */
    bool is_write_traced; /* tracers wrap the method by which redis-py writes */
    bool is_busy;         /* commands are on their way */
    bool has_arrived;     /* the current command */
    /* Something else arrived, or in a thread where it could not be compared, and was not sent. */
    atomic_bool is_changed;
    /* For the current command, if is_as_rq: what redis-py gave to the wrappers. */
    PyObject *given_words;   /* tuple */
    PyObject *given_options; /* dict, or NULL for none */
    /* For the current command: what the innermost method returned to the wrappers, or raised. */
    PyObject *innermost_result;
    bool is_error_reply; /* `innermost_result` is the server's error */
    reply replies[MOST_WRAPPED];
} stand_in;

int stand_in_setup_type(PyObject *module, core_state *state);

/* Make an object of a class that is derived from the stand-in type and the client's class. */
stand_in *stand_in_new(client_pool *pool, PyObject *stand_in_class, PyObject *client);
/* Forget the command before. */
void stand_in_begin(stand_in *self, int current);
/* Release everything but the object itself, which a wrapper may have kept. */
void stand_in_end(stand_in *self);
