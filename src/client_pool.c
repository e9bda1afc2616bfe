#include "client_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "client_check.h"
#include "clients.h"

struct client_pool {
    PyObject_HEAD
    core_state *state;   /* the module's: kept alive through our type */
    PyObject *weak_pool; /* weak reference to the redis-py pool */
    redis_exceptions exceptions;
    core_connection **idle; /* last in, first out; has a place for each that is open */
    Py_ssize_t idle_places;
    Py_ssize_t idle_count;
    Py_ssize_t open_count; /* idle ones and those in use */
    pid_t pid;
    bool is_refused;
    bool decodes;
};

/* ---- Ours beside a redis-py pool --------------------------------------------------------------- */

/* Ask rqreg_ext._clients whether the connections of this redis-py pool can be taken over. */
static int
admit(client_pool *self, PyObject *redis_pool)
{
    PyObject *facts = clients_call("admit", redis_pool, NULL);
    int result = -1;
    const char *exceptions_module;
    int decodes;
    if (facts == Py_None) {
        self->is_refused = true;
        result = 0;
    }
    else if (facts != NULL && PyArg_ParseTuple(facts, "sp", &exceptions_module, &decodes)) {
        self->decodes = decodes;
        result = redis_exceptions_load(&self->exceptions, exceptions_module);
    }
    Py_XDECREF(facts);
    return result;
}

/* NULL without an exception for an object that has none, which no pool of redis-py's is. */
static PyObject *
weak_reference_to(PyObject *redis_pool)
{
    PyObject *reference = PyWeakref_NewRef(redis_pool, NULL);
    if (reference == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
    }
    return reference;
}

