#include "client_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "python_calls.h"
#include "raised.h"
#include "threads.h"

struct client_pool {
    PyObject_HEAD
    core_state *state;   /* the module's, which our type keeps alive */
    PyObject *weak_pool; /* weak reference to the redis-py pool */
    redis_exceptions exceptions;
    /* Up to the flags, all but in_use_name is read and changed in critical sections of this object
       only; the garbage collector reads without. */
    core_connection **idle; /* an array, last in, first out; as long as open_count at least */
    Py_ssize_t idle_places;
    Py_ssize_t idle_count;
    Py_ssize_t open_count; /* idle connections, and those in use */
    pid_t pid;
    /* The redis-py pool's set (or list) of connections in use; reset() replaces it. */
    PyObject *in_use;
    PyObject *in_use_name; /* name of the pool's attribute with it */
    /* Goes up with each reset() and fork: connections of an older generation are dropped. */
    unsigned int generation;
    atomic_bool is_refused;
    bool decodes;
};

/* ---- Making one ------------------------------------------------------------------------------ */

/* Ask core_connections.py whether the core can make connections like this pool's, and what
   it must know of them. */
static int
inspect_redis_pool(client_pool *self, PyObject *redis_pool)
{
    PyObject *facts = call_fastpath("clients.core_connections", "describe_pool", "(O)", redis_pool);
    int result = -1;
    const char *exceptions_module;
    int decodes;
    PyObject *in_use_name;
    if (facts == Py_None) {
        self->is_refused = true;
        result = 0;
    }
    else if (facts != NULL
             && PyArg_ParseTuple(facts, "spU", &exceptions_module, &decodes, &in_use_name)) {
        self->decodes = decodes;
        self->in_use_name = Py_NewRef(in_use_name);
        result = redis_exceptions_load(&self->exceptions, exceptions_module);
    }
    Py_XDECREF(facts);
    return result;
}

/* A weak reference; NULL without an exception for an object of which there can be none. redis-py's
   pools can. */
static PyObject *
weak_reference_to(PyObject *redis_pool)
{
    PyObject *reference = PyWeakref_NewRef(redis_pool, NULL);
    if (reference == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
    }
    return reference;
}

