#include "stand_in.h"

#include "errors.h"
#include "python_calls.h"
#include "raised.h"
#include "retries.h"

/* ---- Comparing ------------------------------------------------------------------------------- */

static bool
is_builtin(PyObject *word)
{
    return PyUnicode_CheckExact(word) || PyBytes_CheckExact(word) || PyLong_CheckExact(word)
           || PyFloat_CheckExact(word);
}

static bool
is_same_word(PyObject *given, PyObject *expected)
{
    if (given == expected) {
        return true;
    }
    return Py_TYPE(given) == Py_TYPE(expected) && is_builtin(given)
           && PyObject_RichCompareBool(given, expected, Py_EQ) == 1;
}

static bool
are_same_words(PyObject *const *given, Py_ssize_t count, PyObject *expected)
{
    if (count != PyTuple_GET_SIZE(expected)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!is_same_word(given[i], PyTuple_GET_ITEM(expected, i))) {
            return false;
        }
    }
    return true;
}

/* Whether the object still has the client's pool: a wrapper may choose another one. It may leave an
   exception set if it is false. */
static bool
has_own_pool(stand_in *self)
{
    core_state *state = client_pool_state(self->pool);
    PyObject *found = PyObject_GetAttr((PyObject *)self, state->names.connection_pool);
    bool is_own = found != NULL && found == self->redis_pool;
    Py_XDECREF(found);
    (void)raised_clear(PyExc_AttributeError);
    return is_own;
}

/* Compare the words that arrived with the current command; -1 with an exception if they must not be
   sent. */
static int
check_arrival(stand_in *self, PyObject *const *words, Py_ssize_t count, PyObject *keywords)
{
    bool may_compare = may_use_here(self->thread);
    if (may_compare && (self->pool == NULL || self->is_busy)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the call that this client was made for is over, or at work");
        return -1;
    }
    if (!may_compare || (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0)
        || !are_same_words(words, count, self->commands[self->current].words)
        || !has_own_pool(self)) {
        self->is_changed = true;
        if (PyErr_Occurred() == NULL) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the command is not what was given to the client, and is not sent");
        }
        return -1;
    }
    return 0;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* Send the commands from the current one to before `end`. */
static run_status
send_commands(stand_in *self, int end)
{
    command_buffer buffer;
    reply_spec specs[MOST_WRAPPED];
    int first = self->current;
    run_status status = RUN_FAILED;
    int added = 0;
    command_init(&buffer);
    for (int i = first; added == 0 && i < end; i++) {
        specs[i - first] = self->commands[i].spec;
        added = command_add_words(&buffer, self->commands[i].words, 0);
    }
    if (added == 0) {
        reply replies[MOST_WRAPPED];
        self->is_busy = true;
        status = run_with_retry(self->pool, &buffer, specs, replies, NULL);
        self->is_busy = false;
        for (int i = first; status == RUN_DONE && i < end; i++) {
            Py_XSETREF(self->replies[i].value, replies[i - first].value);
            Py_XSETREF(self->replies[i].error, replies[i - first].error);
        }
    }
    command_clear(&buffer);
    return status;
}

/* Have the client send the current command on a connection of its own, and keep the reply as if the
   core had read it. -1 with an exception if no reply came. */
static int
send_by_client(stand_in *self)
{
    reply *kept = &self->replies[self->current];
    self->is_busy = true;
    PyObject *answer = call_fastpath("clients.core_stand_in", "send_on_own_connection", "(OO)",
                                     self, self->commands[self->current].words);
    self->is_busy = false;
    if (answer == NULL) {
        return -1;
    }
    replies_clear(kept, 1);
    *(PyExceptionInstance_Check(answer) ? &kept->error : &kept->value) = answer;
    return 0;
}

/* Give the command to the tracers around the method by which redis-py writes; the method itself is
   not called. */
