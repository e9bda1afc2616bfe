/* The state of the module, once for each interpreter: its types, the names it looks up, and what it
   has found out about the installed RQ, about types and about clients. It includes none of the
   other files but names.h and threads.h. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "names.h"
#include "threads.h"

/* ---- The methods of a type (found out by type_methods.c) ------------------------------------- */

/* The methods of RQ that the core overrides. The numbers are those of
   rqreg_ext._fastpath.releases.Method. */
enum {
    METHOD_INIT = 1 << 0,
    METHOD_LEN = 1 << 1,
    METHOD_CONTAINS = 1 << 2,
    METHOD_COUNT = 1 << 3,
    METHOD_GET_JOB_COUNT = 1 << 4,
    METHOD_GET_JOB_IDS = 1 << 5,
    METHOD_GET_EXPIRED_JOB_IDS = 1 << 6,
    METHOD_GET_EXPIRATION_TIME = 1 << 7,
    METHOD_REMOVE = 1 << 8,
    METHOD_REQUEUE = 1 << 9,
    METHOD_CLEANUP = 1 << 10,
    METHOD_STARTED_CONTAINS = 1 << 11,
    METHOD_GET_JOB_AND_EXECUTION_IDS = 1 << 12,
    METHOD_SCHEDULED_INIT = 1 << 13,
    METHOD_GET_JOBS_TO_SCHEDULE = 1 << 14,
    METHOD_GET_SCHEDULED_TIME = 1 << 15,
    METHOD_CANCELED_JOB_REGISTRY = 1 << 16,
    METHOD_DEFERRED_JOB_REGISTRY = 1 << 17,
    METHOD_FAILED_JOB_REGISTRY = 1 << 18,
    METHOD_FINISHED_JOB_REGISTRY = 1 << 19,
    METHOD_READY_JOB_REGISTRY = 1 << 20,
    METHOD_SCHEDULED_JOB_REGISTRY = 1 << 21,
    METHOD_STARTED_JOB_REGISTRY = 1 << 22,
};

/* What a registry's `cleanup` does. A read that cleans up first must do the same. The numbers are
   those of rqreg_ext._fastpath.releases.CleanupKind. */
typedef enum {
    CLEANUP_UNKNOWN = 0, /* not RQ's own, or of an unknown release: RQ's method must be called */
    CLEANUP_NOTHING = 1, /* it does nothing */
    CLEANUP_DROPS_EXPIRED = 2, /* it sends ZREMRANGEBYSCORE, and so can the core */
    CLEANUP_IF_EXPIRED = 3,    /* RQ's method must be called if an entry has expired */
    CLEANUP_IF_ANY = 4,        /* RQ's method must be called if there is an entry */
} cleanup_kind;

/* What the entries of a registry are, by its type's parse_job_id. The numbers are those of
   rqreg_ext._fastpath.releases.EntryKind. */
typedef enum {
    ENTRIES_UNKNOWN = 0,   /* parse_job_id is not RQ's */
    ENTRIES_ARE_JOB_IDS,   /* an entry is a job id */
    ENTRIES_ARE_COMPOSITE, /* an entry is "job_id:execution_id" */
} entry_kind;

/* What is known of a type that is derived from one of the core's types and from RQ's class.
   `overridden` and `reaching_rq` are sets of METHOD_... */
typedef struct {
    int overridden;  /* RQ's methods that the core's override, with no other class in between */
    int reaching_rq; /* RQ's methods in which a call ends, directly or through the core's */
    cleanup_kind cleanup;
    entry_kind entries;
} type_methods;

#define TYPE_METHODS_SLOTS 64

/* The types that were asked about, found by their version (see type_version.h). */
typedef struct {
    struct {
        unsigned int version;
        type_methods known;
        PyObject *codes; /* tuple of the functions that the answer depends on, each with its code */
    } slots[TYPE_METHODS_SLOTS];
} type_methods_cache;

/* ---- What clients and their pools are (client_check.c) --------------------------------------- */

#define CHECKED_KINDS 8
#define CHECKED_CLASSES 6

/* Objects for which the answer is known: of one class, with the same attributes of their own, while
   none of `classes` and `codes` has changed. */
typedef struct {
    use_count uses;
    PyTypeObject *type;
    PyObject *names;   /* tuple of the names of the object's own attributes, in their order */
    PyObject *classes; /* tuple of classes whose methods count */
    unsigned int versions[CHECKED_CLASSES];
    PyObject *codes;   /* tuple: function, code, function, code, ... */
    PyObject *globals; /* tuple: dict, name, value, dict, name, value, ... */
    PyObject *answer;
} checked_kind;

