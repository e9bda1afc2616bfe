#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#ifdef __APPLE__
#include <pthread.h>
#endif
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

/* A signal that comes just before a wait begins does not end it. So the thread that runs the handlers waits in slices,
   and looks after each. ppoll() with the signals blocked until it waits closes that gap in a process with one thread
   only: with more, another thread takes the blocked signal, and nothing ends the wait. All other threads wait in one
   piece after the first slice: 100 of them use 0.1 ms of CPU in 4 s, and 12 to 24 ms in slices. */
#define SLICE_SECONDS 0.1

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
    static const char *const methods[] = {"recv", "recv_into", "send", "sendall"};
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

/* How long one recv() may wait in the system; 0 for ever. */
static int
limit_receipts(const transport *io, suseconds_t microseconds)
{
    struct timeval limit = {.tv_usec = microseconds};
    if (setsockopt(io->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* Have recv() itself wait for the first slice: most replies come in it, and poll() before it takes 3 to 8% of a round
   trip. It may end late by a tick of the system's clock, so a short timeout is not left to it wholly. */
static int
block_in_system(const transport *io)
{
    int flags = fcntl(io->fd, F_GETFL, 0);
    if (flags < 0 || fcntl(io->fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    bool is_short = io->timeout >= 0 && io->timeout / 2 < SLICE_SECONDS;
    suseconds_t microseconds = (suseconds_t)((is_short ? io->timeout / 2 : SLICE_SECONDS) * 1e6);
    return limit_receipts(io, microseconds > 0 ? microseconds : 1);
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

int
transport_open(transport *io, PyObject *socket, pid_t pid)
{
    *io = (transport){.fd = -1, .pid = pid, .socket = Py_NewRef(socket)};
    int plain = read_timeout(io) < 0 ? -1 : is_plain(socket);
    if (plain < 0) {
        goto error;
    }
    io->direct = plain == 1;
    io->block = PyByteArray_FromStringAndSize(NULL, FIRST_BLOCK);
    if (io->block == NULL) {
        goto error;
    }
    io->fd = PyObject_AsFileDescriptor(socket);
    if (io->fd < 0 || (io->direct && block_in_system(io) < 0)) {
        goto error;
    }
    return 0;

error:
    transport_release(io);
    return -1;
}

void
transport_release(transport *io)
{
    io->fd = -1;
    Py_CLEAR(io->socket);
    Py_CLEAR(io->block);
}

/* A socket object without a timeout takes the end of our slice for an error. */
int
transport_lend(transport *io)
{
    int result = io->direct && io->fd >= 0 ? limit_receipts(io, 0) : 0;
    transport_release(io);
    return result;
}

void
transport_shut_down(const transport *io)
{
    (void)shutdown(io->fd, SHUT_RDWR);
}

int
transport_traverse(const transport *io, visitproc visit, void *arg)
{
    Py_VISIT(io->socket);
    return 0;
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

/* How long one sending or receipt may still wait. */
typedef struct {
    double deadline; /* negative: none */
    bool is_past_slice;
    bool in_one_piece;
} patience;

static patience
patience_of(const transport *io)
{
    return (patience){.deadline = io->timeout < 0 ? -1 : monotonic_seconds() + io->timeout};
}

static bool
is_over(const patience *left)
{
    return left->deadline >= 0 && monotonic_seconds() >= left->deadline;
}

/* Milliseconds for poll(), rounded up: -1 for as long as it takes. */
static int
next_wait(const patience *left)
{
    double seconds = left->in_one_piece ? -1 : SLICE_SECONDS;
    if (left->deadline >= 0) {
        double rest = left->deadline - monotonic_seconds();
        rest = rest < 0 ? 0 : rest;
        seconds = seconds < 0 || rest < seconds ? rest : seconds;
    }
    if (seconds < 0) {
        return -1;
    }
    double milliseconds = seconds * 1e3 + 0.999;
    return milliseconds >= INT_MAX ? INT_MAX : (int)milliseconds;
}

/* Whether this is the thread in which Python runs the handlers of signals; where that cannot be known, it is. */
static int
runs_handlers(void)
{
#if defined(__linux__)
    bool is_first_of_process = PyThread_get_thread_native_id() == (unsigned long)getpid();
#elif defined(__APPLE__)
    bool is_first_of_process = pthread_main_np() == 1;
#else
    bool is_first_of_process = true;
#endif
    if (is_first_of_process) {
        return 1;
    }
    /* A program that embeds Python may have started it in another one. */
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *main = threading == NULL ? NULL : PyObject_CallMethod(threading, "main_thread", NULL);
    PyObject *ident = main == NULL ? NULL : PyObject_GetAttrString(main, "ident");
    unsigned long main_ident = ident == NULL ? 0 : PyLong_AsUnsignedLong(ident);
    Py_XDECREF(threading);
    Py_XDECREF(main);
    Py_XDECREF(ident);
    return PyErr_Occurred() ? -1 : main_ident == PyThread_get_thread_ident();
}

/* Whether to wait on after the system has let us go: 0, or -1 with the failure. A handler of a signal may raise, or fork,
   and this be the child that goes on where its parent was. */
static int
look_up(const transport *io, const patience *left, bool writing, io_failure *failure)
{
    if (PyErr_CheckSignals() < 0) {
        return fail(failure, IO_RAISED, writing, NULL);
    }
    if (transport_is_inherited(io)) {
        return fail(failure, IO_FORKED, writing, NULL);
    }
    return is_over(left) ? fail(failure, IO_TIMEOUT, writing, NULL) : 0;
}

/* After the first slice of a wait. */
static int
choose_way_to_wait(patience *left, bool writing, io_failure *failure)
{
    int has_handlers = left->is_past_slice ? !left->in_one_piece : runs_handlers();
    if (has_handlers < 0) {
        return fail(failure, IO_RAISED, writing, NULL);
    }
    left->is_past_slice = true;
    left->in_one_piece = has_handlers == 0;
    return 0;
}

static int
wait_ready(const transport *io, short events, patience *left, io_failure *failure)
{
    const bool writing = events == POLLOUT;
    for (;;) {
        struct pollfd state = {.fd = io->fd, .events = events};
        int milliseconds = next_wait(left);
        int ready;
        int error;
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&state, 1, milliseconds);
        error = errno;
        Py_END_ALLOW_THREADS
        if (ready > 0) {
            return 0;
        }
        if (ready < 0 && error != EINTR) {
            return fail_errno(failure, error, writing);
        }
        if (look_up(io, left, writing, failure) < 0
            || (ready == 0 && choose_way_to_wait(left, writing, failure) < 0)) {
            return -1;
        }
    }
}

static bool
would_block(int error)
{
    return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

/* ---- Sending ----------------------------------------------------------------------------------- */

/* As socket.sendall(): the timeout is for all of it, and handlers of signals run after each part. */
static int
send_direct(const transport *io, const char *data, size_t length, io_failure *failure)
{
    patience left = patience_of(io);
    for (;;) {
        ssize_t sent;
        int error;
        Py_BEGIN_ALLOW_THREADS
        sent = send(io->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        error = errno;
        Py_END_ALLOW_THREADS
        if (sent < 0 && !would_block(error)) {
            return fail_errno(failure, error, true);
        }
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        }
        if (length == 0) {
            return 0;
        }
        if (look_up(io, &left, true, failure) < 0 || wait_ready(io, POLLOUT, &left, failure) < 0) {
            return -1;
        }
    }
}

static int
send_by_object(const transport *io, const char *data, size_t length, io_failure *failure)
{
    PyObject *sent = PyObject_CallMethod(io->socket, "sendall", "y#", data, (Py_ssize_t)length);
    if (sent == NULL) {
        return fail_raised(failure, true);
    }
    Py_DECREF(sent);
    return 0;
}

int
transport_send(transport *io, const char *data, size_t length, io_failure *failure)
{
    return io->direct ? send_direct(io, data, length, failure)
                      : send_by_object(io, data, length, failure);
}

/* ---- Receiving --------------------------------------------------------------------------------- */

static Py_ssize_t
receive_direct(const transport *io, io_failure *failure)
{
    char *block = PyByteArray_AS_STRING(io->block);
    size_t size = (size_t)PyByteArray_GET_SIZE(io->block);
    patience left = patience_of(io);
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
        if (!would_block(error)) {
            return fail_errno(failure, error, false);
        }
        if (look_up(io, &left, false, failure) < 0
            || (error != EINTR && choose_way_to_wait(&left, false, failure) < 0)
            || wait_ready(io, POLLIN, &left, failure) < 0) {
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
transport_is_inherited(const transport *io)
{
    return io->pid != getpid();
}

bool
transport_is_quiet(const transport *io)
{
    struct pollfd state = {.fd = io->fd, .events = POLLIN};
    return poll(&state, 1, 0) == 0;
}
