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

#include "raised.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* The sizes of a receipt. Small replies fit into the first block; after a full block, the next is
   larger. */
#define FIRST_BLOCK ((Py_ssize_t)16 * 1024)
#define LARGEST_BLOCK ((Py_ssize_t)1024 * 1024)
/* A larger block is not kept by an idle connection. */
#define LARGEST_IDLE_BLOCK ((Py_ssize_t)64 * 1024)

/* A signal that is delivered just before recv() or poll() does not interrupt it. So the thread that
   runs Python's signal handlers waits for this long at most, and then looks for signals. ppoll()
   would not need that, but only in a process with one thread: with more, another thread may take
   the signal. All other threads wait without slices after the first: 100 of them use 0.1 ms of CPU
   in 4 s, against 12 to 24 ms with slices. */
#define SLICE_SECONDS 0.1

static double
monotonic_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int
fail(io_failure *failure, io_status status, bool is_writing, PyObject *args)
{
    failure->status = status;
    failure->is_writing = is_writing;
    failure->args = args;
    return -1;
}

/* Turn the exception of a socket object into a failure. A timeout and an OSError are failures of
   the connection; any other exception (gevent.Timeout, say) is the caller's, and stays set. */
static int
fail_raised(io_failure *failure, bool is_writing)
{
    if (PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        PyErr_Clear();
        return fail(failure, IO_TIMEOUT, is_writing, NULL);
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return fail(failure, IO_RAISED, is_writing, NULL);
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *args = error == NULL ? NULL : PyObject_GetAttrString(error, "args");
    Py_XDECREF(error);
    return fail(failure, args == NULL ? IO_RAISED : IO_FAILED, is_writing, args);
}

/* As the method of a socket object fails: ETIMEDOUT is a TimeoutError too. */
static int
fail_errno(io_failure *failure, int error, bool is_writing)
{
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return fail_raised(failure, is_writing);
}

/* Whether the object reads and writes by _socket.socket's own methods, so that its descriptor can
   be used instead. Not ssl.SSLSocket, gevent's sockets, or anything else that overrides them. */
static int
uses_original_methods(PyObject *socket)
{
    static const char *const methods[] = {"recv", "recv_into", "send", "sendall"};
    PyObject *module = PyImport_ImportModule("_socket");
    PyObject *base = module == NULL ? NULL : PyObject_GetAttrString(module, "socket");
    int is_direct = base == NULL ? -1 : 1;
    for (size_t i = 0; is_direct == 1 && i < Py_ARRAY_LENGTH(methods); i++) {
        PyObject *theirs = PyObject_GetAttrString((PyObject *)Py_TYPE(socket), methods[i]);
        PyObject *original = theirs == NULL ? NULL : PyObject_GetAttrString(base, methods[i]);
        is_direct = original == NULL ? -1 : theirs == original;
        Py_XDECREF(theirs);
        Py_XDECREF(original);
    }
    Py_XDECREF(base);
    Py_XDECREF(module);
    return is_direct;
}

/* Set how long one recv() may block; 0 for ever. */
static int
set_recv_timeout(const transport *io, suseconds_t microseconds)
{
    struct timeval limit = {.tv_usec = microseconds};
    if (setsockopt(io->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static int
set_nonblocking(const transport *io, bool is_nonblocking)
{
    int flags = fcntl(io->fd, F_GETFL, 0);
    int wanted = is_nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (flags < 0 || fcntl(io->fd, F_SETFL, wanted) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* Make recv() itself block for the first slice. Most replies come within it, and a poll() before
   would take 3 to 8% of a round trip. The system may end recv() a tick of its clock too late: of a
   short timeout it gets only half, and poll() waits for the rest. */
static int
make_recv_block(const transport *io)
{
    if (set_nonblocking(io, false) < 0) {
        return -1;
    }
    bool is_short = io->timeout >= 0 && io->timeout / 2 < SLICE_SECONDS;
    suseconds_t microseconds = (suseconds_t)((is_short ? io->timeout / 2 : SLICE_SECONDS) * 1e6);
    return set_recv_timeout(io, microseconds > 0 ? microseconds : 1);
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
    int is_direct = read_timeout(io) < 0 ? -1 : uses_original_methods(socket);
    if (is_direct < 0) {
        goto error;
    }
    io->is_direct = is_direct == 1;
    io->block = PyByteArray_FromStringAndSize(NULL, FIRST_BLOCK);
    if (io->block == NULL) {
        goto error;
    }
    io->fd = PyObject_AsFileDescriptor(socket);
    if (io->fd < 0 || (io->is_direct && make_recv_block(io) < 0)) {
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

/* A socket object without a timeout takes the end of our slice for an error; one with a timeout
   waits by poll(), and then must not block. */
int
transport_restore_socket(const transport *io)
{
    if (!io->is_direct || io->fd < 0) {
        return 0;
    }
    return set_nonblocking(io, io->timeout >= 0) < 0 ? -1 : set_recv_timeout(io, 0);
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

/* ---- Waiting --------------------------------------------------------------------------------- */

/* The time that is left for a sending or a receipt. */
typedef struct {
    double deadline; /* negative: none */
    bool is_past_slice;
    bool has_no_slices;
} wait_limit;

static wait_limit
wait_limit_of(const transport *io)
{
    return (wait_limit){.deadline = io->timeout < 0 ? -1 : monotonic_seconds() + io->timeout};
}

static bool
is_over(const wait_limit *left)
{
    return left->deadline >= 0 && monotonic_seconds() >= left->deadline;
}

/* Milliseconds for poll(), rounded up; -1 for no limit. */
static int
next_wait(const wait_limit *left)
{
    double seconds = left->has_no_slices ? -1 : SLICE_SECONDS;
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

/* 1 if this is the thread in which Python runs signal handlers, or that cannot be known; 0 if it is
   not; -1 with an exception. */
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
    /* A program that embeds Python may have started it in another thread. */
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *main = threading == NULL ? NULL : PyObject_CallMethod(threading, "main_thread", NULL);
    PyObject *ident = main == NULL ? NULL : PyObject_GetAttrString(main, "ident");
    unsigned long main_ident = ident == NULL ? 0 : PyLong_AsUnsignedLong(ident);
    Py_XDECREF(threading);
    Py_XDECREF(main);
    Py_XDECREF(ident);
    return PyErr_Occurred() ? -1 : main_ident == PyThread_get_thread_ident();
}

/* After an interrupted or finished slice: run signal handlers, and check time and process. 0 to go
   on waiting, or -1 with the failure. A handler may raise; or fork, and then this may be the
   child. */
static int
check_interruption(const transport *io, const wait_limit *left, bool is_writing,
                   io_failure *failure)
{
    if (PyErr_CheckSignals() < 0) {
        return fail(failure, IO_RAISED, is_writing, NULL);
    }
    if (transport_is_inherited(io)) {
        return fail(failure, IO_FORKED, is_writing, NULL);
    }
    return is_over(left) ? fail(failure, IO_TIMEOUT, is_writing, NULL) : 0;
}

/* After the first slice, decide how to wait for the rest: in slices in the thread that runs signal
   handlers, in one piece in all others. */
static int
choose_way_to_wait(wait_limit *left, bool is_writing, io_failure *failure)
{
    int has_handlers = left->is_past_slice ? !left->has_no_slices : runs_handlers();
    if (has_handlers < 0) {
        return fail(failure, IO_RAISED, is_writing, NULL);
    }
    left->is_past_slice = true;
    left->has_no_slices = has_handlers == 0;
    return 0;
}

static int
wait_ready(const transport *io, short events, wait_limit *left, io_failure *failure)
{
    const bool is_writing = events == POLLOUT;
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
            return fail_errno(failure, error, is_writing);
        }
        if (check_interruption(io, left, is_writing, failure) < 0
            || (ready == 0 && choose_way_to_wait(left, is_writing, failure) < 0)) {
            return -1;
        }
    }
}

static bool
would_block(int error)
{
    return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* As socket.sendall(): the timeout holds for all of it, and signal handlers run after each part. */
static int
send_direct(const transport *io, const char *data, size_t length, io_failure *failure)
{
    wait_limit left = wait_limit_of(io);
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
        if (check_interruption(io, &left, true, failure) < 0
            || wait_ready(io, POLLOUT, &left, failure) < 0) {
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
    return io->is_direct ? send_direct(io, data, length, failure)
                         : send_by_object(io, data, length, failure);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static Py_ssize_t
receive_direct(const transport *io, io_failure *failure)
{
    char *block = PyByteArray_AS_STRING(io->block);
    size_t size = (size_t)PyByteArray_GET_SIZE(io->block);
    wait_limit left = wait_limit_of(io);
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
        if (check_interruption(io, &left, false, failure) < 0
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

/* Make the next block larger, if this one was filled. If there is no memory for that, it stays as
   it is. */
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
    Py_ssize_t received
        = io->is_direct ? receive_direct(io, failure) : receive_by_object(io, failure);
    if (received < 0) {
        return -1;
    }
    if (received == 0) {
        return fail(failure, IO_CLOSED, false, NULL);
    }
    /* Run the handlers of signals that came while data was received without waiting. */
    if (PyErr_CheckSignals() < 0) {
        return fail(failure, IO_RAISED, false, NULL);
    }
    adapt_block(io, received);
    *data = PyByteArray_AS_STRING(io->block);
    return received;
}

void
transport_shrink_block(transport *io)
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
