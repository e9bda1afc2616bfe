/* The fields of a connection: for connection.c, connection_exchange.c and connection_type.c
   only. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "errors.h"
#include "reply.h"
#include "transport.h"

struct core_connection {
    PyObject_HEAD
    PyObject *redis_connection;
    const redis_exceptions *exceptions; /* the client pool's, which lives longer */
    reply_reader *reader;
    transport io; /* changed in a critical section of this object: see connection_type.c */
    double health_check_interval; /* seconds; 0: never */
    time_t last_used;
    pid_t pid;                   /* the process that opened it */
    atomic_bool is_claimed;      /* a call uses it: no other thread may close its socket */
    atomic_bool needs_reconnect; /* it was disconnected, or must be */
    unsigned int generation;     /* for its pool */
    bool has_received;           /* a part of the replies to the current commands */
    /* redis-py's object has credentials that have not been sent to the server. */
    atomic_bool has_renewed_credentials;
};
