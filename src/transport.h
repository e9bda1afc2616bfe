/* Bytes to and from a connected socket: the descriptor itself, GIL released, or a Python socket object.

   Plain TCP and unix sockets are read and written by descriptor. Any other socket object (TLS, a
   cooperative one) is asked through its own `recv_into` and `send`. Knows no RESP. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

typedef enum {
    IO_DONE,
    IO_CLOSED,  /* the peer ended the connection */
    IO_TIMEOUT, /* nothing moved for the socket's timeout */
    IO_FAILED,  /* the system refused: see io_failure.args */
    IO_RAISED,  /* a Python exception is set: a signal handler's, or the socket object's */
} io_status;

typedef struct {
    io_status status;
    bool writing;
    PyObject *args; /* IO_FAILED: what the OSError's `args` are; owned */
} io_failure;

typedef struct {
    int fd;
    bool direct;
    double timeout; /* seconds; negative: none */
    PyObject *socket;
    PyObject *block; /* bytearray: what was received last */
} transport;

/* Take the connected socket over; -1 with an exception set. */
int transport_open(transport *io, PyObject *socket);
void transport_close(transport *io);
/* Have the socket object read and write again as if it were not shared; transport_open() takes it back. */
int transport_lend(const transport *io);
int transport_traverse(const transport *io, visitproc visit, void *arg);

/* 0 when all was sent; -1 with the failure told. */
int transport_send(transport *io, const char *data, size_t length, io_failure *failure);
/* The number of bytes received into `*data`, or -1 with the failure told. */
Py_ssize_t transport_receive(transport *io, const char **data, io_failure *failure);

/* Give back the memory that a large reply took: all that was received has been used. */
void transport_rest(transport *io);

/* Whether an idle connection is as it was left: open, and with nothing to read. */
bool transport_is_quiet(const transport *io);