static client_pool *
create(core_state *state, PyObject *redis_pool)
{
    PyTypeObject *type = state->client_pool_type;
    client_pool *self = (client_pool *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->pid = getpid();
    self->weak_pool = weak_reference_to(redis_pool);
    if (self->weak_pool == NULL || admit(self, redis_pool) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* The redis-py pool behind a pool of ours: a new reference, or NULL without an exception when it is gone. */
static PyObject *
redis_pool_of(const client_pool *self)
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

/* Ours among a redis-py pool's attributes: borrowed, or NULL. A copy of the pool has one made for another. */
static client_pool *
kept_by(core_state *state, PyObject *redis_pool, PyObject *attributes)
{
    PyObject *kept = PyDict_GetItemWithError(attributes, state->names._rqreg_ext_pool);
    if (kept == NULL || !Py_IS_TYPE(kept, state->client_pool_type)) {
        return NULL;
    }
    PyObject *made_for = redis_pool_of((client_pool *)kept);
    Py_XDECREF(made_for);
    return made_for == redis_pool ? (client_pool *)kept : NULL;
}

/* Ours belongs to the redis-py pool, as one of its attributes: the two live equally long, and are collected
   together where a client's own settings lead back to it. */
static client_pool *
find_or_create(core_state *state, PyObject *redis_pool)
{
    PyObject *attributes = PyObject_GenericGetDict(redis_pool, NULL);
    if (attributes == NULL) {
        return NULL;
    }
    client_pool *self = kept_by(state, redis_pool, attributes);
    Py_XINCREF(self);
    client_pool *fresh = self != NULL || PyErr_Occurred() ? NULL : create(state, redis_pool);
    if (fresh != NULL) {
        /* Another thread may have been faster. */
        self = kept_by(state, redis_pool, attributes);
        self = (client_pool *)Py_NewRef(self == NULL ? (PyObject *)fresh : (PyObject *)self);
        if (PyErr_Occurred()
            || PyDict_SetItem(attributes, state->names._rqreg_ext_pool, (PyObject *)self) < 0) {
            Py_CLEAR(self);
        }
        Py_DECREF(fresh);
    }
    Py_DECREF(attributes);
    return self;
}

/* Whether the answer, which is given up, is that all is redis-py's own. */
static bool
is_plain(PyObject *answer)
{
    Py_XDECREF(answer);
    return answer == Py_True;
}

/* A connection of the client's own has a state that ours has not: another database, a transaction, tracking. 1, 0, or -1
   with an exception. */
static int
has_own_connection(core_state *state, PyObject *client)
{
    PyObject *own = PyObject_GetAttr(client, state->names.connection);
    if (own == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(own);
    return own == NULL ? -1 : own != Py_None;
}

client_pool *
client_pool_find(core_state *state, PyObject *client)
{
    if (!is_plain(client_check_client(state, client)) || has_own_connection(state, client) != 0) {
        return NULL;
    }
    PyObject *redis_pool = PyObject_GetAttr(client, state->names.connection_pool);
    if (redis_pool == NULL) {
        return NULL;
    }
    client_pool *self = NULL;
    if (is_plain(client_check_pool(state, redis_pool))) {
        self = find_or_create(state, redis_pool);
    }
    Py_DECREF(redis_pool);
    if (self != NULL && self->is_refused) {
        Py_CLEAR(self);
    }
    return self;
}

/* ---- Connections in and out -------------------------------------------------------------------- */

/* In a forked child the inherited connections are the parent's: closed here without a word to the server. None of them
   can be had any more before the first is closed, which may raise what a handler of a signal does. */
static int
leave_parent_connections(client_pool *self)
{
    pid_t pid = getpid();
    if (pid == self->pid) {
        return 0;
    }
    core_connection **inherited = self->idle;
    Py_ssize_t count = self->idle_count;
    self->idle = NULL;
    self->idle_places = self->idle_count = self->open_count = 0;
    self->pid = pid;
    int result = 0;
    while (count > 0) {
        core_connection *theirs = inherited[--count];
        result = connection_disconnect(theirs) < 0 ? -1 : result;
        Py_DECREF(theirs);
    }
    PyMem_Free(inherited);
    return result;
}

/* How many connections the redis-py pool may have: -1 for as many as are wanted; -2 where it does not say, or where
   what it raised stays set. */
static long long
cap_of(const client_pool *self, PyObject *redis_pool)
{
    PyObject *cap = PyObject_GetAttr(redis_pool, self->state->names.max_connections);
    if (cap == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        return -2;
    }
    int overflow = 1;
    long long limit = PyLong_Check(cap) ? PyLong_AsLongLongAndOverflow(cap, &overflow) : -1;
    Py_DECREF(cap);
    if (overflow > 0) {
        return -1;
    }
    return limit < 0 ? 0 : limit;
}

/* Take room for another connection: ours are counted beside the client's, under the same cap. A pool of somebody's
   own that knows none is left to the client. Nothing that lets another thread run stands between the question and
   the count. */
static bool
take_room(client_pool *self, PyObject *redis_pool)
{
    long long cap = cap_of(self, redis_pool);
    bool has_room = cap == -1 || self->open_count < cap;
    self->open_count += has_room;
    return has_room;
}

static void
give_room_back(client_pool *self)
{
    /* In a forked child nobody counted what its parent was about to open. */
    if (self->open_count > 0) {
        self->open_count--;
    }
}

/* Take the connection out of those that the redis-py pool knows. 0, and the exception that is set stays set; or -1 with
   another in its place. */
static int
unregister(PyObject *redis_pool, core_connection *used)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = clients_call("unregister", redis_pool, (PyObject *)used);
    return errors_restore_unless_raised(done, type, value, traceback);
}

/* So that a connection can be put back without memory. */
static int
reserve_place(client_pool *self)
{
    Py_ssize_t places = self->open_count;
    if (places <= self->idle_places) {
        return 0;
    }
    /* Pointers are what it holds: NOLINTNEXTLINE(bugprone-sizeof-expression) */
    core_connection **idle = PyMem_Realloc(self->idle, (size_t)places * sizeof *idle);
    if (idle == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->idle = idle;
    self->idle_places = places;
    return 0;
}

static bool
put_back(client_pool *self, core_connection *used)
{
    /* In a child that was forked in the middle of the call, where the pool has left its parent's already. */
    bool has_place = connection_pid(used) == self->pid && self->idle_count < self->idle_places;
    if (has_place) {
        self->idle[self->idle_count++] = used;
        connection_unclaim(used);
    }
    return has_place;
}

/* Let go of a connection. Where memory lacks even for that, it is put back, not usable any more, and the next
   call comes here again: the redis-py pool would keep its socket open. */
static int
discard(client_pool *self, core_connection *used)
{
    /* In a forked child the pool has forgotten its parent's, and its lock may be held by a thread that is not there. */
    bool is_inherited = connection_is_inherited(used);
    PyObject *redis_pool = is_inherited ? NULL : redis_pool_of(self);
    int result = redis_pool == NULL ? 0 : unregister(redis_pool, used);
    Py_XDECREF(redis_pool);
    result = connection_disconnect(used) < 0 ? -1 : result;
    if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError) && put_back(self, used)) {
        return -1;
    }
    if (!is_inherited) {
        give_room_back(self);
    }
    Py_DECREF(used);
    return result;
}

/* Whether there are descriptors for a connection: for its socket, and for what is read while it is made (certificates,
   names of hosts). Asked before redis-py tries, waits and tries again: the client's own connection may be open. */
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

/* Enter the connection among those that the redis-py pool knows. A pool that keeps none that we can reach is left to
   the client from then on. Steals the connection, which is NULL where that failed. */
static core_connection *
enter(client_pool *self, PyObject *redis_pool, core_connection *opened)
{
    PyObject *is_known = clients_call("register", redis_pool, (PyObject *)opened);
    if (is_known == Py_False) {
        self->is_refused = true;
    }
    if (is_known != Py_True) {
        (void)discard(self, opened);
        opened = NULL;
    }
    Py_XDECREF(is_known);
    return opened;
}

/* Connect; NULL with an exception, or without one where none can be had. */
static core_connection *
open_connection(client_pool *self, PyObject *redis_pool)
{
    PyObject *arguments
        = has_descriptors() ? clients_call("connection_arguments", redis_pool, NULL) : NULL;
    core_connection *opened = NULL;
    PyObject *connection_class, *connection_kwargs;
    if (arguments != NULL
        && PyArg_ParseTuple(arguments, "OO!", &connection_class, &PyDict_Type, &connection_kwargs)
        && reserve_place(self) == 0) {
        opened = connection_open(self->state, connection_class, connection_kwargs,
                                 &self->exceptions, &self->is_refused);
    }
    Py_XDECREF(arguments);
    if (opened == NULL) {
        give_room_back(self);
        return NULL;
    }
    return enter(self, redis_pool, opened);
}

/* The idle connection that was used last; NULL for none. */
static core_connection *
take_idle(client_pool *self)
{
    for (Py_ssize_t i = self->idle_count - 1; i >= 0; i--) {
        core_connection *idle = self->idle[i];
        if (connection_claim(idle)) {
            self->idle_count--;
            for (Py_ssize_t j = i; j < self->idle_count; j++) {
                self->idle[j] = self->idle[j + 1];
            }
            return idle;
        }
    }
    return NULL;
}

/* A usable connection, or NULL; then, without an exception, none can be had. */
static core_connection *
check_out(client_pool *self)
{
    if (leave_parent_connections(self) < 0) {
        return NULL;
    }
    for (core_connection *idle; (idle = take_idle(self)) != NULL;) {
        if (connection_is_usable(idle)) {
            return idle;
        }
        if (discard(self, idle) < 0) {
            return NULL;
        }
    }
    PyObject *redis_pool = redis_pool_of(self);
    if (redis_pool == NULL) {
        return NULL;
    }
    core_connection *opened = NULL;
    if (take_room(self, redis_pool)) {
        opened = open_connection(self, redis_pool);
    }
    Py_DECREF(redis_pool);
    return opened;
}

static int
check_in(client_pool *self, core_connection *used)
{
    int settled = connection_settle(used);
    if (settled == 0 && put_back(self, used)) {
        return 0;
    }
    return discard(self, used) < 0 || settled < 0 ? -1 : 0;
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

/* ---- Running commands -------------------------------------------------------------------------- */

/* A run that may be tried again; `retry` is the failed connection's. */
typedef struct {
    client_pool *pool;
    const command_buffer *commands;
    const reply_spec *specs;
    reply *replies;
    PyObject *retry;   /* (the Retry, what it calls on a failure) */
    PyObject *failure; /* what the first attempt raised */
    bool has_heard;    /* Retry has, of that failure */
    bool is_done;      /* the last attempt succeeded: replies are set */
    bool is_unavailable;
} run;

/* Keep the Retry object of the connection that failed, beside the failure itself. */
static int
remember_retry(run *this, const core_connection *failed)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *retry = clients_call("retry_of", connection_object(failed), NULL);
    Py_XSETREF(this->retry, Py_XNewRef(retry));
    return errors_restore_unless_raised(retry, type, value, traceback);
}

/* Whether the server refused one more connection: the client's own, already open, may still serve. */
static bool
is_server_full(const run *this)
{
    if (!PyErr_ExceptionMatches(this->pool->exceptions.ConnectionError)) {
        return false;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = PyObject_Str(value);
    const char *words = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    bool is_full = words != NULL && strstr(words, "max number of clients reached") != NULL;
    Py_XDECREF(text);
    PyErr_Restore(type, value, traceback);
    return is_full;
}

/* Whether our connection could not be opened because the process, or the system, has no descriptor left. */
static bool
is_out_of_descriptors(const run *this)
{
    if (!PyErr_ExceptionMatches(this->pool->exceptions.ConnectionError)
        && !PyErr_ExceptionMatches(PyExc_OSError)) {
        return false;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *answer = clients_call("is_out_of_descriptors", value, NULL);
    bool is_out = answer == Py_True;
    (void)errors_restore_unless_raised(answer, type, value, traceback);
    return is_out;
}

static int
fail_or_leave_to_client(run *this, bool is_opened)
{
    this->is_unavailable = !PyErr_Occurred();
    if (!this->is_unavailable
        && (is_server_full(this) || (!is_opened && is_out_of_descriptors(this)))) {
        PyErr_Clear();
        this->is_unavailable = true;
    }
    return -1;
}

/* Replies are set where it succeeds, and only there. */
static int
attempt(run *this)
{
    core_connection *used = check_out(this->pool);
    if (used == NULL) {
        return fail_or_leave_to_client(this, false);
    }
    if (connection_exchange(used, this->commands, this->specs, this->replies) < 0) {
        /* What these two raise takes the failure's place: an interrupt is not to be tried again. */
        (void)remember_retry(this, used);
        (void)discard(this->pool, used);
        return fail_or_leave_to_client(this, true);
    }
    if (check_in(this->pool, used) < 0) {
        replies_clear(this->replies, this->commands->count);
        return -1;
    }
    this->is_done = true;
    return 0;
}

/* Another attempt, after one that failed, or of which Retry thinks so. */
static int
attempt_again(run *this)
{
    if (this->is_done) {
        replies_clear(this->replies, this->commands->count);
    }
    this->is_done = this->is_unavailable = false;
    return attempt(this);
}

/* The callable that redis-py's Retry calls: first it hears of the failure that has already happened. */
typedef struct {
    PyObject_HEAD
    run *run; /* NULL once the call is over, should anybody have kept us */
} Attempt;

static PyObject *
attempt_call(Attempt *self, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    run *this = self->run;
    if (this == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the call that this attempt belongs to is over");
        return NULL;
    }
    if (!this->has_heard) {
        this->has_heard = true;
        errors_raise(Py_NewRef(this->failure));
        return NULL;
    }
    if (attempt_again(this) < 0 && !this->is_unavailable) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Let redis-py's Retry decide about the failure that is set: 0 when a later attempt succeeded. */
static int
try_again(run *this)
{
    PyObject *type, *traceback;
    PyErr_Fetch(&type, &this->failure, &traceback);
    PyErr_NormalizeException(&type, &this->failure, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    PyTypeObject *attempt_type = this->pool->state->attempt_type;
    Attempt *again = (Attempt *)attempt_type->tp_alloc(attempt_type, 0);
    /* Kept here: an attempt that fails puts its own connection's in its place. */
    PyObject *retry = Py_NewRef(this->retry);
    PyObject *policy, *on_failure;
    PyObject *result = NULL;
    if (again != NULL && PyArg_ParseTuple(retry, "OO", &policy, &on_failure)) {
        again->run = this;
        result = PyObject_CallMethodObjArgs(policy, this->pool->state->names.call_with_retry,
                                            (PyObject *)again, on_failure, NULL);
        again->run = NULL;
    }
    Py_DECREF(retry);
    Py_XDECREF(again);
    Py_XDECREF(result);
    if (result != NULL && !this->is_done && !this->is_unavailable) {
        /* It has swallowed the failure, and there is nothing to return. */
        errors_raise(Py_NewRef(this->failure));
    }
    if (result == NULL) {
        /* An interrupt, say, behind the attempt that succeeded. */
        replies_clear(this->replies, this->commands->count);
        this->is_done = this->is_unavailable = false;
    }
    Py_CLEAR(this->failure);
    return result != NULL && this->is_done ? 0 : -1;
}

static bool
is_connection_failure(const run *this)
{
    PyObject *type = PyErr_Occurred();
    return this->retry != NULL && type != NULL
           && errors_is_connection_failure(&this->pool->exceptions, type);
}

run_status
client_pool_run(client_pool *self, const command_buffer *commands, const reply_spec *specs,
                reply *replies)
{
    run this = {.pool = self, .commands = commands, .specs = specs, .replies = replies};
    memset(replies, 0, (size_t)commands->count * sizeof *replies);
    int done = attempt(&this);
    if (done < 0 && is_connection_failure(&this)) {
        done = try_again(&this);
    }
    Py_XDECREF(this.retry);
    if (this.is_unavailable) {
        return RUN_UNAVAILABLE;
    }
    return done < 0 ? RUN_FAILED : RUN_DONE;
}

/* ---- The types --------------------------------------------------------------------------------- */

static int
client_pool_traverse(client_pool *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->weak_pool);
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
    return 0;
}

static void
client_pool_dealloc(client_pool *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    client_pool_clear(self);
    Py_CLEAR(self->weak_pool);
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

static void
attempt_dealloc(Attempt *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot attempt_slots[] = {
    {Py_tp_call, attempt_call},
    {Py_tp_dealloc, attempt_dealloc},
    {0, NULL},
};

static PyType_Spec attempt_spec = {
    .name = "rqreg_ext._core.Attempt",
    .basicsize = sizeof(Attempt),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = attempt_slots,
};

int
client_pool_setup_types(PyObject *module, core_state *state)
{
    state->client_pool_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &client_pool_spec, NULL);
    if (state->client_pool_type == NULL) {
        return -1;
    }
    state->attempt_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &attempt_spec, NULL);
    return state->attempt_type == NULL ? -1 : 0;
}
