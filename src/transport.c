#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* A small reply fits the first block; a full block says that more is coming, and the next is larger. */
#define FIRST_BLOCK ((Py_ssize_t)16 * 1024)
#define LARGEST_BLOCK ((Py_ssize_t)1024 * 1024)
/* What an idle connection keeps of it. */
#define LARGEST_IDLE_BLOCK ((Py_ssize_t)64 * 1024)

/* A signal that comes just before a wait begins does not end it: so it is waited in slices, and after each
   the handlers that are due run. */
#define SLICE_SECONDS 0.1
/* The system may end a wait a little early. */
#define CLOCK_SLACK 0.001

static double
monotonic_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int
fail(io_failure *failure, io_status status, bool writing, PyObject *args)
{
    failure->status = status;
    failure->writing = writing;
    failure->args = args;
    return -1;
}

static int
fail_errno(io_failure *failure, int error, bool writing)
{
    PyObject *args = Py_BuildValue("(is)", error, strerror(error));
    return fail(failure, args == NULL ? IO_RAISED : IO_FAILED, writing, args);
}

/* Translate the exception that a socket object raised: a timeout and an OSError are the connection's
   matter, anything else (a cooperative scheduler's, say) belongs to the caller. */
static int
fail_raised(io_failure *failure, bool writing)
{
    if (PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        PyErr_Clear();
        return fail(failure, IO_TIMEOUT, writing, NULL);
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return fail(failure, IO_RAISED, writing, NULL);
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *args = value == NULL ? NULL : PyObject_GetAttrString(value, "args");
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return fail(failure, args == NULL ? IO_RAISED : IO_FAILED, writing, args);
}

/* Whether the object's reads and writes are the plain ones of a socket in C, so that doing them on the
   descriptor is the same. False for ssl.SSLSocket, gevent's sockets, and whatever else overrides them. */
static int
is_plain(PyObject *socket)
{
    static const char *const methods[] = {"recv_into", "send"};
    PyObject *module = PyImport_ImportModule("_socket");
    PyObject *base = module == NULL ? NULL : PyObject_GetAttrString(module, "socket");
    int plain = base == NULL ? -1 : 1;
    for (size_t i = 0; plain == 1 && i < Py_ARRAY_LENGTH(methods); i++) {
        PyObject *theirs = PyObject_GetAttrString((PyObject *)Py_TYPE(socket), methods[i]);
        PyObject *original = theirs == NULL ? NULL : PyObject_GetAttrString(base, methods[i]);
        plain = original == NULL ? -1 : theirs == original;
        Py_XDECREF(theirs);
        Py_XDECREF(original);
    }
    Py_XDECREF(base);
    Py_XDECREF(module);
    return plain;
}

/* How long one system call may wait; 0 for ever. */
static int
limit_calls(const transport *io, suseconds_t microseconds)
{
    struct timeval limit = {.tv_usec = microseconds};
    if (setsockopt(io->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0
        || setsockopt(io->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* Make reads and writes block in the system, one system call each, for a slice of the wait at a time. */
static int
block_in_system(const transport *io)
{
    int flags = fcntl(io->fd, F_GETFL, 0);
    if (flags < 0 || fcntl(io->fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    double slice = io->timeout > 0 && io->timeout < SLICE_SECONDS ? io->timeout : SLICE_SECONDS;
    suseconds_t microseconds = (suseconds_t)(slice * 1e6);
    return limit_calls(io, microseconds > 0 ? microseconds : 1);
}

static int
read_timeout(transport *io)
{
    PyObject *timeout = PyObject_CallMethod(io->socket, "gettimeout", NULL);
    if (timeout == NULL) {
        return -1;
    }
    io->timeout = timeout == Py_None ? -1.0 : PyFloat_AsDouble(timeout);
    Py_DECREF(timeout);
    return PyErr_Occurred() ? -1 : 0;
}

/* A descriptor of our own for the socket: whoever disconnects the client while we wait on it ends the
   connection, but cannot have its number given to another file under our hands. */
static int
own_descriptor(PyObject *socket)
{
    int theirs = PyObject_AsFileDescriptor(socket);
    int ours = theirs < 0 ? -1 : fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    if (theirs >= 0 && ours < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return ours;
}

int
transport_open(transport *io, PyObject *socket)
{
    memset(io, 0, sizeof *io);
    io->socket = Py_NewRef(socket);
    io->fd = own_descriptor(socket);
    if (io->fd < 0 || read_timeout(io) < 0) {
        goto error;
    }
    int plain = is_plain(socket);
    if (plain < 0) {
        goto error;
    }
    io->direct = plain == 1;
    if (io->direct && block_in_system(io) < 0) {
        goto error;
    }
    io->block = PyByteArray_FromStringAndSize(NULL, FIRST_BLOCK);
    if (io->block == NULL) {
        goto error;
    }
    return 0;

error:
    transport_close(io);
    return -1;
}

void
transport_close(transport *io)
{
    if (io->fd >= 0) {
        close(io->fd);
        io->fd = -1;
    }
    Py_CLEAR(io->socket);
    Py_CLEAR(io->block);
}

/* A socket object without a timeout takes the end of our slice for an error. */
int
transport_lend(const transport *io)
{
    return io->direct ? limit_calls(io, 0) : 0;
}

int
transport_traverse(const transport *io, visitproc visit, void *arg)
{
    Py_VISIT(io->socket);
    return 0;
}

/* After a call that the system ended early: go on (0), or tell the failure (-1). */
static int
after_errno(const transport *io, int error, double started, bool writing, io_failure *failure)
{
    if (error != EINTR && error != EAGAIN && error != EWOULDBLOCK) {
        return fail_errno(failure, error, writing);
    }
    if (PyErr_CheckSignals() < 0) {
        return fail(failure, IO_RAISED, writing, NULL);
    }
    bool is_over = io->timeout > 0 && monotonic_seconds() - started > io->timeout - CLOCK_SLACK;
    return is_over ? fail(failure, IO_TIMEOUT, writing, NULL) : 0;
}

static int
send_direct(const transport *io, const char *data, size_t length, io_failure *failure)
{
    double started = io->timeout > 0 ? monotonic_seconds() : 0;
    while (length > 0) {
        ssize_t sent;
        int error;
        Py_BEGIN_ALLOW_THREADS
        sent = send(io->fd, data, length, MSG_NOSIGNAL);
        error = errno;
        Py_END_ALLOW_THREADS
        if (sent >= 0) {
            data += sent;
            length -= (size_t)sent;
        }
        else if (after_errno(io, error, started, true, failure) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
send_by_object(const transport *io, const char *data, size_t length, io_failure *failure)
{
    while (length > 0) {
        PyObject *sent = PyObject_CallMethod(io->socket, "send", "y#", data, (Py_ssize_t)length);
        Py_ssize_t count = sent == NULL ? -1 : PyLong_AsSsize_t(sent);
        Py_XDECREF(sent);
        if (PyErr_Occurred()) {
            return fail_raised(failure, true);
        }
        if (count < 0 || (size_t)count > length) {
            PyErr_Format(PyExc_ValueError, "send() returned %zd for %zu bytes", count, length);
            return fail(failure, IO_RAISED, true, NULL);
        }
        data += count;
        length -= (size_t)count;
    }
    return 0;
}

int
transport_send(transport *io, const char *data, size_t length, io_failure *failure)
{
    return io->direct ? send_direct(io, data, length, failure)
                      : send_by_object(io, data, length, failure);
}

static Py_ssize_t
receive_direct(const transport *io, io_failure *failure)
{
    char *block = PyByteArray_AS_STRING(io->block);
    size_t size = (size_t)PyByteArray_GET_SIZE(io->block);
    double started = io->timeout > 0 ? monotonic_seconds() : 0;
    for (;;) {
        ssize_t received;
        int error;
        Py_BEGIN_ALLOW_THREADS
        received = recv(io->fd, block, size, 0);
        error = errno;
        Py_END_ALLOW_THREADS
        if (received >= 0) {
            return received;
        }
        if (after_errno(io, error, started, false, failure) < 0) {
            return -1;
        }
    }
}

static Py_ssize_t
receive_by_object(const transport *io, io_failure *failure)
{
    PyObject *received = PyObject_CallMethod(io->socket, "recv_into", "O", io->block);
    Py_ssize_t count = received == NULL ? -1 : PyLong_AsSsize_t(received);
    Py_XDECREF(received);
    if (PyErr_Occurred()) {
        return fail_raised(failure, false);
    }
    if (count < 0 || count > PyByteArray_GET_SIZE(io->block)) {
        PyErr_Format(PyExc_ValueError, "recv_into() returned %zd for a block of %zd bytes", count,
                     PyByteArray_GET_SIZE(io->block));
        return fail(failure, IO_RAISED, false, NULL);
    }
    return count;
}

/* The next block is larger when this one was filled; staying small when memory is short is no error. */
static void
adapt_block(transport *io, Py_ssize_t received)
{
    Py_ssize_t size = PyByteArray_GET_SIZE(io->block);
    if (received < size || size >= LARGEST_BLOCK) {
        return;
    }
    PyObject *larger = PyByteArray_FromStringAndSize(NULL, size * 4);
    if (larger == NULL) {
        PyErr_Clear();
        return;
    }
    memcpy(PyByteArray_AS_STRING(larger), PyByteArray_AS_STRING(io->block), (size_t)received);
    Py_SETREF(io->block, larger);
}

Py_ssize_t
transport_receive(transport *io, const char **data, io_failure *failure)
{
    Py_ssize_t received = io->direct ? receive_direct(io, failure) : receive_by_object(io, failure);
    if (received < 0) {
        return -1;
    }
    if (received == 0) {
        return fail(failure, IO_CLOSED, false, NULL);
    }
    /* Handlers of signals that came while data was flowing run here: nothing was interrupted by them. */
    if (PyErr_CheckSignals() < 0) {
        return fail(failure, IO_RAISED, false, NULL);
    }
    adapt_block(io, received);
    *data = PyByteArray_AS_STRING(io->block);
    return received;
}

void
transport_rest(transport *io)
{
    if (PyByteArray_GET_SIZE(io->block) <= LARGEST_IDLE_BLOCK) {
        return;
    }
    PyObject *smaller = PyByteArray_FromStringAndSize(NULL, LARGEST_IDLE_BLOCK);
    if (smaller == NULL) {
        PyErr_Clear();
        return;
    }
    Py_SETREF(io->block, smaller);
}

bool
transport_is_quiet(const transport *io)
{
    struct pollfd state = {.fd = io->fd, .events = POLLIN};
    return poll(&state, 1, 0) == 0;
}