client_pool *
client_pool_new(core_state *state, PyObject *redis_pool)
{
    PyTypeObject *type = state->client_pool_type;
    client_pool *self = (client_pool *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->pid = getpid();
    self->weak_pool = weak_reference_to(redis_pool);
    if (self->weak_pool == NULL || inspect_redis_pool(self, redis_pool) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

PyObject *
client_pool_redis_pool(const client_pool *self)
{
    PyObject *redis_pool = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    if (PyWeakref_GetRef(self->weak_pool, &redis_pool) < 0) {
        PyErr_Clear();
    }
#else
    redis_pool = PyWeakref_GetObject(self->weak_pool);
    redis_pool = redis_pool == Py_None ? NULL : Py_XNewRef(redis_pool);
#endif
    return redis_pool;
}

/* ---- Connections in and out ------------------------------------------------------------------ */

/* What the pool knew of connections that it leaves. */
typedef struct {
    core_connection **idle;
    Py_ssize_t idle_count;
    PyObject *in_use;
} left_connections;

/* Take them out of the pool: closing one may run a signal handler that raises. Within a critical
   section. */
static left_connections
take_out(client_pool *self)
{
    left_connections left
        = {.idle = self->idle, .idle_count = self->idle_count, .in_use = self->in_use};
    self->idle = NULL;
    self->idle_places = self->idle_count = 0;
    self->in_use = NULL;
    self->generation++;
    return left;
}

static int
close_left(left_connections *left)
{
    int result = 0;
    while (left->idle_count > 0) {
        core_connection *idle = left->idle[--left->idle_count];
        result = connection_disconnect(idle) < 0 ? -1 : result;
        Py_DECREF(idle);
    }
    PyMem_Free(left->idle);
    Py_XDECREF(left->in_use);
    return result;
}

/* In a forked child, close the connections of the parent; nothing is sent on them. */
static int
leave_parent_connections(client_pool *self)
{
    left_connections left = {.idle = NULL};
    Py_BEGIN_CRITICAL_SECTION(self);
    pid_t pid = getpid();
    if (pid != self->pid) {
        self->pid = pid;
        self->open_count = 0;
        left = take_out(self);
    }
    Py_END_CRITICAL_SECTION();
    return close_left(&left);
}

/* After a reset() of the redis-py pool, close all connections made before, as redis-py uses none of
   its own again. */
static int
leave_forgotten_connections(client_pool *self, PyObject *redis_pool)
{
    PyObject *in_use = PyObject_GetAttr(redis_pool, self->in_use_name);
    if (in_use == NULL) {
        return -1;
    }
    left_connections left = {.idle = NULL};
    Py_BEGIN_CRITICAL_SECTION(self);
    if (self->in_use != NULL && in_use != self->in_use) {
        self->open_count -= self->idle_count;
        left = take_out(self);
    }
    Py_END_CRITICAL_SECTION();
    Py_DECREF(in_use);
    return close_left(&left);
}

enum {
    NO_LIMIT = -1,
    UNUSABLE = -2,
};

/* The pool's max_connections; NO_LIMIT; or UNUSABLE if it has no such attribute, which redis-py's
   pools have, or with an exception. */
static long long
max_connections_of(const client_pool *self, PyObject *redis_pool)
{
    PyObject *found = PyObject_GetAttr(redis_pool, self->state->names.max_connections);
    if (found == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        return UNUSABLE;
    }
    bool is_limited = PyLong_Check(found);
    int overflow = 0;
    long long limit = is_limited ? PyLong_AsLongLongAndOverflow(found, &overflow) : 0;
    Py_DECREF(found);
    if (!is_limited || overflow > 0) {
        return NO_LIMIT;
    }
    return limit < 0 ? 0 : limit;
}

/* Count one more connection, if max_connections allows it. The limit holds for our connections and
   for redis-py's separately. False also if the pool has no max_connections: then it is not
   redis-py's. */
static bool
count_connection(client_pool *self, PyObject *redis_pool)
{
    long long limit = max_connections_of(self, redis_pool);
    bool has_room;
    Py_BEGIN_CRITICAL_SECTION(self);
    has_room = limit == NO_LIMIT || (limit != UNUSABLE && self->open_count < limit);
    self->open_count += has_room;
    Py_END_CRITICAL_SECTION();
    return has_room;
}

static void
uncount_connection(client_pool *self)
{
    Py_BEGIN_CRITICAL_SECTION(self);
    /* No connection is counted only in a child that was forked in the middle of this call, where
       the count was reset. */
    if (self->open_count > 0) {
        self->open_count--;
    }
    Py_END_CRITICAL_SECTION();
}

/* Remove the connection from the redis-py pool's connections in use. Keeps the exception that is
   set, and returns 0; or replaces it, and returns -1. */
static int
unregister(PyObject *redis_pool, core_connection *used)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *done = call_fastpath("clients.core_connections", "unregister", "(OO)", redis_pool,
                                   (PyObject *)used);
    return set_raised_unless_failed(error, done);
}

/* Make the array so long; false without memory, and without an exception. */
static bool
grow_idle_array(client_pool *self, Py_ssize_t places)
{
    if (places <= self->idle_places) {
        return true;
    }
    /* An array of pointers: NOLINTNEXTLINE(bugprone-sizeof-expression) */
    core_connection **idle = PyMem_Realloc(self->idle, (size_t)places * sizeof *idle);
    if (idle == NULL) {
        return false;
    }
    self->idle = idle;
    self->idle_places = places;
    return true;
}

/* Make the array long enough, so that putting a connection back cannot fail. */
static int
reserve_place(client_pool *self, unsigned int *generation)
{
    bool has_place;
    Py_BEGIN_CRITICAL_SECTION(self);
    *generation = self->generation;
    has_place = grow_idle_array(self, self->open_count);
    Py_END_CRITICAL_SECTION();
    if (!has_place) {
        PyErr_NoMemory();
    }
    return has_place ? 0 : -1;
}

static bool
put_back(client_pool *self, core_connection *used)
{
    bool has_place;
    Py_BEGIN_CRITICAL_SECTION(self);
    /* A connection of before a fork or a reset() in the middle of the call is not kept. */
    has_place = connection_pid(used) == self->pid && connection_generation(used) == self->generation
                && self->idle_count < self->idle_places;
    if (has_place) {
        self->idle[self->idle_count++] = used;
        connection_unclaim(used);
    }
    Py_END_CRITICAL_SECTION();
    return has_place;
}

/* Close a connection and drop it; steals it. Where there is no memory for that, it is put back,
   marked as not usable: otherwise the redis-py pool would keep its socket open for ever. */
static int
discard(client_pool *self, core_connection *used)
{
    /* Not in a forked child: there the redis-py pool has dropped its parent's connections, and its
       lock may be held by a thread that does not exist. */
    bool is_inherited = connection_is_inherited(used);
    PyObject *redis_pool = is_inherited ? NULL : client_pool_redis_pool(self);
    int result = redis_pool == NULL ? 0 : unregister(redis_pool, used);
    Py_XDECREF(redis_pool);
    result = connection_disconnect(used) < 0 ? -1 : result;
    if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError) && put_back(self, used)) {
        return -1;
    }
    if (!is_inherited) {
        uncount_connection(self);
    }
    Py_DECREF(used);
    return result;
}

