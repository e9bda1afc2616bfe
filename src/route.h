/* The one place that decides whether the head in C serves a call, or RQ's own path (the tail). */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "client_pool.h"
#include "module.h"

/* What a call in the head works with; all of it is held until head_end. */
typedef struct {
    core_state *state;
    PyObject *self;
    PyObject *connection; /* the redis-py client */
    PyObject *key;
    client_pool *pool;
    dispatch methods; /* of the type of self */
} head;

typedef enum {
    TO_HEAD,
    TO_TAIL,
    TO_CALLER, /* an exception is set */
} route;

/* Decide by what RQ's method is, 0 for none, and by the registry's connection and key. Only after TO_HEAD is there
   something to end. */
route route_begin(head *call, PyObject *self, int rq_method);
void head_end(head *call);

/* Where a call goes that the head does not serve. An attribute that is missing is told by RQ's own path, in
   RQ's words; what else was raised on the way, by a handler of a signal above all, is the caller's. */
route route_elsewhere(void);

/* Of these four, what finds something else than RQ's own may have raised: route_elsewhere. */
/* Whether a call of this method of the registry comes to RQ's own, or to ours in front of it. */
bool route_calls_rq(const head *call, PyObject *name, int rq_method);
/* What the cleanup that a caller would get does. */
cleanup_kind route_cleanup(const head *call);
/* What the registry takes its entries for. */
entry_kind route_entries(const head *call);
/* Whether the functions by which RQ makes text of entries are its own. */
bool route_has_texts(const head *call);
/* Whether entries may be cut one by one as they arrive: a client that decodes replies fails on one that is no
   UTF-8 before RQ parses any. */
bool route_can_cut(const head *call);

/* RQ's own path: the attribute of the classes behind this core type, or behind the first core type of self that has
   one of that name, where it is NULL. */
PyObject *tail_get(PyObject *self, PyTypeObject *core_type, const char *name);

/* What a method was called with. */
typedef struct {
    PyObject *const *values;
    Py_ssize_t count; /* positional ones; the values of keywords stand behind them */
    PyObject *keywords;
} call_arguments;

/* How the head serves a method. TO_HEAD: *value holds the result, a new reference. */
typedef route (*head_method)(head *call, const call_arguments *given, PyObject **value);

/* A method: served by the head, or by RQ's own of that name. */
PyObject *route_call(PyObject *self, const char *name, int rq_method, head_method serve,
                     const call_arguments *given);

#define DEFINE_METHOD(function, name, rq_method, serve)                                            \
    PyObject *function(PyObject *self, PyObject *const *values, Py_ssize_t count,                  \
                       PyObject *keywords)                                                         \
    {                                                                                              \
        const call_arguments given = {values, count, keywords};                                    \
        return route_call(self, name, rq_method, serve, &given);                                   \
    }
#define AS_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* `in`: *answer is then what its truth tells. */
typedef route (*head_contains)(head *call, PyObject *item, PyObject **answer);
int route_contains(PyObject *self, PyObject *item, int rq_method, head_contains serve);

/* The truth of an argument: `otherwise` where it is not given; -1 for an object whose truth may run Python, or raise.
   RQ's own path asks that once, after what it does before it asks. */
int plain_truth(PyObject *argument, bool otherwise);

/* Fill `values` by the `names` of the parameters; false where the arguments do not fit, which RQ's own
   path tells the caller in RQ's words. Values are borrowed. */
bool bind_arguments(const call_arguments *given, PyObject *const *names, Py_ssize_t names_count,
                    PyObject **values);
