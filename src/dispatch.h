/* Fast path or fallback: decides for every call of a method whether the core can serve it exactly
   as RQ would.

   The fast path is C on a connection of our own. The fallback is the method that the type inherits
   from RQ. The fast path is taken if no method of RQ that the call depends on was replaced, the
   client is redis-py's own, and the arguments are of types whose handling cannot differ. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "client_pool.h"
#include "installed_rq.h"
#include "type_methods.h"

/* A call on the fast path, and the objects that it works with, which are held until
   fast_call_end. */
typedef struct {
    core_state *state;
    PyObject *self;
    PyObject *client;  /* the registry's connection */
    PyObject *key;     /* the registry's key, a str */
    client_pool *pool; /* the connections to use */
    bool is_cluster;   /* the client is a cluster's, and `pool` is for the node that has the key */
    PyObject *observations; /* if the client is wrapped: those of its kind; else NULL */
    /* Wrappers must get what RQ's call gives, command by command, with its options. */
    bool is_as_rq;
    /* Unknown wrappers get a script now, and the commands before it: see job_script.h. */
    bool is_for_script;
    bool is_write_traced; /* tracers also wrap the methods by which connections write */
    type_methods methods; /* of the type of self */
} fast_call;

typedef enum {
    CALL_DONE,     /* there is a result */
    CALL_FALLBACK, /* RQ's method is to be called; nothing was changed, and no exception is set */
    CALL_RAISED,   /* an exception is set */
} call_outcome;

/* Begin a call of a method (one of METHOD_..., or 0 for none in particular). CALL_DONE: it can go
   on, and must be ended by fast_call_end. */
call_outcome fast_call_begin(fast_call *call, PyObject *self, int rq_method);
void fast_call_end(fast_call *call);

/* CALL_FALLBACK, unless an exception is set that is not an AttributeError: then CALL_RAISED, as a
   signal handler's exception must be heard. An AttributeError is cleared, since RQ's method will
   raise its own. */
call_outcome use_fallback_unless_raised(void);

/* If the answer to one of the next questions is false or unknown, an exception may be set: continue
   with use_fallback_unless_raised(). */

/* Whether a call of self.<name>() ends in RQ's method of that name, directly or through the
   core's. */
bool fast_call_reaches_rq(const fast_call *call, PyObject *name, int rq_method);
/* What self.cleanup() does. */
cleanup_kind fast_call_cleanup_kind(const fast_call *call);
/* What the registry's entries are. */
entry_kind fast_call_entry_kind(const fast_call *call);
/* Whether the functions by which RQ makes text of entries are unpatched. */
bool text_functions_are_original(const fast_call *call);
/* False for decode_responses=True: redis-py decodes the whole reply before RQ parses any entry, so
   that an error must be raised in that order too. */
bool reply_is_bytes(const fast_call *call);

/* Find the node of a cluster that has the key now. As fast_call_begin. */
call_outcome fast_call_find_node(fast_call *call);

/* RQ's attribute of this name, which is looked up in the classes after `core_type` in the MRO. If
   `core_type` is NULL, it is the first of the core's types that has such an attribute. */
PyObject *fallback_getattr(PyObject *self, PyTypeObject *core_type, const char *name);

/* The arguments of a method, as METH_FASTCALL | METH_KEYWORDS gives them. */
typedef struct {
    PyObject *const *values;
    Py_ssize_t count; /* positional ones; the values of keywords follow them */
    PyObject *keywords;
} call_arguments;

/* Serves a method. CALL_DONE: *value is the result, a new reference. */
typedef call_outcome (*fast_method)(fast_call *call, const call_arguments *given, PyObject **value);

/* Call a method: by `serve` if the fast path can be taken, else by RQ's method of that name. */
PyObject *dispatch_call(PyObject *self, const char *name, int rq_method, fast_method serve,
                        const call_arguments *given);

/* Define `function` for a method table: it calls dispatch_call() with `serve`. For example,
   DEFINE_METHOD(remove_job, "remove", METHOD_REMOVE, remove_fast) defines remove_job(), which
   base_registry.c has in its table as the method remove(). */
#define DEFINE_METHOD(function, name, rq_method, serve)                                            \
    PyObject *function(PyObject *self, PyObject *const *values, Py_ssize_t count,                  \
                       PyObject *keywords)                                                         \
    {                                                                                              \
        const call_arguments given = {values, count, keywords};                                    \
        return dispatch_call(self, name, rq_method, serve, &given);                                \
    }                                                                                              \
    PyObject *function(PyObject *self, PyObject *const *values, Py_ssize_t count,                  \
                       PyObject *keywords)
#define AS_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* Serves `item in registry`. CALL_DONE: *answer, a new reference, is as true as the result. */
typedef call_outcome (*fast_contains)(fast_call *call, PyObject *item, PyObject **answer);
int dispatch_contains(PyObject *self, PyObject *item, int rq_method, fast_contains serve);

/* bool(argument), or `otherwise` if the argument is NULL. -1 if bool() of the object may run Python
   code. Such an object is left to RQ, which evaluates it once, at a certain point. */
int truth_of_builtin(PyObject *argument, bool otherwise);

/* Fill `values` (borrowed) by the `names` of the parameters; false where the arguments do not fit:
   RQ's method raises the TypeError, in its own words. */
bool bind_arguments(const call_arguments *given, PyObject *const *names, Py_ssize_t names_count,
                    PyObject **values);