/* Whether two file descriptors are free: one for the socket, and one for the files that are read
   while connecting (certificates, host names). Checked before, since redis-py would wait and try
   again, while the client's own connection may be open and can serve the call. */
static bool
has_descriptors(void)
{
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int second = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool has_none = second < 0 && (errno == EMFILE || errno == ENFILE);
    if (first >= 0) {
        close(first);
    }
    if (second >= 0) {
        close(second);
    }
    return !has_none;
}

/* Add the connection to the redis-py pool's connections in use, so that closing the pool closes it.
   A pool that has no such set is not used again. Steals the connection, and returns it; NULL where
   that failed. */
static core_connection *
register_connection(client_pool *self, PyObject *redis_pool, core_connection *opened)
{
    PyObject *in_use = call_fastpath("clients.core_connections", "register", "(OO)", redis_pool,
                                     (PyObject *)opened);
    if (in_use == Py_None) {
        self->is_refused = true;
    }
    if (in_use == NULL || in_use == Py_None) {
        (void)discard(self, opened);
        opened = NULL;
    }
    else {
        Py_BEGIN_CRITICAL_SECTION(self);
        if (self->in_use == NULL) {
            self->in_use = Py_NewRef(in_use);
        }
        Py_END_CRITICAL_SECTION();
    }
    Py_XDECREF(in_use);
    return opened;
}

/* Open a connection that was counted. NULL with an exception if that failed; NULL without an
   exception if no file descriptor is free, or the core can make no connections like the pool's. */
static core_connection *
open_connection(client_pool *self, PyObject *redis_pool)
{
    PyObject *arguments
        = has_descriptors()
              ? call_fastpath("clients.core_connections", "connection_arguments", "(O)", redis_pool)
              : NULL;
    core_connection *opened = NULL;
    PyObject *connection_class, *connection_kwargs;
    unsigned int generation;
    bool is_refused = false;
    if (arguments != NULL
        && PyArg_ParseTuple(arguments, "OO!", &connection_class, &PyDict_Type, &connection_kwargs)
        && reserve_place(self, &generation) == 0) {
        opened = connection_open(self->state, connection_class, connection_kwargs,
                                 &self->exceptions, generation, &is_refused);
        if (is_refused) {
            self->is_refused = true;
        }
    }
    Py_XDECREF(arguments);
    if (opened == NULL) {
        uncount_connection(self);
        return NULL;
    }
    return register_connection(self, redis_pool, opened);
}

