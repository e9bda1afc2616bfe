#include "cluster.h"

#include <string.h>

#include "pool_lookup.h"
#include "python_calls.h"
#include "raised.h"

/* ---- Finding a node -------------------------------------------------------------------------- */

#define SLOTS 16384

static unsigned int
crc16(const char *text, Py_ssize_t length)
{
    unsigned int crc = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        crc ^= (unsigned int)(unsigned char)text[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
    }
    return crc & 0xFFFF;
}

typedef struct {
    const char *text; /* NULL where it is not known */
    Py_ssize_t length;
} slice;

/* A key in UTF-8; without a text where it is not a str, or cannot be encoded. */
static slice
slice_of(PyObject *key)
{
    slice all = {NULL, 0};
    if (PyUnicode_Check(key)) {
        all.text = PyUnicode_AsUTF8AndSize(key, &all.length);
        PyErr_Clear();
    }
    return all;
}

/* The hash tag of a key: the text between its first pair of braces. Without a text if there is no
   such pair. */
static slice
tag_of(slice key)
{
    const char *start = key.text == NULL ? NULL : memchr(key.text, '{', (size_t)key.length);
    const char *end = start == NULL
                          ? NULL
                          : memchr(start + 1, '}', (size_t)(key.text + key.length - start - 1));
    bool has_tag = end != NULL && end > start + 1;
    return has_tag ? (slice){start + 1, end - start - 1} : (slice){NULL, 0};
}

bool
cluster_share_tag(PyObject *key, PyObject *other)
{
    slice first = tag_of(slice_of(key)), second = tag_of(slice_of(other));
    return first.text != NULL && second.text != NULL && first.length == second.length
           && memcmp(first.text, second.text, (size_t)first.length) == 0;
}

/* The slot of a key, which its hash tag determines, or else the whole key. */
static unsigned int
slot_of(slice key)
{
    slice tag = tag_of(key);
    return (tag.text != NULL ? crc16(tag.text, tag.length) : crc16(key.text, key.length)) % SLOTS;
}

/* The first node of a slot in the client's table, a new reference; NULL without an exception for
   none. */
static PyObject *
node_of_slot(const core_state *state, PyObject *cluster, unsigned int slot)
{
    PyObject *manager = PyObject_GetAttr(cluster, state->names.nodes_manager);
    PyObject *table = manager == NULL ? NULL : PyObject_GetAttr(manager, state->names.slots_cache);
    PyObject *number = table == NULL ? NULL : PyLong_FromUnsignedLong(slot);
    PyObject *nodes = NULL;
    if (number != NULL && PyDict_Check(table)) {
        nodes = dict_get(table, number);
    }
    PyObject *node = nodes != NULL && PyList_Check(nodes) ? list_get(nodes, 0) : NULL;
    Py_XDECREF(nodes);
    Py_XDECREF(number);
    Py_XDECREF(table);
    Py_XDECREF(manager);
    return node;
}

/* The same as node_of_key() of cluster.py, for a node that redis-py has connected to before; else
   NULL, perhaps with an exception. client_check.c has seen that the methods which node_of_key()
   would call are redis-py's own. */
static PyObject *
find_known_node(const core_state *state, PyObject *cluster, PyObject *key)
{
    slice text = slice_of(key);
    PyObject *node = text.text == NULL ? NULL : node_of_slot(state, cluster, slot_of(text));
    PyObject *client = node == NULL ? NULL : PyObject_GetAttr(node, state->names.redis_connection);
    if (node != NULL && client == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        client = PyObject_GetAttr(node, state->names.valkey_connection);
    }
    Py_XDECREF(node);
    if (client == Py_None) {
        Py_CLEAR(client);
    }
    return client;
}

client_pool *
cluster_find_pool(core_state *state, PyObject *cluster, PyObject *key)
{
    PyObject *node = find_known_node(state, cluster, key);
    if (node == NULL) {
        if (raised_clear(PyExc_AttributeError) < 0) {
            return NULL;
        }
        node = call_fastpath("cluster", "node_of_key", "(OO)", cluster, key);
    }
    client_pool *pool = NULL;
    if (node != NULL && node != Py_None) {
        pool = find_pool_unchecked(state, node);
    }
    Py_XDECREF(node);
    return pool;
}

/* ---- After an error -------------------------------------------------------------------------- */

int
cluster_follow(PyObject *cluster, PyObject *error, int attempt)
{
    return ask_fastpath("cluster", "follow", "(OOi)", cluster, error, attempt);
}

int
cluster_note(PyObject *cluster, PyObject *error)
{
    return ask_fastpath("cluster", "note", "(OO)", cluster, error);
}

int
cluster_has_one_slot(PyObject *key)
{
    return ask_fastpath("cluster", "has_one_slot", "(O)", key);
}