static int
show_write(stand_in *self)
{
    if (!self->is_write_traced) {
        return 0;
    }
    PyObject *shown = call_fastpath("clients.core_stand_in", "show_write", "(OO)", self,
                                    self->commands[self->current].words);
    Py_XDECREF(shown);
    return shown == NULL ? -1 : 0;
}

/* ---- Replies --------------------------------------------------------------------------------- */

/* {field: value, ...}, as redis-py makes it of the reply to HGETALL. */
static PyObject *
dict_of(PyObject *list)
{
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict != NULL && i + 1 < PyList_GET_SIZE(list); i += 2) {
        if (PyDict_SetItem(dict, PyList_GET_ITEM(list, i), PyList_GET_ITEM(list, i + 1)) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

/* The reply to the current command as the wrappers see it; NULL with an exception for the server's
   error. */
static PyObject *
show_reply(stand_in *self)
{
    reply *found = &self->replies[self->current];
    if (found->error != NULL) {
        self->is_error_reply = true;
        errors_raise(found->error);
        found->error = NULL;
        return NULL;
    }
    if (self->commands[self->current].is_hash && PyList_Check(found->value)) {
        return dict_of(found->value);
    }
    PyObject *value = found->value;
    found->value = NULL;
    return value;
}

/* Keep the exception that is set, so that it is known again when it comes out of the wrappers. */
static void
keep_exception(stand_in *self)
{
    PyObject *error = PyErr_GetRaisedException();
    Py_XSETREF(self->innermost_result, Py_XNewRef(error));
    PyErr_SetRaisedException(error);
}

static PyObject *
exchange_current(stand_in *self)
{
    self->is_error_reply = false;
    if (show_write(self) < 0) {
        return NULL;
    }
    /* If a wrapper calls again, a retrying one say, the command is sent again. */
    if (self->has_arrived || !is_answered(&self->replies[self->current])) {
        int end = self->has_arrived ? self->current + 1 : self->count;
        run_status status = send_commands(self, end);
        if (status == RUN_FAILED || (status == RUN_UNAVAILABLE && send_by_client(self) < 0)) {
            return NULL;
        }
    }
    return show_reply(self);
}

/* The arguments of an innermost method, as METH_FASTCALL | METH_KEYWORDS gives them. */
typedef struct {
    PyObject *const *values;
    Py_ssize_t count;
    PyObject *keywords;
} innermost_arguments;

/* ---- As RQ's call ---------------------------------------------------------------------------- */

/* In the place of the outermost method: take note of what redis-py gives to the wrappers. */
static PyObject *
note_and_execute(stand_in *self, PyObject *words, PyObject *options)
{
    if (may_use_here(self->thread) && self->given_words == NULL && !self->is_over) {
        self->given_words = Py_NewRef(words);
        self->given_options = Py_XNewRef(options);
    }
    core_state *state = core_state_of(Py_TYPE(self));
    PyObject *client = state == NULL
                           ? NULL
                           : PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type,
                                                          state->stand_in_type, self, NULL);
    PyObject *method
        = client == NULL ? NULL : PyObject_GetAttr(client, state->names.execute_command);
    PyObject *value = method == NULL ? NULL : PyObject_Call(method, words, options);
    Py_XDECREF(client);
    Py_XDECREF(method);
    return value;
}

/* Whether these are the options that redis-py gave. `values`: in the order of the keywords. */
static bool
are_given_options(const stand_in *self, PyObject *const *values, PyObject *keywords)
{
    Py_ssize_t given = self->given_options == NULL ? 0 : PyDict_GET_SIZE(self->given_options);
    Py_ssize_t count = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    bool are_same = given == count;
    for (Py_ssize_t i = 0; are_same && i < count; i++) {
        are_same = PyDict_GetItemWithError(self->given_options, PyTuple_GET_ITEM(keywords, i))
                   == values[i];
        PyErr_Clear();
    }
    return are_same;
}

/* Whether the command that arrived is the current one, and is as redis-py gave it. It may leave an
   exception set if it is false. */
static bool
is_as_given(stand_in *self, PyObject *const *words, Py_ssize_t count, PyObject *keywords)
{
    if (self->pool == NULL || self->is_busy || self->given_words == NULL) {
        return false;
    }
    PyObject *expected = self->commands[self->current].words;
    return are_same_words(words, count, expected)
           && are_same_words(&PyTuple_GET_ITEM(self->given_words, 0),
                             PyTuple_GET_SIZE(self->given_words), expected)
           && are_given_options(self, words + count, keywords) && has_own_pool(self);
}

/* Send the current command by itself. RUN_UNAVAILABLE if the client must do it. */
static run_status
send_current(stand_in *self, PyObject **value)
{
    self->is_error_reply = false;
    if (show_write(self) < 0) {
        return RUN_FAILED;
    }
    run_status status = send_commands(self, self->current + 1);
    if (status == RUN_DONE) {
        *value = show_reply(self);
    }
    return status;
}

/* Have redis-py's own innermost method send what it is given. */
static PyObject *
send_as_client(stand_in *self, const innermost_arguments *given)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)self, "_rqreg_ext_send");
    PyObject *value = method == NULL ? NULL
                                     : PyObject_Vectorcall(method, given->values,
                                                           (size_t)given->count, given->keywords);
    Py_XDECREF(method);
    return value;
}