int
client_pool_give_back_closed(client_pool *self, core_connection *used)
{
    int result = connection_disconnect(used);
    return put_back(self, used) ? result : (discard(self, used) < 0 ? -1 : result);
}

/* Connect an idle connection anew. Steals it, and returns it; NULL as for open_connection. */
static core_connection *
reopen(client_pool *self, core_connection *idle)
{
    bool is_refused = false;
    if (has_descriptors() && connection_reopen(idle, &is_refused) == 0) {
        return idle;
    }
    if (is_refused) {
        self->is_refused = true;
    }
    (void)(is_refused ? discard(self, idle) : client_pool_give_back_closed(self, idle));
    return NULL;
}

/* The idle connection that was used last; NULL for none. */
static core_connection *
take_idle(client_pool *self)
{
    core_connection *found = NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    for (Py_ssize_t i = self->idle_count - 1; found == NULL && i >= 0; i--) {
        if (connection_claim(self->idle[i])) {
            found = self->idle[i];
            self->idle_count--;
            for (Py_ssize_t j = i; j < self->idle_count; j++) {
                self->idle[j] = self->idle[j + 1];
            }
        }
    }
    Py_END_CRITICAL_SECTION();
    return found;
}

static core_connection *
take_idle_or_open(client_pool *self, PyObject *redis_pool)
{
    core_connection *idle = take_idle(self);
    if (idle != NULL) {
        return connection_is_usable(idle) ? idle : reopen(self, idle);
    }
    return count_connection(self, redis_pool) ? open_connection(self, redis_pool) : NULL;
}

core_connection *
client_pool_take(client_pool *self)
{
    PyObject *redis_pool = client_pool_redis_pool(self);
    core_connection *used = NULL;
    if (redis_pool != NULL && leave_parent_connections(self) == 0
        && leave_forgotten_connections(self, redis_pool) == 0) {
        used = take_idle_or_open(self, redis_pool);
    }
    Py_XDECREF(redis_pool);
    return used;
}

int
client_pool_give_back(client_pool *self, core_connection *used)
{
    int settled = connection_settle(used);
    if (settled == 0 && put_back(self, used)) {
        return 0;
    }
    return client_pool_give_back_closed(self, used) < 0 || settled < 0 ? -1 : 0;
}

bool
client_pool_is_refused(const client_pool *self)
{
    return self->is_refused;
}

core_state *
client_pool_state(const client_pool *self)
{
    return self->state;
}

const redis_exceptions *
client_pool_exceptions(const client_pool *self)
{
    return &self->exceptions;
}

bool
client_pool_decodes(const client_pool *self)
{
    return self->decodes;
}

/* ---- The type -------------------------------------------------------------------------------- */

static int
client_pool_traverse(client_pool *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->weak_pool);
    Py_VISIT(self->in_use);
    for (Py_ssize_t i = 0; i < self->idle_count; i++) {
        Py_VISIT(self->idle[i]);
    }
    return redis_exceptions_traverse(&self->exceptions, visit, arg);
}

static int
client_pool_clear(client_pool *self)
{
    while (self->idle_count > 0) {
        Py_DECREF(self->idle[--self->idle_count]);
    }
    Py_CLEAR(self->in_use);
    return 0;
}

static void
client_pool_dealloc(client_pool *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    client_pool_clear(self);
    Py_CLEAR(self->weak_pool);
    Py_CLEAR(self->in_use_name);
    redis_exceptions_clear(&self->exceptions);
    PyMem_Free(self->idle);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot client_pool_slots[] = {
    {Py_tp_traverse, client_pool_traverse},
    {Py_tp_clear, client_pool_clear},
    {Py_tp_dealloc, client_pool_dealloc},
    {0, NULL},
};

static PyType_Spec client_pool_spec = {
    .name = "rqreg_ext._core.ClientPool",
    .basicsize = sizeof(client_pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = client_pool_slots,
};

int
client_pool_setup_type(PyObject *module, core_state *state)
{
    state->client_pool_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &client_pool_spec, NULL);
    return state->client_pool_type == NULL ? -1 : 0;
}
