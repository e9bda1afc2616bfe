#include "exchange.h"

#include "cluster.h"
#include "command.h"
#include "errors.h"
#include "lists.h"
#include "pool_lookup.h"
#include "reply.h"
#include "retries.h"

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* Converts a reply that is a list of bytes: a new reference; NULL with an exception. */
typedef PyObject *(*list_converter)(PyObject *list, const redis_exceptions *exceptions);

static PyObject *
no_entries(const redis_exceptions *exceptions)
{
    errors_set_broken_reply(exceptions, "a reply without the scores of its entries");
    return NULL;
}

/* (member, score) of an entry in a reply WITHSCORES; the score is text on RESP2. */
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

/* The entry at an index. RESP3 has a list of pairs, RESP2 members and scores in turns. */
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
        if (list_append_new(entries, entry_at(list, i, in_pairs, exceptions)) < 0) {
            Py_CLEAR(entries);
        }
    }
    return entries;
}

static const struct {
    const char *name;
    reply_shape shape;
    list_converter convert; /* NULL: the reply is the result */
} SHAPES[] = {
    {"INTEGER", REPLY_INTEGER, NULL}, {"SCORE", REPLY_SCORE, NULL},
    {"VALUE", REPLY_VALUE, NULL},     {"NOTHING", REPLY_NOTHING, NULL},
    {"TEXTS", REPLY_TEXTS, NULL},     {"ENTRIES", REPLY_VALUE, entries_of},
};

/* ---- Commands -------------------------------------------------------------------------------- */

/* A call of exchange(): arrays with one item for each command. */
typedef struct {
    PyObject *commands; /* a tuple of our own */
    Py_ssize_t count;
    command_buffer buffer;
    reply_spec *specs;
    reply *replies;
} exchange;

/* Fill the spec of a command's reply; -1 with an exception if it is not a command. */
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
        *spec = (reply_spec){.shape = REPLY_VALUE, .convert = given};
        return 0;
    }
    long shape = PyLong_AsLong(given);
    if (shape < 0 || shape >= (long)Py_ARRAY_LENGTH(SHAPES)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "%ld is not a shape of a reply", shape);
        }
        return -1;
    }
    *spec = (reply_spec){.shape = SHAPES[shape].shape};
    return 0;
}

