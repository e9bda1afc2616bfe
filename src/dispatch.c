#include "dispatch.h"

#include "cluster.h"
#include "guard.h"
#include "pool_lookup.h"
#include "registry_object.h"

/* ---- The decision ---------------------------------------------------------------------------- */

/* Find out whether others than known tracers wrap the client: 0, or -1 with an exception. */
static int
load_is_as_rq(fast_call *call)
{
    if (call->observations == NULL) {
        return 0;
    }
    PyObject *is_as_rq = PyObject_GetAttr(call->observations, call->state->names.is_as_rq);
    call->is_as_rq = is_as_rq == Py_True;
    Py_XDECREF(is_as_rq);
    return is_as_rq == NULL ? -1 : 0;
}

call_outcome
fast_call_begin(fast_call *call, PyObject *self, int rq_method)
{
    *call = (fast_call){.state = core_state_of(Py_TYPE(self)), .self = self};
    if (call->state == NULL || installed_rq_load(call->state) < 0
        || type_methods_of(call->state, Py_TYPE(self), &call->methods) < 0) {
        return CALL_RAISED;
    }
    if ((call->methods.overridden & rq_method) != rq_method) {
        return CALL_FALLBACK;
    }
    call->client = PyObject_GetAttr(self, call->state->names.connection);
    if (call->client != NULL) {
        call->key = PyObject_GetAttr(self, call->state->names.key);
    }
    if (call->key != NULL && PyUnicode_CheckExact(call->key)) {
        call->pool = find_client_pool(call->state, call->client, &call->is_cluster,
                                      &call->observations, &call->is_write_traced);
        if (call->pool != NULL && load_is_as_rq(call) == 0) {
            return CALL_DONE;
        }
    }
    if (call->is_cluster && fast_call_find_node(call) == CALL_DONE) {
        return CALL_DONE;
    }
    fast_call_end(call);
    return use_fallback_unless_raised();
}

call_outcome
fast_call_find_node(fast_call *call)
{
    client_pool *pool = cluster_find_pool(call->state, call->client, call->key);
    Py_XSETREF(call->pool, pool);
    return pool != NULL ? CALL_DONE : use_fallback_unless_raised();
}

call_outcome
use_fallback_unless_raised(void)
{
    if (PyErr_Occurred() == NULL) {
        return CALL_FALLBACK;
    }
    if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return CALL_FALLBACK;
    }
    return CALL_RAISED;
}

void
fast_call_end(fast_call *call)
{
    Py_CLEAR(call->client);
    Py_CLEAR(call->key);
    Py_CLEAR(call->pool);
    Py_CLEAR(call->observations);
}

/* Whether the registry itself, not its type, has an attribute of this name. */
static bool
is_set_on(const fast_call *call, PyObject *name)
{
    PyObject *attributes = registry_attributes(call->self);
    bool is_set
        = attributes != NULL
          && (PyDict_GetItemWithError(attributes, name) != NULL || PyErr_Occurred() != NULL);
    Py_XDECREF(attributes);
    return is_set;
}

bool
fast_call_reaches_rq(const fast_call *call, PyObject *name, int rq_method)
{
    return (call->methods.reaching_rq & rq_method) != 0 && !is_set_on(call, name);
}

/* Whether the core can tell if an entry has expired. RQ's cleanups ask self.get_expired_job_ids(),
   which may be overridden. */
static bool
can_find_expired(const fast_call *call)
{
    return fast_call_reaches_rq(call, call->state->names.get_expired_job_ids,
                                METHOD_GET_EXPIRED_JOB_IDS)
           && fast_call_entry_kind(call) != ENTRIES_UNKNOWN;
}

cleanup_kind
fast_call_cleanup_kind(const fast_call *call)
{
    cleanup_kind kind = call->methods.cleanup;
    if (kind == CLEANUP_UNKNOWN || is_set_on(call, call->state->names.cleanup)
        || (kind == CLEANUP_IF_EXPIRED && !can_find_expired(call))) {
        return CLEANUP_UNKNOWN;
    }
    return kind;
}

bool
text_functions_are_original(const fast_call *call)
{
    return guard_holds(call->state->rq.texts_guard) == 1;
}

entry_kind
fast_call_entry_kind(const fast_call *call)
{
    entry_kind kind = call->methods.entries;
    if (kind == ENTRIES_UNKNOWN || is_set_on(call, call->state->names.parse_job_id)
        || !text_functions_are_original(call)
        || (kind == ENTRIES_ARE_COMPOSITE && !reply_is_bytes(call))) {
        return ENTRIES_UNKNOWN;
    }
    return kind;
}

bool
reply_is_bytes(const fast_call *call)
{
    return !client_pool_decodes(call->pool);
}

/* ---- The fallback ---------------------------------------------------------------------------- */

