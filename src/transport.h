/* Bytes to and from a connected socket: the descriptor itself, GIL released, or a Python socket object.

   Plain TCP and unix sockets are read and written by descriptor. Any other socket object (TLS, a
   cooperative one) is asked through its own `recv_into` and `sendall`. The descriptor stays the socket
   object's: who uses a transport sees to it that the object is not closed meanwhile. Knows no RESP. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/types.h>

typedef enum {
    IO_DONE,
    IO_CLOSED,  /* the peer ended the connection */
    IO_FORKED,  /* another process opened the connection: nothing was sent, nothing read */
    IO_TIMEOUT, /* the socket's timeout is over: for all that is sent, for each receipt */
    IO_FAILED,  /* the system refused: see io_failure.args */
    IO_RAISED,  /* a Python exception is set: a signal handler's, or the socket object's */
} io_status;

typedef struct {
    io_status status;
    bool writing;
    PyObject *args; /* IO_FAILED: what the OSError's `args` are; owned */
} io_failure;

typedef struct {
    int fd; /* the socket object's; -1: none */
    pid_t pid;
    bool direct;
    double timeout; /* seconds; negative: none */
    PyObject *socket;
    PyObject *block; /* bytearray: what was received last */
} transport;

/* Use the connected socket, which the process of that id opened; -1 with an exception set. */
int transport_open(transport *io, PyObject *socket, pid_t pid);
/* Have the socket object send and receive again as if nobody else did; transport_open() takes it back. -1 with an
   exception set. */
int transport_lend(transport *io);
/* Use it no more; the socket object stays open. */
void transport_release(transport *io);
/* End a wait on it, in whichever thread. */
void transport_shut_down(const transport *io);
int transport_traverse(const transport *io, visitproc visit, void *arg);

/* 0 when all was sent; -1 with the failure told. */
int transport_send(transport *io, const char *data, size_t length, io_failure *failure);
/* The number of bytes received into `*data`, or -1 with the failure told. */
Py_ssize_t transport_receive(transport *io, const char **data, io_failure *failure);

/* Give back the memory that a large reply took: all that was received has been used. */
void transport_rest(transport *io);

/* Whether another process opened it. */
bool transport_is_inherited(const transport *io);
/* Whether an idle connection is as it was left: open, and with nothing to read. */
bool transport_is_quiet(const transport *io);
