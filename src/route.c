#include "route.h"

#include "base_registry.h"
#include "guard.h"

/* ---- To the head? ------------------------------------------------------------------------------ */

route
route_begin(head *call, PyObject *self, int rq_method)
{
    *call = (head){.state = core_state_of(Py_TYPE(self)), .self = self};
    if (call->state == NULL || installed_rq_load(&call->state->rq) < 0
        || dispatch_of(call->state, Py_TYPE(self), &call->methods) < 0) {
        return TO_CALLER;
    }
    if ((call->methods.in_front & rq_method) != rq_method) {
        return TO_TAIL;
    }
    call->connection = PyObject_GetAttr(self, call->state->names.connection);
    if (call->connection != NULL) {
        call->key = PyObject_GetAttr(self, call->state->names.key);
    }
    if (call->key != NULL && PyUnicode_CheckExact(call->key)) {
        call->pool = client_pool_find(call->state, call->connection);
        if (call->pool != NULL) {
            return TO_HEAD;
        }
    }
    head_end(call);
    return route_elsewhere();
}

route
route_elsewhere(void)
{
    if (PyErr_Occurred() == NULL) {
        return TO_TAIL;
    }
    if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return TO_TAIL;
    }
    return TO_CALLER;
}

void
head_end(head *call)
{
    Py_CLEAR(call->connection);
    Py_CLEAR(call->key);
    Py_CLEAR(call->pool);
}

/* Whether this one registry was given something else under the name. */
static bool
is_set_on(const head *call, PyObject *name)
{
    PyObject *attributes = base_registry_attributes(call->self);
    return attributes != NULL
           && (PyDict_GetItemWithError(attributes, name) != NULL || PyErr_Occurred() != NULL);
}

bool
route_calls_rq(const head *call, PyObject *name, int rq_method)
{
    return (call->methods.as_called & rq_method) != 0 && !is_set_on(call, name);
}

/* RQ's cleanups that act on expired entries ask self.get_expired_job_ids() for them. */
static bool
finds_expired_itself(const head *call)
{
    return route_calls_rq(call, call->state->names.get_expired_job_ids, METHOD_GET_EXPIRED_JOB_IDS)
           && route_entries(call) != ENTRIES_UNKNOWN;
}

cleanup_kind
route_cleanup(const head *call)
{
    cleanup_kind kind = call->methods.cleanup;
    if (kind == CLEANUP_UNKNOWN || is_set_on(call, call->state->names.cleanup)
        || (kind == CLEANUP_IF_EXPIRED && !finds_expired_itself(call))) {
        return CLEANUP_UNKNOWN;
    }
    return kind;
}

bool
route_has_texts(const head *call)
{
    return guard_holds(call->state->rq.texts_guard) == 1;
}

entry_kind
route_entries(const head *call)
{
    entry_kind kind = call->methods.entries;
    if (kind == ENTRIES_UNKNOWN || is_set_on(call, call->state->names.parse_job_id)
        || !route_has_texts(call) || (kind == ENTRIES_ARE_STARTS && !route_can_cut(call))) {
        return ENTRIES_UNKNOWN;
    }
    return kind;
}

bool
route_can_cut(const head *call)
{
    return !client_pool_decodes(call->pool);
}

/* ---- To the tail ------------------------------------------------------------------------------- */

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

/* The first core type among the bases that has an attribute of its own by this name; NULL where there is none. */
static PyTypeObject *
find_core_type(const core_state *state, PyTypeObject *type, const char *name)
{
    PyObject *mro = type->tp_mro;
    PyObject *key = PyUnicode_FromString(name);
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
    return found;
}

PyObject *
tail_get(PyObject *self, PyTypeObject *core_type, const char *name)
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
    PyObject *behind
        = PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type, (PyObject *)start, self, NULL);
    PyObject *value = behind == NULL ? NULL : PyObject_GetAttrString(behind, name);
    Py_XDECREF(behind);
    return value;
}

static PyObject *
tail_call(PyObject *self, PyTypeObject *core_type, const char *name, const call_arguments *given)
{
    PyObject *method = tail_get(self, core_type, name);
    PyObject *result = method == NULL ? NULL
                                      : PyObject_Vectorcall(method, given->values,
                                                            (size_t)given->count, given->keywords);
    Py_XDECREF(method);
    return result;
}

/* ---- Calls ------------------------------------------------------------------------------------- */

PyObject *
route_call(PyObject *self, const char *name, int rq_method, head_method serve,
           const call_arguments *given)
{
    head call;
    PyObject *value = NULL;
    route way = route_begin(&call, self, rq_method);
    if (way == TO_HEAD) {
        way = serve(&call, given, &value);
        head_end(&call);
    }
    return way == TO_TAIL ? tail_call(self, NULL, name, given) : value;
}

int
route_contains(PyObject *self, PyObject *item, int rq_method, head_contains serve)
{
    head call;
    PyObject *answer = NULL;
    route way = route_begin(&call, self, rq_method);
    if (way == TO_HEAD) {
        way = serve(&call, item, &answer);
        head_end(&call);
    }
    if (way == TO_TAIL) {
        const call_arguments given = {&item, 1, NULL};
        PyTypeObject *core_type = rq_method == METHOD_CONTAINS && call.state != NULL
                                      ? call.state->base_registry_type
                                      : NULL;
        answer = tail_call(self, core_type, "__contains__", &given);
    }
    int is_in = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return is_in;
}

/* ---- Arguments --------------------------------------------------------------------------------- */

static Py_ssize_t
position_of(PyObject *name, PyObject *const *names, Py_ssize_t names_count)
{
    for (Py_ssize_t i = 0; i < names_count; i++) {
        if (name == names[i]) {
            return i;
        }
    }
    /* Another string may compare by code of its own. */
    for (Py_ssize_t i = 0; PyUnicode_CheckExact(name) && i < names_count; i++) {
        if (PyUnicode_Compare(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int
plain_truth(PyObject *argument, bool otherwise)
{
    if (argument == NULL) {
        return otherwise;
    }
    bool is_plain = PyBool_Check(argument) || argument == Py_None || PyLong_CheckExact(argument);
    return is_plain ? PyObject_IsTrue(argument) : -1;
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
