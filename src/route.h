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
} head;

typedef enum {
    TO_HEAD,
    TO_TAIL,
    TO_CALLER, /* an exception is set */
} route;

/* Decide by the registry's connection and key. Only after TO_HEAD is there something to end. */
route route_begin(head *call, PyObject *self);
void head_end(head *call);

/* Where a call goes that the head does not serve. An attribute that is missing is told by RQ's own path, in
   RQ's words; what else was raised on the way, by a handler of a signal above all, is the caller's. */
route route_elsewhere(void);

/* Of these three, what finds something else than the core's or RQ's own may have raised: route_elsewhere. */
/* Whether the method that a caller would get is the core's own: nobody overrode or patched it. */
bool route_is_own(PyObject *self, PyObject *name, PyCFunction own);
/* What the cleanup that a caller would get does. */
cleanup_kind route_cleanup(const head *call);

typedef enum {
    ENTRIES_UNKNOWN,    /* parse_job_id is not RQ's */
    ENTRIES_ARE_JOBS,   /* an entry is a job id */
    ENTRIES_ARE_STARTS, /* an entry is "job_id:execution_id" */
} entry_kind;

entry_kind route_entries(const head *call);
/* Whether entries may be cut one by one as they arrive: a client that decodes replies fails on one that is no
   UTF-8 before RQ parses any. */
bool route_can_cut(const head *call);

/* RQ's own path: the attribute of the class behind the core's. */
PyObject *tail_get(PyObject *self, const char *name);

/* What a method was called with. */
typedef struct {
    PyObject *const *values;
    Py_ssize_t count; /* positional ones; the values of keywords stand behind them */
    PyObject *keywords;
} call_arguments;

/* How the head serves a method. TO_HEAD: *value holds the result, a new reference. */
typedef route (*head_method)(head *call, const call_arguments *given, PyObject **value);

/* A method: served by the head, or by RQ's own of that name. */
PyObject *route_call(PyObject *self, const char *name, head_method serve,
                     const call_arguments *given);

#define DEFINE_METHOD(function, name, serve)                                                       \
    PyObject *function(PyObject *self, PyObject *const *values, Py_ssize_t count,                  \
                       PyObject *keywords)                                                         \
    {                                                                                              \
        const call_arguments given = {values, count, keywords};                                    \
        return route_call(self, name, serve, &given);                                              \
    }
#define AS_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* `in`: *answer is then what its truth tells. */
typedef route (*head_contains)(head *call, PyObject *item, PyObject **answer);
int route_contains(PyObject *self, PyObject *item, head_contains serve);

/* The truth of an argument: `otherwise` where it is not given; -1 for an object whose truth may run Python, or raise.
   RQ's own path asks that once, after what it does before it asks. */
int plain_truth(PyObject *argument, bool otherwise);

/* Fill `values` by the `names` of the parameters; false where the arguments do not fit, which RQ's own
   path tells the caller in RQ's words. Values are borrowed. */
bool bind_arguments(const call_arguments *given, PyObject *const *names, Py_ssize_t names_count,
                    PyObject **values);
