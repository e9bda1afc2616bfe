#include "retries.h"

#include <string.h>

#include "python_calls.h"
#include "raised.h"
#include "session.h"

/* Commands that are run, perhaps more than once. */
typedef struct {
    client_pool *pool;
    const command_buffer *commands;
    const reply_spec *specs;
    reply *replies;
    PyObject *retry;   /* (Retry, on_failure) of the connection that failed, from retry_of() */
    PyObject *failure; /* what the first attempt raised */
    bool retry_knows;  /* whether the Retry has seen that failure */
    int send_count;    /* attempts that got as far as sending */
    bool is_done;      /* the last attempt succeeded: replies are set */
    bool is_unavailable;
} retried_run;

/* Remember the Retry of the connection that failed. Keeps the exception that is set, and returns 0;
   or replaces it, and returns -1. */
static int
save_retry(retried_run *run, const core_connection *failed)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *retry = call_fastpath("clients.errors", "retry_of", "(O)", connection_object(failed));
    Py_XSETREF(run->retry, Py_XNewRef(retry));
    return set_raised_unless_failed(error, retry);
}

/* Whether the server refused one more connection. The client's own connection may be open already,
   and can serve the call. */
static bool
is_server_full(const retried_run *run)
{
    if (!PyErr_ExceptionMatches(client_pool_exceptions(run->pool)->ConnectionError)) {
        return false;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = PyObject_Str(error);
    const char *words = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    bool is_full = words != NULL && strstr(words, "max number of clients reached") != NULL;
    Py_XDECREF(text);
    PyErr_SetRaisedException(error);
    return is_full;
}

/* Whether connecting failed because the process, or the system, has no file descriptor left. */
static bool
is_out_of_descriptors(const retried_run *run)
{
    if (!PyErr_ExceptionMatches(client_pool_exceptions(run->pool)->ConnectionError)
        && !PyErr_ExceptionMatches(PyExc_OSError)) {
        return false;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *answer = call_fastpath("clients.errors", "is_out_of_descriptors", "(O)", error);
    bool is_out = answer == Py_True;
    (void)set_raised_unless_failed(error, answer);
    return is_out;
}

/* End a failed attempt. Where the server or this process has no room for one more connection, the
   exception is cleared, and the client's own connection serves the call. Returns -1. */
static int
fail_attempt(retried_run *run, bool was_connected)
{
    run->is_unavailable = !PyErr_Occurred();
    if (!run->is_unavailable
        && (is_server_full(run) || (!was_connected && is_out_of_descriptors(run)))) {
        PyErr_Clear();
        run->is_unavailable = true;
    }
    return -1;
}

/* Run the commands once. 0, and the replies are set; or -1, and none is. */
static int
attempt_once(retried_run *run)
{
    core_connection *used = client_pool_take(run->pool);
    if (used == NULL) {
        return fail_attempt(run, false);
    }
    int is_same = session_compare(run->pool, used);
    if (is_same == 0) {
        run->is_unavailable = client_pool_give_back(run->pool, used) == 0;
        return -1;
    }
    run->send_count += is_same > 0;
    if (is_same < 0 || connection_exchange(used, run->commands, run->specs, run->replies) < 0) {
        /* client_pool_give_back_closed() disconnects the connection and keeps the object idle;
           reopen() in client_pool.c connects it when it is next taken. If one of these two calls
           raises, a KeyboardInterrupt say, that exception is reported, and no Retry is asked. */
        (void)save_retry(run, used);
        (void)client_pool_give_back_closed(run->pool, used);
        return fail_attempt(run, true);
    }
    if (client_pool_give_back(run->pool, used) < 0) {
        replies_clear(run->replies, run->commands->count);
        return -1;
    }
    run->is_done = true;
    return 0;
}

/* Make another attempt. The previous one may have succeeded: a Retry class of the program may call
   again all the same. */
static int
attempt_again(retried_run *run)
{
    if (run->is_done) {
        replies_clear(run->replies, run->commands->count);
    }
    run->is_done = run->is_unavailable = false;
    return attempt_once(run);
}

/* The function that redis-py's Retry calls for each attempt. Its first call raises the failure that
   has already happened: a Retry knows of a failure only if its own call raised it. */
typedef struct {
    PyObject_HEAD
    retried_run *run; /* NULL after the call: a Retry may have kept the object */
} Attempt;

static PyObject *
attempt_call(Attempt *self, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    retried_run *run = self->run;
    if (run == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the call that this attempt belongs to is over");
        return NULL;
    }
    if (!run->retry_knows) {
        run->retry_knows = true;
        errors_raise(Py_NewRef(run->failure));
        return NULL;
    }
    if (attempt_again(run) < 0 && !run->is_unavailable) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Let redis-py's Retry decide what to do about the failure that is set. 0 when a later attempt
   succeeded. */
static int
let_retry_decide(retried_run *run)
{
    run->failure = PyErr_GetRaisedException();
    PyTypeObject *attempt_type = client_pool_state(run->pool)->attempt_type;
    Attempt *again = (Attempt *)attempt_type->tp_alloc(attempt_type, 0);
    /* A new reference, as an attempt that fails replaces run->retry. */
    PyObject *retry = Py_NewRef(run->retry);
    PyObject *policy, *on_failure;
    PyObject *result = NULL;
    if (again != NULL && PyArg_ParseTuple(retry, "OO", &policy, &on_failure)) {
        again->run = run;
        result = PyObject_CallMethodObjArgs(policy,
                                            client_pool_state(run->pool)->names.call_with_retry,
                                            (PyObject *)again, on_failure, NULL);
        again->run = NULL;
    }
    Py_DECREF(retry);
    Py_XDECREF(again);
    Py_XDECREF(result);
    if (result != NULL && !run->is_done && !run->is_unavailable) {
        /* The Retry has swallowed the failure, and there is nothing to return. */
        errors_raise(Py_NewRef(run->failure));
    }
    if (result == NULL) {
        /* A KeyboardInterrupt, say, after the attempt that succeeded. */
        replies_clear(run->replies, run->commands->count);
        run->is_done = run->is_unavailable = false;
    }
    Py_CLEAR(run->failure);
    return result != NULL && run->is_done ? 0 : -1;
}

static bool
is_connection_failure(const retried_run *run)
{
    PyObject *type = PyErr_Occurred();
    return run->retry != NULL && type != NULL
           && errors_is_connection_failure(client_pool_exceptions(run->pool), type);
}

run_status
run_with_retry(client_pool *pool, const command_buffer *commands, const reply_spec *specs,
               reply *replies, bool *was_resent)
{
    retried_run run = {.pool = pool, .commands = commands, .specs = specs, .replies = replies};
    memset(replies, 0, (size_t)commands->count * sizeof *replies);
    int done = attempt_once(&run);
    if (done < 0 && is_connection_failure(&run)) {
        done = let_retry_decide(&run);
    }
    Py_XDECREF(run.retry);
    if (was_resent != NULL) {
        *was_resent = run.send_count > 1;
    }
    if (run.is_unavailable) {
        return RUN_UNAVAILABLE;
    }
    return done < 0 ? RUN_FAILED : RUN_DONE;
}

/* ---- The type -------------------------------------------------------------------------------- */

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
retries_setup_type(PyObject *module, core_state *state)
{
    state->attempt_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &attempt_spec, NULL);
    return state->attempt_type == NULL ? -1 : 0;
}
