/* BaseRegistry: what all registries share. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"
#include "route.h"

int base_registry_setup_type(PyObject *module, core_state *state);
/* Make a subtype of BaseRegistry and add it to the module. */
int registry_add_subtype(PyObject *module, core_state *state, PyType_Spec *spec);

/* The attributes of a registry: a borrowed dict, or NULL where it has none. */
PyObject *base_registry_attributes(PyObject *self);

/* The listing that the route of `in` for started jobs must know as the core's own. */
PyObject *get_job_ids(PyObject *self, PyObject *const *values, Py_ssize_t count,
                      PyObject *keywords);
/* get_job_ids of started jobs, with the executions. */
PyObject *get_job_and_execution_ids(PyObject *self, PyObject *const *values, Py_ssize_t count,
                                    PyObject *keywords);
/* `cleanup` of the registries whose cleanup drops expired entries. */
PyObject *drop_expired(PyObject *self, PyObject *const *values, Py_ssize_t count,
                       PyObject *keywords);
extern const char drop_expired_doc[];
#define DROP_EXPIRED_METHOD                                                                        \
    {"cleanup", AS_METHOD(drop_expired), METH_FASTCALL | METH_KEYWORDS, drop_expired_doc}

/* Parts that the registries of started and scheduled jobs share with it. */
PyObject *registry_id_of(const head *call, PyObject *job_or_id);
route registry_score_of(head *call, PyObject *job_id, PyObject **score);
PyObject *registry_datetime(const head *call, PyObject *score);
/* A Unix timestamp for a score: the given one, or now. TO_TAIL for a value that redis-py's own path is to
   judge. */
route registry_timestamp(const head *call, PyObject *timestamp, PyObject **score);
