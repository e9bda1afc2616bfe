/* What the core needs of the installed RQ, taken from rqreg_ext._installed_rq on first use. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

struct core_state;

/* What a registry's cleanup does, and so what a read must do first. The numbers are those of
   rqreg_ext._installed_rq.Cleanup. */
typedef enum {
    CLEANUP_UNKNOWN = 0,       /* not RQ's own, or of an RQ we do not know: its own path */
    CLEANUP_NOTHING = 1,       /* does nothing */
    CLEANUP_DROPS_EXPIRED = 2, /* ZREMRANGEBYSCORE: the core does it itself */
    CLEANUP_IF_EXPIRED = 3,    /* RQ's own, when there is an expired entry */
    CLEANUP_IF_ANY = 4,        /* RQ's own, when there is an entry */
} cleanup_kind;

#define INSTALLED_RQ_OBJECTS(X)                                                                    \
    X(registry_globals)       /* dict of the module rq.registry */                                 \
    X(datetime_globals)       /* dict of the module datetime */                                    \
    X(time_globals)           /* dict of the module time */                                        \
    X(job_class)              /* rq.job.Job */                                                     \
    X(no_such_job_error)      /* rq.exceptions.NoSuchJobError */                                   \
    X(invalid_job_operation)  /* rq.exceptions.InvalidJobOperation */                              \
    X(own_serializers)        /* tuple: RQ's own, each a class with its methods */                 \
    X(cleaned)                /* tuple: names of the classes that clean_registries cleans */       \
    X(clean_guard)            /* Guard: what clean_registries relies on beside them */             \
    X(rate_limits_key)        /* RateLimitRegistry.rl_keys_key; None where RQ has none */          \
    X(clock_guard)            /* Guard: what tells RQ the time */                                  \
    X(texts_guard)            /* Guard: what makes text of entries */                              \
    X(serializer_guard)       /* Guard: resolve_serializer */                                      \
    X(delete_guard)           /* Guard: what remove(delete_job=True) relies on */                  \
    X(delete_methods)         /* tuple: names of Job's methods that it relies on */                \
    X(requeue_guard)          /* Guard: what requeue relies on */                                  \
    X(execution_key_template) /* ExecutionRegistry.key_template */                                 \
    X(delete_arguments)       /* tuple of bytes: the constant arguments of delete_jobs.lua */      \
    X(requeue_arguments)      /* tuple of bytes: those of requeue_jobs.lua */                      \
    X(enqueued_at)            /* function: the moment of a requeue, and as RQ writes it */         \
    X(read_metadata)          /* function: a job's metadata, for requeue_jobs.lua */               \
    X(requeued_job)           /* function: the Job that a requeue returns */

typedef struct {
    bool is_loaded;
    bool is_known; /* the release is in the table of rqreg_ext._installed_rq */
    bool
        delete_keeps_status; /* Job.delete leaves the status that the job object remembers (RQ 3) */
#define X(name) PyObject *name;
    INSTALLED_RQ_OBJECTS(X)
#undef X
} installed_rq;

/* Load it, if not done yet; -1 with an exception. */
int installed_rq_load(installed_rq *rq);
void installed_rq_clear(installed_rq *rq);
int installed_rq_traverse(const installed_rq *rq, visitproc visit, void *arg);

/* A name of rq.registry as it is now (a test may have replaced it): a new reference. */
PyObject *installed_rq_name(const installed_rq *rq, PyObject *name);
/* Whether RQ's resolve_serializer() would give this back as it is, one of RQ's own: 1, 0, or -1 with an exception. */
int installed_rq_resolves_to_itself(const struct core_state *state, const PyObject *serializer);
/* The current Unix timestamp as RQ takes it, int: a new reference. */
PyObject *installed_rq_now(const struct core_state *state);
