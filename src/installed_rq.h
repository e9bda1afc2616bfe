/* What the core needs to know of the installed RQ: the attributes of
   rqreg_ext._fastpath.installed_rq, which is imported at the first use. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "state.h"

/* Load it, if that was not done yet; -1 with an exception. */
int installed_rq_load(core_state *state);
void installed_rq_clear(installed_rq *rq);
int installed_rq_traverse(const installed_rq *rq, visitproc visit, void *arg);

/* The value of a name in rq.registry now (a test may have replaced it), a new reference. */
PyObject *installed_rq_name(const installed_rq *rq, PyObject *name);
/* Whether RQ's resolve_serializer() would return this serializer unchanged, because it is RQ's own:
   1, 0, or -1 with an exception. */
int installed_rq_resolves_to_itself(const core_state *state, const PyObject *serializer);
/* The result of RQ's current_timestamp(), an int; a new reference. */
PyObject *installed_rq_now(const core_state *state);