static bool
is_core_type(const core_state *state, PyTypeObject *type)
{
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        return false;
    }
    PyObject *module = PyType_GetModule(type);
    if (module == NULL) {
        PyErr_Clear();
        return false;
    }
    return PyModule_GetState(module) == state;
}

/* The first of the core's types in the MRO that defines an attribute of this name; NULL where there
   is none. */
static PyTypeObject *
find_core_type(const core_state *state, PyTypeObject *type, const char *name)
{
    PyObject *mro = PyObject_GetAttrString((PyObject *)type, "__mro__");
    PyObject *key = mro == NULL ? NULL : PyUnicode_FromString(name);
    PyTypeObject *found = NULL;
    for (Py_ssize_t i = 0; key != NULL && found == NULL && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (is_core_type(state, base)) {
            int has_it = PyDict_Contains(base->tp_dict, key);
            if (has_it < 0) {
                break;
            }
            found = has_it ? base : NULL;
        }
    }
    Py_XDECREF(key);
    Py_XDECREF(mro);
    return found;
}

PyObject *
fallback_getattr(PyObject *self, PyTypeObject *core_type, const char *name)
{
    core_state *state = core_state_of(Py_TYPE(self));
    if (state == NULL) {
        return NULL;
    }
    PyTypeObject *start
        = core_type != NULL ? core_type : find_core_type(state, Py_TYPE(self), name);
    if (start == NULL) {
        if (PyErr_Occurred() == NULL) {
            PyErr_SetString(PyExc_AttributeError, name);
        }
        return NULL;
    }
    PyObject *rq_view
        = PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type, (PyObject *)start, self, NULL);
    PyObject *value = rq_view == NULL ? NULL : PyObject_GetAttrString(rq_view, name);
    Py_XDECREF(rq_view);
    return value;
}

static PyObject *
fallback_call(PyObject *self, PyTypeObject *core_type, const char *name,
              const call_arguments *given)
{
    PyObject *method = fallback_getattr(self, core_type, name);
    PyObject *result = method == NULL ? NULL
                                      : PyObject_Vectorcall(method, given->values,
                                                            (size_t)given->count, given->keywords);
    Py_XDECREF(method);
    return result;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

PyObject *
dispatch_call(PyObject *self, const char *name, int rq_method, fast_method serve,
              const call_arguments *given)
{
    fast_call call;
    PyObject *value = NULL;
    call_outcome outcome = fast_call_begin(&call, self, rq_method);
    if (outcome == CALL_DONE) {
        outcome = serve(&call, given, &value);
        fast_call_end(&call);
    }
    return outcome == CALL_FALLBACK ? fallback_call(self, NULL, name, given) : value;
}

int
dispatch_contains(PyObject *self, PyObject *item, int rq_method, fast_contains serve)
{
    fast_call call;
    PyObject *answer = NULL;
    call_outcome outcome = fast_call_begin(&call, self, rq_method);
    if (outcome == CALL_DONE) {
        outcome = serve(&call, item, &answer);
        fast_call_end(&call);
    }
    if (outcome == CALL_FALLBACK) {
        const call_arguments given = {.values = &item, .count = 1};
        /* The base's method may have been called by a subclass's: RQ's base is meant then. */
        PyTypeObject *core_type = rq_method == METHOD_CONTAINS && call.state != NULL
                                      ? call.state->base_registry_type
                                      : NULL;
        answer = fallback_call(self, core_type, "__contains__", &given);
    }
    int is_in = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return is_in;
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static Py_ssize_t
position_of(PyObject *name, PyObject *const *names, Py_ssize_t names_count)
{
    for (Py_ssize_t i = 0; i < names_count; i++) {
        if (name == names[i]) {
            return i;
        }
    }
    /* Not for a subclass of str, whose comparison may run Python code. */
    for (Py_ssize_t i = 0; PyUnicode_CheckExact(name) && i < names_count; i++) {
        if (PyUnicode_Compare(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int
truth_of_builtin(PyObject *argument, bool otherwise)
{
    if (argument == NULL) {
        return otherwise;
    }
    bool is_builtin = PyBool_Check(argument) || argument == Py_None || PyLong_CheckExact(argument);
    return is_builtin ? PyObject_IsTrue(argument) : -1;
}

bool
bind_arguments(const call_arguments *given, PyObject *const *names, Py_ssize_t names_count,
               PyObject **values)
{
    if (given->count > names_count) {
        return false;
    }
    for (Py_ssize_t i = 0; i < names_count; i++) {
        values[i] = i < given->count ? given->values[i] : NULL;
    }
    Py_ssize_t keywords = given->keywords == NULL ? 0 : PyTuple_GET_SIZE(given->keywords);
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(given->keywords, i);
        Py_ssize_t position = position_of(name, names, names_count);
        if (position < 0 || values[position] != NULL) {
            PyErr_Clear();
            return false;
        }
        values[position] = given->values[given->count + i];
    }
    return true;
}
