/* Bytes to and from a connected socket.

   Sockets of TCP and unix are read and written by their descriptor, with the GIL released. Any
   other socket object (TLS, gevent's) is used by its `recv_into` and `sendall`. The descriptor
   belongs to the socket object: the user of a transport must keep that object from being closed.
   Knows nothing of Redis's protocol. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/types.h>

typedef enum {
    IO_DONE,
    IO_CLOSED,  /* the peer ended the connection */
    IO_FORKED,  /* another process opened the connection: nothing was sent or read */
    IO_TIMEOUT, /* the socket's timeout has passed: of all that is sent, or of one receipt */
    IO_FAILED,  /* an OSError: see io_failure.args */
    IO_RAISED,  /* a Python exception is set: a signal handler's, or the socket object's */
} io_status;

typedef struct {
    io_status status;
    bool is_writing;
    PyObject *args; /* IO_FAILED: the `args` of the OSError; owned */
} io_failure;

typedef struct {
    int fd; /* the socket object's; -1: none */
    pid_t pid;
    bool is_direct;
    double timeout; /* seconds; negative: none */
    PyObject *socket;
    PyObject *block; /* bytearray: the bytes that were received last */
} transport;

/* Begin to use a connected socket, which the process `pid` opened; -1 with an exception. */
int transport_open(transport *io, PyObject *socket, pid_t pid);
/* Set the socket's O_NONBLOCK and SO_RCVTIMEO as its object has them, so that redis-py can use it
   after transport_release(). -1 with an exception. */
int transport_restore_socket(const transport *io);
/* Stop using it; the socket object stays open. */
void transport_release(transport *io);
/* End a wait on it that goes on in another thread. */
void transport_shut_down(const transport *io);
int transport_traverse(const transport *io, visitproc visit, void *arg);

/* 0 when all was sent; -1 with *failure filled. */
int transport_send(transport *io, const char *data, size_t length, io_failure *failure);
/* Receive the bytes that there are; wait if there are none. *data points to them until the next
   receipt. The number of bytes, or -1 with *failure filled. */
Py_ssize_t transport_receive(transport *io, const char **data, io_failure *failure);

/* Free the memory that a large receipt took. All that was received must have been used. */
void transport_shrink_block(transport *io);

/* Whether another process opened the connection. */
bool transport_is_inherited(const transport *io);
/* Whether an idle connection is still open, and has nothing to read. */
bool transport_is_quiet(const transport *io);
