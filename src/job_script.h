/* A script that does RQ's work on one job: whether it may be run, and its run. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "dispatch.h"
#include "script.h"

/* Whether it is a job id as RQ makes them. RQ's method must judge any other. */
bool is_rq_job_id(PyObject *job_id);

/* Whether the script does what RQ's method would do: this release of RQ is known, the registry
   holds jobs, and the functions that RQ's method calls are not patched. False with
   decode_responses=True: RQ cannot load jobs then, and raises. If it is false, an exception may be
   set: continue with use_fallback_unless_raised(). */
bool script_may_replace_rq(const fast_call *call, PyObject *guard);

/* The key of a job's hash, bytes, for the hash_key of a job_script. `prefix`: bytes. */
PyObject *job_hash_key(PyObject *prefix, PyObject *job_id);

/* A script that is run for one job. */
typedef struct {
    const script *script;
    PyObject *constants; /* tuple: its first arguments, from rqreg_ext._fastpath.script_constants */
    /* All of its arguments by their index in lua_arguments.h. The caller sets those that belong to
       the call; job_script_run() sets the constants. */
    command_argument *arguments;
    int argument_count;
    PyObject *hash_key; /* as in script_call; must be given if the call is_as_rq */
} job_script;

/* Run the script. CALL_DONE: answer->value is what it returned. Through unknown wrappers only after
   these have been seen to pass on RQ's commands on this registry, and what they return of the job's
   hash and of a ZREM on the registry. */
call_outcome job_script_run(fast_call *call, job_script *request, script_answer *answer);

/* The number that a script returned. -1 means that it did nothing, as only RQ can do this job. */
long job_script_number(PyObject *answer);