/* ---- redis-py's innermost methods ------------------------------------------------------------ */

/* The first word is at `first` among the arguments of the innermost method. */
static PyObject *
arrive(stand_in *self, const innermost_arguments *given, Py_ssize_t first)
{
    if (self->is_as_rq && !may_use_here(self->thread)) {
        return send_as_client(self, given);
    }
    PyObject *const *words = given->values + first;
    Py_ssize_t count = given->count - first;
    PyObject *value = NULL;
    if (!self->is_as_rq) {
        if (check_arrival(self, words, count, given->keywords) < 0) {
            return NULL;
        }
        value = exchange_current(self);
    }
    else if (!is_as_given(self, words, count, given->keywords)
             || send_current(self, &value) == RUN_UNAVAILABLE) {
        value = PyErr_Occurred() != NULL ? NULL : send_as_client(self, given);
    }
    self->has_arrived = true;
    if (value == NULL) {
        keep_exception(self);
        return NULL;
    }
    Py_XSETREF(self->innermost_result, Py_NewRef(value));
    return value;
}

static PyObject *
execute_command(stand_in *self, PyObject *const *words, Py_ssize_t count, PyObject *keywords)
{
    const innermost_arguments given = {words, count, keywords};
    return arrive(self, &given, 0);
}

/* (connection, name, *words, **options) */
static PyObject *
send_command_parse_response(stand_in *self, PyObject *const *values, Py_ssize_t count,
                            PyObject *keywords)
{
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "a connection and a command must be given");
        return NULL;
    }
    const innermost_arguments given = {values, count, keywords};
    return arrive(self, &given, 2);
}

/* ---- The type -------------------------------------------------------------------------------- */

static void
release_all(stand_in *self)
{
    Py_CLEAR(self->pool);
    Py_CLEAR(self->redis_pool);
    Py_CLEAR(self->given_words);
    Py_CLEAR(self->given_options);
    Py_CLEAR(self->innermost_result);
    for (int i = 0; i < MOST_WRAPPED; i++) {
        Py_CLEAR(self->commands[i].words);
        Py_CLEAR(self->replies[i].value);
        Py_CLEAR(self->replies[i].error);
    }
}

void
stand_in_end(stand_in *self)
{
    self->is_over = true;
    release_all(self);
}

void
stand_in_begin(stand_in *self, int current)
{
    self->current = current;
    self->has_arrived = self->is_error_reply = false;
    Py_CLEAR(self->given_words);
    Py_CLEAR(self->given_options);
    Py_CLEAR(self->innermost_result);
}

