#include "exchange.h"

#include "client_pool.h"
#include "command.h"
#include "errors.h"
#include "reply.h"

/* ---- Shapes ------------------------------------------------------------------------------------ */

/* What a list reply of bytes is made into, a new reference; NULL with an exception. */
typedef PyObject *(*finisher)(PyObject *list, const redis_exceptions *exceptions);

/* A list with empty places could be seen through the collector. Steals the item, which may be NULL. */
static int
append(PyObject *list, PyObject *item)
{
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}

static PyObject *
no_entries(const redis_exceptions *exceptions)
{
    errors_set_broken_reply(exceptions, "a reply without the scores of its entries");
    return NULL;
}

/* (member, score) of what ZRANGE says of an entry; the score is text on RESP2. */
static PyObject *
entry_of(PyObject *member, PyObject *score, const redis_exceptions *exceptions)
{
    if (!PyBytes_Check(member) || !(PyBytes_Check(score) || PyFloat_Check(score))) {
        return no_entries(exceptions);
    }
    PyObject *text
        = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(member), PyBytes_GET_SIZE(member), NULL);
    PyObject *number = text == NULL
                           ? NULL
                           : (PyFloat_Check(score) ? Py_NewRef(score) : PyFloat_FromString(score));
    PyObject *entry = number == NULL ? NULL : PyTuple_Pack(2, text, number);
    Py_XDECREF(text);
    Py_XDECREF(number);
    return entry;
}

/* The entry at `index`: a pair on RESP3, two items in line on RESP2. */
static PyObject *
entry_at(PyObject *list, Py_ssize_t index, bool in_pairs, const redis_exceptions *exceptions)
{
    if (!in_pairs) {
        return entry_of(PyList_GET_ITEM(list, 2 * index), PyList_GET_ITEM(list, 2 * index + 1),
                        exceptions);
    }
    PyObject *pair = PyList_GET_ITEM(list, index);
    if (!PyList_Check(pair) || PyList_GET_SIZE(pair) != 2) {
        return no_entries(exceptions);
    }
    return entry_of(PyList_GET_ITEM(pair, 0), PyList_GET_ITEM(pair, 1), exceptions);
}

static PyObject *
entries_of(PyObject *list, const redis_exceptions *exceptions)
{
    if (!PyList_Check(list)) {
        return no_entries(exceptions);
    }
    Py_ssize_t size = PyList_GET_SIZE(list);
    bool in_pairs = size > 0 && PyList_Check(PyList_GET_ITEM(list, 0));
    if (!in_pairs && size % 2 != 0) {
        return no_entries(exceptions);
    }
    Py_ssize_t count = in_pairs ? size : size / 2;
    PyObject *entries = PyList_New(0);
    for (Py_ssize_t i = 0; entries != NULL && i < count; i++) {
        if (append(entries, entry_at(list, i, in_pairs, exceptions)) < 0) {
            Py_CLEAR(entries);
        }
    }
    return entries;
}

static const struct {
    const char *name;
    reply_shape shape;
    finisher finish; /* NULL: the reply is the result */
} SHAPES[] = {
    {"INTEGER", REPLY_INTEGER, NULL}, {"SCORE", REPLY_SCORE, NULL},
    {"VALUE", REPLY_VALUE, NULL},     {"NOTHING", REPLY_NOTHING, NULL},
    {"TEXTS", REPLY_TEXTS, NULL},     {"ENTRIES", REPLY_VALUE, entries_of},
};

/* ---- Commands ---------------------------------------------------------------------------------- */

/* What a call works with, all of one length but the buffer. */
typedef struct {
    PyObject *commands; /* a tuple of our own */
    Py_ssize_t count;
    command_buffer buffer;
    reply_spec *specs;
    reply *replies;
} exchange;

static int
add_words(command_buffer *buffer, PyObject *command)
{
    Py_ssize_t size = PyTuple_GET_SIZE(command);
    const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(command, 1));
    if (name == NULL) {
        return -1;
    }
    command_start(buffer, name, (int)(size - 2));
    for (Py_ssize_t i = 2; i < size; i++) {
        PyObject *argument = PyTuple_GET_ITEM(command, i);
        if (!command_takes(argument)) {
            PyErr_Format(PyExc_TypeError,
                         "argument %zd of %s is %R, not a str, bytes, int or float", i - 1, name,
                         argument);
            return -1;
        }
        command_add_object(buffer, argument);
    }
    return command_finish(buffer);
}

/* What the reply to a command is to be made into; -1 with an exception for what is no command. */
static int
spec_of(PyObject *command, reply_spec *spec)
{
    if (!PyTuple_CheckExact(command) || PyTuple_GET_SIZE(command) < 2
        || PyTuple_GET_SIZE(command) > INT_MAX
        || !(PyLong_Check(PyTuple_GET_ITEM(command, 0))
             || PyCallable_Check(PyTuple_GET_ITEM(command, 0)))
        || !PyUnicode_Check(PyTuple_GET_ITEM(command, 1))) {
        PyErr_Format(PyExc_TypeError, "%R is not a command: (shape, name, *arguments)", command);
        return -1;
    }
    PyObject *given = PyTuple_GET_ITEM(command, 0);
    if (!PyLong_Check(given)) {
        *spec = (reply_spec){.shape = REPLY_VALUE, .finish = given};
        return 0;
    }
    long shape = PyLong_AsLong(given);
    if (shape < 0 || shape >= (long)Py_ARRAY_LENGTH(SHAPES)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "%ld is no shape of a reply", shape);
        }
        return -1;
    }
    *spec = (reply_spec){.shape = SHAPES[shape].shape};
    return 0;
}

