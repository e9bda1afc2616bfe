/* Which methods of a type are RQ's own, or ours in front of RQ's own: asked of rqreg_ext._route, and remembered by the
   type's version. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "installed_rq.h"

/* The methods of RQ that ours stand in front of. The numbers are those of rqreg_ext._installed_rq.Method. */
typedef enum {
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
} rq_methods;

/* What a type's parse_job_id takes its entries for. The numbers are those of rqreg_ext._installed_rq.Entries. */
typedef enum {
    ENTRIES_UNKNOWN = 0, /* parse_job_id is not RQ's */
    ENTRIES_ARE_JOBS,    /* an entry is a job id */
    ENTRIES_ARE_STARTS,  /* an entry is "job_id:execution_id" */
} entry_kind;

/* What is known of a type. */
typedef struct {
    int in_front;  /* methods of RQ that our methods of this type stand directly in front of */
    int as_called; /* methods of RQ that a call on this type comes to, by itself or through ours */
    cleanup_kind cleanup;
    entry_kind entries;
} dispatch;

#define DISPATCH_SLOTS 64

typedef struct {
    struct {
        unsigned int version;
        dispatch known;
        PyObject *functions; /* tuple of (function, code) that it depends on */
    } slots[DISPATCH_SLOTS];
} dispatch_cache;

struct core_state;

/* Fill `known`; -1 with an exception. */
int dispatch_of(struct core_state *state, PyTypeObject *type, dispatch *known);

int dispatch_setup(PyObject *module);
void dispatch_clear(dispatch_cache *cache);
int dispatch_traverse(const dispatch_cache *cache, visitproc visit, void *arg);