stand_in *
stand_in_new(client_pool *pool, PyObject *stand_in_class, PyObject *client)
{
    PyObject *attributes = PyObject_GenericGetDict(client, NULL);
    PyObject *redis_pool = attributes == NULL ? NULL : client_pool_redis_pool(pool);
    stand_in *self = NULL;
    if (redis_pool != NULL) {
        PyTypeObject *type = (PyTypeObject *)stand_in_class;
        self = (stand_in *)type->tp_alloc(type, 0);
    }
    if (self != NULL) {
        self->pool = (client_pool *)Py_NewRef((PyObject *)pool);
        self->redis_pool = Py_NewRef(redis_pool);
        self->thread = PyThread_get_thread_ident();
        if (PyObject_GenericSetDict((PyObject *)self, attributes, NULL) < 0) {
            Py_CLEAR(self);
        }
    }
    Py_XDECREF(redis_pool);
    Py_XDECREF(attributes);
    return self;
}

static int
stand_in_traverse(stand_in *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->pool);
    Py_VISIT(self->redis_pool);
    Py_VISIT(self->given_words);
    Py_VISIT(self->given_options);
    Py_VISIT(self->innermost_result);
    for (int i = 0; i < MOST_WRAPPED; i++) {
        Py_VISIT(self->commands[i].words);
        Py_VISIT(self->replies[i].value);
        Py_VISIT(self->replies[i].error);
    }
    return 0;
}

static int
stand_in_clear(stand_in *self)
{
    release_all(self);
    return 0;
}

static void
stand_in_dealloc(stand_in *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    release_all(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* In the place of the __del__ of the client's class, which would close the client's connections. */
static void
stand_in_finalize(PyObject *self)
{
    (void)self;
}

/* Replies as they come: the client's callbacks would change them, where its own method sends a
   command. */
static PyObject *
get_response_callbacks(PyObject *self, void *closure)
{
    (void)self;
    (void)closure;
    return PyDict_New();
}

static int
set_response_callbacks(PyObject *self, PyObject *value, void *closure)
{
    (void)self;
    (void)value;
    (void)closure;
    return 0;
}

PyDoc_STRVAR(note_and_execute_doc,
"execute_command() of an object whose wrappers must get what RQ's call gives them: that is noted, and compared with what\n"
"arrives below them.");

static PyMethodDef stand_in_methods[] = {
    {"_execute_command", (PyCFunction)(void (*)(void))execute_command,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"_send_command_parse_response", (PyCFunction)(void (*)(void))send_command_parse_response,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"_rqreg_ext_execute", (PyCFunction)(void (*)(void))note_and_execute,
     METH_VARARGS | METH_KEYWORDS, note_and_execute_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stand_in_properties[] = {
    {"response_callbacks", get_response_callbacks, set_response_callbacks, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(stand_in_doc,
"Base class, together with the client's class, of the object that stands in for a wrapped client: the methods of\n"
"redis-py that send a command, which send it on a connection of the core.");

static PyType_Slot stand_in_slots[] = {
    {Py_tp_doc, (void *)stand_in_doc},   {Py_tp_traverse, stand_in_traverse},
    {Py_tp_clear, stand_in_clear},       {Py_tp_dealloc, stand_in_dealloc},
    {Py_tp_finalize, stand_in_finalize}, {Py_tp_methods, stand_in_methods},
    {Py_tp_getset, stand_in_properties}, {0, NULL},
};

static PyType_Spec stand_in_spec = {
    .name = "rqreg_ext._core.StandIn",
    .basicsize = sizeof(stand_in),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = stand_in_slots,
};

int
stand_in_setup_type(PyObject *module, core_state *state)
{
    state->stand_in_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &stand_in_spec, NULL);
    return state->stand_in_type == NULL ? -1 : PyModule_AddType(module, state->stand_in_type);
}