static int
add_commands(exchange *run)
{
    for (Py_ssize_t i = 0; i < run->count; i++) {
        PyObject *command = PyTuple_GET_ITEM(run->commands, i);
        if (spec_of(command, &run->specs[i]) < 0
            || command_add_words(&run->buffer, command, 1) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- Replies --------------------------------------------------------------------------------- */

/* The result of one command: its value, or the exception for the server's error. */
static PyObject *
result_of(const exchange *run, Py_ssize_t index, const redis_exceptions *exceptions)
{
    const reply *answer = &run->replies[index];
    if (answer->error != NULL) {
        return Py_NewRef(answer->error);
    }
    PyObject *shape = PyTuple_GET_ITEM(PyTuple_GET_ITEM(run->commands, index), 0);
    list_converter convert = PyLong_Check(shape) ? SHAPES[PyLong_AsLong(shape)].convert : NULL;
    return convert == NULL ? Py_NewRef(answer->value) : convert(answer->value, exceptions);
}

static PyObject *
results_of(const exchange *run, const redis_exceptions *exceptions)
{
    PyObject *results = PyList_New(0);
    for (Py_ssize_t i = 0; results != NULL && i < run->count; i++) {
        if (list_append_new(results, result_of(run, i, exceptions)) < 0) {
            Py_CLEAR(results);
        }
    }
    return results;
}

/* ---- The call -------------------------------------------------------------------------------- */

/* Call on_resent, if there is one. */
static int
report_resent(PyObject *on_resent)
{
    PyObject *done = on_resent == NULL ? Py_NewRef(Py_None) : PyObject_CallNoArgs(on_resent);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *
run_exchange(exchange *run, client_pool *pool, PyObject *on_resent)
{
    if (add_commands(run) < 0) {
        return NULL;
    }
    bool was_resent;
    switch (run_with_retry(pool, &run->buffer, run->specs, run->replies, &was_resent)) {
    case RUN_UNAVAILABLE:
        Py_RETURN_NONE;
    case RUN_FAILED:
        return NULL;
    default:
        break;
    }
    PyObject *results = was_resent && report_resent(on_resent) < 0
                            ? NULL
                            : results_of(run, client_pool_exceptions(pool));
    replies_clear(run->replies, (int)run->count);
    return results;
}

static int
exchange_begin(exchange *run, PyObject *commands)
{
    *run = (exchange){.commands = commands, .count = PyTuple_GET_SIZE(commands)};
    if (run->count > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "%zd commands are too many for one write", run->count);
        return -1;
    }
    run->specs = PyMem_Calloc((size_t)run->count, sizeof *run->specs);
    run->replies = PyMem_Calloc((size_t)run->count, sizeof *run->replies);
    if (run->specs == NULL || run->replies == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *
exchange_on_pool(PyObject *commands, client_pool *pool, PyObject *on_resent)
{
    exchange run;
    PyObject *results = NULL;
    if (exchange_begin(&run, commands) == 0) {
        command_init(&run.buffer);
        results = run_exchange(&run, pool, on_resent);
        command_clear(&run.buffer);
    }
    PyMem_Free(run.specs);
    PyMem_Free(run.replies);
    return results;
}

/* As find_client_pool, but without an AttributeError. */
static client_pool *
pool_of(PyObject *module, PyObject *client, bool by_pool)
{
    bool is_cluster;
    client_pool *pool
        = by_pool ? find_pool_unchecked(PyModule_GetState(module), client)
                  : find_client_pool(PyModule_GetState(module), client, &is_cluster, NULL, NULL);
    if (pool == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return pool;
}

PyDoc_STRVAR(exchange_doc,
"exchange($module, connection, commands, on_resent=None, by_pool=False, /)\n--\n\n"
"Send the commands in one write and return the list of their replies, in one round trip.\n\n"
"connection: a redis-py client.\n"
"commands: a list or tuple of (shape, name, *arguments); an argument is a str, bytes, int or float.\n"
"A reply is of the command's shape, or what a callable in the shape's place returns for it, called with each\n"
"reply while the server is at work on the next ones; all of them again where the client's Retry sends them again.\n"
"on_resent: called without arguments before the replies are returned, if the commands were sent more than once: the\n"
"server may have run them before.\n"
"by_pool: whether only the client's pool is looked at, not the client: for that of a cluster's node, which the\n"
"cluster's client has made, and for a client whose wrappers have seen the commands.\n"
"The server's error for one command is an exception in its place.\n"
"Returns None, and sends nothing, for a client that must be used by its own methods.\n"
"Raises redis.exceptions.RedisError when the connection fails, after what the client's Retry says.");

/* `commands` is a tuple that no other code holds, and not empty. */
static PyObject *
exchange_for_client(PyObject *module, PyObject *client, PyObject *commands, PyObject *on_resent,
                    bool by_pool)
{
    client_pool *pool = pool_of(module, client, by_pool);
    if (pool == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *results = exchange_on_pool(commands, pool, on_resent);
    Py_DECREF(pool);
    return results;
}

static PyObject *
exchange_commands(PyObject *module, PyObject *const *values, Py_ssize_t count)
{
    if (count < 2 || count > 4) {
        PyErr_Format(
            PyExc_TypeError,
            "exchange() takes a connection, commands, on_resent and by_pool, not %zd arguments",
            count);
        return NULL;
    }
    /* A copy, which no other code can change during the call. */
    PyObject *commands = PySequence_Tuple(values[1]);
    if (commands == NULL) {
        return NULL;
    }
    PyObject *on_resent = count > 2 && values[2] != Py_None ? values[2] : NULL;
    PyObject *results = PyTuple_GET_SIZE(commands) == 0
                            ? PyList_New(0)
                            : exchange_for_client(module, values[0], commands, on_resent,
                                                  count == 4 && values[3] == Py_True);
    Py_DECREF(commands);
    return results;
}

/* ---- Exchange with a node of a cluster ------------------------------------------------------- */

static bool
is_one_of(PyObject *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (PyUnicode_CompareWithASCIIString(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

/* The key of a command, borrowed; NULL if the command has no key, or is not a command. */
static PyObject *
key_of(PyObject *command)
{
    static const char *const scripts[] = {"EVALSHA", "EVAL", NULL};
    static const char *const keyless[] = {"TIME", "WAIT", "SCAN", "DBSIZE", NULL};
    if (!PyTuple_CheckExact(command) || PyTuple_GET_SIZE(command) < 3
        || !PyUnicode_Check(PyTuple_GET_ITEM(command, 1))) {
        return NULL;
    }
    PyObject *name = PyTuple_GET_ITEM(command, 1);
    Py_ssize_t place = is_one_of(name, scripts) ? 4 : 2;
    return is_one_of(name, keyless) || PyTuple_GET_SIZE(command) <= place
               ? NULL
               : PyTuple_GET_ITEM(command, place);
}

/* A key of the commands, borrowed, if all their keys have its hash tag; else NULL. */
static PyObject *
shared_key(PyObject *commands)
{
    PyObject *first = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(commands); i++) {
        PyObject *key = key_of(PyTuple_GET_ITEM(commands, i));
        if (key != NULL && !cluster_share_tag(key, first == NULL ? key : first)) {
            return NULL;
        }
        first = first == NULL ? key : first;
    }
    return first;
}

/* The indices of the exceptions in a list. */
static PyObject *
errors_in(PyObject *results)
{
    PyObject *indices = PyList_New(0);
    for (Py_ssize_t i = 0; indices != NULL && i < PyList_GET_SIZE(results); i++) {
        if (PyExceptionInstance_Check(PyList_GET_ITEM(results, i))
            && list_append_new(indices, PyLong_FromSsize_t(i)) < 0) {
            Py_CLEAR(indices);
        }
    }
    return indices;
}

PyDoc_STRVAR(exchange_with_node_doc,
"exchange_with_node($module, cluster, commands, on_resent, /)\n--\n\n"
"As exchange(), with the node of a cluster that has all keys: (replies, the indices of errors among them).\n\n"
"None, and nothing is sent, where the keys do not share a hash tag, or redis-py must do it.");

/* `commands` is a tuple that no other code holds. */
static PyObject *
exchange_with_node_of(core_state *state, PyObject *cluster, PyObject *commands, PyObject *on_resent)
{
    PyObject *key = shared_key(commands);
    client_pool *pool = key == NULL ? NULL : cluster_find_pool(state, cluster, key);
    if (pool == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *results = exchange_on_pool(commands, pool, on_resent == Py_None ? NULL : on_resent);
    Py_DECREF(pool);
    if (results == NULL || results == Py_None) {
        return results;
    }
    /* Steals both; NULL if one of them is NULL. */
    return Py_BuildValue("(NN)", results, errors_in(results));
}

static PyObject *
exchange_with_node(PyObject *module, PyObject *arguments)
{
    PyObject *cluster, *given, *on_resent;
    if (!PyArg_ParseTuple(arguments, "OOO:exchange_with_node", &cluster, &given, &on_resent)) {
        return NULL;
    }
    PyObject *commands = PySequence_Tuple(given);
    PyObject *answer = commands == NULL ? NULL
                                        : exchange_with_node_of(PyModule_GetState(module), cluster,
                                                                commands, on_resent);
    Py_XDECREF(commands);
    return answer;
}

PyDoc_STRVAR(is_direct_doc,
"is_direct($module, connection, /)\n--\n\n"
"Tell whether exchange() sends for this client: it and its pool are redis-py's own, and unpatched.\n\n"
"No round trip.");

static PyObject *
is_direct(PyObject *module, PyObject *client)
{
    client_pool *pool = pool_of(module, client, false);
    if (pool == NULL && PyErr_Occurred()) {
        return NULL;
    }
    bool answer = pool != NULL;
    Py_XDECREF(pool);
    return PyBool_FromLong(answer);
}

static PyMethodDef exchange_functions[] = {
    {"exchange", (PyCFunction)(void (*)(void))exchange_commands, METH_FASTCALL, exchange_doc},
    {"exchange_with_node", exchange_with_node, METH_VARARGS, exchange_with_node_doc},
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