static int
add_commands(exchange *this)
{
    for (Py_ssize_t i = 0; i < this->count; i++) {
        PyObject *command = PyTuple_GET_ITEM(this->commands, i);
        if (spec_of(command, &this->specs[i]) < 0 || add_words(&this->buffer, command) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- Replies ----------------------------------------------------------------------------------- */

/* The result of one command: its value, or the exception that stands for the server's error. */
static PyObject *
result_of(const exchange *this, Py_ssize_t index, const redis_exceptions *exceptions)
{
    const reply *answer = &this->replies[index];
    if (answer->error != NULL) {
        return Py_NewRef(answer->error);
    }
    PyObject *shape = PyTuple_GET_ITEM(PyTuple_GET_ITEM(this->commands, index), 0);
    finisher finish = PyLong_Check(shape) ? SHAPES[PyLong_AsLong(shape)].finish : NULL;
    return finish == NULL ? Py_NewRef(answer->value) : finish(answer->value, exceptions);
}

static PyObject *
results_of(const exchange *this, const redis_exceptions *exceptions)
{
    PyObject *results = PyList_New(0);
    for (Py_ssize_t i = 0; results != NULL && i < this->count; i++) {
        if (append(results, result_of(this, i, exceptions)) < 0) {
            Py_CLEAR(results);
        }
    }
    return results;
}

/* ---- The call ---------------------------------------------------------------------------------- */

static PyObject *
run(exchange *this, client_pool *pool)
{
    if (add_commands(this) < 0) {
        return NULL;
    }
    switch (client_pool_run(pool, &this->buffer, this->specs, this->replies)) {
    case RUN_UNAVAILABLE:
        Py_RETURN_NONE;
    case RUN_FAILED:
        return NULL;
    default:
        break;
    }
    PyObject *results = results_of(this, client_pool_exceptions(pool));
    replies_clear(this->replies, (int)this->count);
    return results;
}

static int
begin(exchange *this, PyObject *commands)
{
    *this = (exchange){.commands = commands, .count = PyTuple_GET_SIZE(commands)};
    if (this->count > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "%zd commands are too many for one write", this->count);
        return -1;
    }
    this->specs = PyMem_Calloc((size_t)this->count, sizeof *this->specs);
    this->replies = PyMem_Calloc((size_t)this->count, sizeof *this->replies);
    if (this->specs == NULL || this->replies == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *
run_commands(PyObject *commands, client_pool *pool)
{
    exchange this;
    PyObject *results = NULL;
    if (begin(&this, commands) == 0) {
        command_init(&this.buffer);
        results = run(&this, pool);
        command_clear(&this.buffer);
    }
    PyMem_Free(this.specs);
    PyMem_Free(this.replies);
    return results;
}

/* The pool beside the client's, or NULL: without an exception for a client that is not taken over. */
static client_pool *
pool_of(PyObject *module, PyObject *client)
{
    client_pool *pool = client_pool_find(PyModule_GetState(module), client);
    if (pool == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return pool;
}

PyDoc_STRVAR(exchange_doc,
"exchange($module, connection, commands, /)\n--\n\n"
"Send the commands in one write and return the list of their replies, in one round trip.\n\n"
"connection: a redis-py client.\n"
"commands: a list or tuple of (shape, name, *arguments); an argument is a str, bytes, int or float.\n"
"A reply is of the command's shape, or what a callable in the shape's place returns for it, called with each\n"
"reply while the server is at work on the next ones; all of them again where the client's Retry sends them again.\n"
"The server's error for one command is an exception in its place.\n"
"Returns None, and nothing was sent, for a client whose connections are not taken over.\n"
"Raises redis.exceptions.RedisError when the connection fails, after what the client's Retry says.");

/* `commands` is a tuple of our own, not empty. */
static PyObject *
exchange_with(PyObject *module, PyObject *client, PyObject *commands)
{
    client_pool *pool = pool_of(module, client);
    if (pool == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *results = run_commands(commands, pool);
    Py_DECREF(pool);
    return results;
}

static PyObject *
exchange_commands(PyObject *module, PyObject *const *values, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError,
                     "exchange() takes a connection and commands, not %zd arguments", count);
        return NULL;
    }
    /* A copy: nobody else can change it meanwhile. */
    PyObject *commands = PySequence_Tuple(values[1]);
    if (commands == NULL) {
        return NULL;
    }
    PyObject *results = PyTuple_GET_SIZE(commands) == 0
                            ? PyList_New(0)
                            : exchange_with(module, values[0], commands);
    Py_DECREF(commands);
    return results;
}

PyDoc_STRVAR(is_direct_doc,
"is_direct($module, connection, /)\n--\n\n"
"Tell whether commands for this client go over connections of ours: it is redis-py's, and nobody has changed it.\n\n"
"No round trip.");

static PyObject *
is_direct(PyObject *module, PyObject *client)
{
    client_pool *pool = pool_of(module, client);
    if (pool == NULL && PyErr_Occurred()) {
        return NULL;
    }
    bool answer = pool != NULL;
    Py_XDECREF(pool);
    return PyBool_FromLong(answer);
}

static PyMethodDef exchange_functions[] = {
    {"exchange", (PyCFunction)(void (*)(void))exchange_commands, METH_FASTCALL, exchange_doc},
    {"is_direct", is_direct, METH_O, is_direct_doc},
    {NULL, NULL, 0, NULL},
};

int
exchange_setup(PyObject *module)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(SHAPES); i++) {
        if (PyModule_AddIntConstant(module, SHAPES[i].name, (long)i) < 0) {
            return -1;
        }
    }
    return PyModule_AddFunctions(module, exchange_functions);
}