/* The last kinds that were met. */
typedef struct {
    checked_kind *kinds[CHECKED_KINDS]; /* NULL: the place is free */
    int next;                           /* where the next one goes */
} checked_kinds;

/* ---- The installed RQ (installed_rq.c) ------------------------------------------------------- */

#define INSTALLED_RQ_OBJECTS(X)                                                                    \
    X(registry_globals)       /* dict of the module rq.registry */                                 \
    X(datetime_globals)       /* dict of the module datetime */                                    \
    X(time_globals)           /* dict of the module time */                                        \
    X(job_class)              /* rq.job.Job */                                                     \
    X(no_such_job_error)      /* rq.exceptions.NoSuchJobError */                                   \
    X(invalid_job_operation)  /* rq.exceptions.InvalidJobOperation */                              \
    X(own_serializers)        /* tuple: RQ's own, each a class with its methods */                 \
    X(cleaned)                /* tuple: names of the classes that clean_registries cleans */       \
    X(clean_guard)            /* Guard: what else clean_registries relies on */                    \
    X(rate_limits_key)        /* RateLimitRegistry.rl_keys_key; None where RQ has none */          \
    X(clock_guard)            /* Guard: what tells RQ the time */                                  \
    X(texts_guard)            /* Guard: what makes text of entries */                              \
    X(serializer_guard)       /* Guard: resolve_serializer */                                      \
    X(delete_guard)           /* Guard: what remove(delete_job=True) relies on */                  \
    X(delete_methods)         /* tuple: names of Job's methods that it relies on */                \
    X(requeue_guard)          /* Guard: what requeue relies on */                                  \
    X(execution_key_template) /* ExecutionRegistry.key_template */                                 \
    X(delete_arguments)       /* tuple of bytes: the constant arguments of delete_job.lua */       \
    X(requeue_arguments)      /* tuple of bytes: the constant arguments of requeue_job.lua */      \
    X(enqueued_at)            /* function: the moment of a requeue, and as RQ writes it */         \
    X(read_metadata)          /* function: a job's metadata, for requeue_job.lua */                \
    X(requeued_job)           /* function: the Job that a requeue returns */

typedef struct {
    atomic_bool is_loaded;
    bool is_known; /* the release is in the table of rqreg_ext._fastpath.releases */
    /* Job.delete leaves the status that the job object remembers (RQ 3). */
    bool delete_keeps_status;
#define X(name) PyObject *name;
    INSTALLED_RQ_OBJECTS(X)
#undef X
} installed_rq;

/* ---- The state ------------------------------------------------------------------------------- */

typedef struct {
    struct {
#define X(name) PyObject *name;
        CORE_NAMES(X)
#undef X
    } names;

    PyTypeObject *connection_type;
    PyTypeObject *client_pool_type;
    PyTypeObject *attempt_type;
    PyTypeObject *base_registry_type;
    PyTypeObject *guard_type;
    PyTypeObject *queue_type;
    PyTypeObject *stand_in_type;

    PyObject *datetime_type; /* datetime.datetime of CPython's C; NULL where there is none */
    PyObject *default_queue_name;
    PyObject *registry_keywords; /* tuple of argument names: of a Queue for its registries */
    PyObject *cleaned_keywords;  /* tuple of argument names: of RQ's clean_registries for them */

    type_methods_cache type_methods;
    checked_kinds checked_clients;
    checked_kinds checked_pools;
    installed_rq rq;
    thread_lock lock; /* around what is stored once and read by all threads */
} core_state;

/* The definition of the module, by which its state is found (module.c). */
extern struct PyModuleDef core_definition;

/* The state of the module that the type, or the nearest of its bases, was made by; NULL with an
   exception. */
static inline core_state *
core_state_of(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030B0000
    PyObject *module = PyType_GetModuleByDef(type, &core_definition);
    return module == NULL ? NULL : PyModule_GetState(module);
#else
    /* As PyType_GetModuleByDef of CPython 3.11. */
    PyObject *mro = type->tp_mro;
    for (Py_ssize_t i = 0; mro != NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (!PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE)) {
            continue;
        }
        PyObject *module = ((PyHeapTypeObject *)base)->ht_module;
        if (module != NULL && PyModule_GetDef(module) == &core_definition) {
            return PyModule_GetState(module);
        }
    }
    PyErr_Format(PyExc_TypeError, "%s is not a type of rqreg_ext", type->tp_name);
    return NULL;
#endif
}
