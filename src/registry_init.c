#include "registry_init.h"

#include "dispatch.h"
#include "python_calls.h"
#include "state.h"

enum {
    INIT_NAME,
    INIT_CONNECTION,
    INIT_JOB_CLASS,
    INIT_QUEUE,
    INIT_SERIALIZER,
    INIT_DEATH_PENALTY,
    INIT_COUNT
};

/* Whether all keywords are of type str. Comparing an object of a subclass may run Python code: RQ's
   __init__ must compare it, as often as Python does. */
static bool
are_exact_strings(PyObject *kwargs)
{
    PyObject *keyword;
    Py_ssize_t position = 0;
    while (kwargs != NULL && PyDict_Next(kwargs, &position, &keyword, NULL)) {
        if (!PyUnicode_CheckExact(keyword)) {
            return false;
        }
    }
    return true;
}

/* Fill `values` (borrowed) by parameter; false where the arguments do not fit. */
static bool
bind_init(const core_state *state, PyObject *args, PyObject *kwargs, PyObject **values)
{
    PyObject *const names[INIT_COUNT]
        = {state->names.name,  state->names.connection, state->names.job_class,
           state->names.queue, state->names.serializer, state->names.death_penalty_class};
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (count > INIT_COUNT || !are_exact_strings(kwargs)) {
        return false;
    }
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0; i < INIT_COUNT; i++) {
        PyObject *value = kwargs == NULL ? NULL : PyDict_GetItemWithError(kwargs, names[i]);
        found += value != NULL;
        if (value != NULL && i < count) {
            return false;
        }
        values[i] = i < count ? PyTuple_GET_ITEM(args, i) : value;
    }
    return kwargs == NULL || found == PyDict_GET_SIZE(kwargs);
}

/* self.<name> = source.<name> */
static int
copy_attribute(PyObject *self, PyObject *source, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(source, name);
    int result = value == NULL ? -1 : PyObject_SetAttr(self, name, value);
    Py_XDECREF(value);
    return result;
}

/* self.<name> = rq.registry.<function>(*args) */
static int
set_by_rq(PyObject *self, const core_state *state, PyObject *name, PyObject *function,
          PyObject *const *args, size_t count)
{
    PyObject *callable = installed_rq_name(&state->rq, function);
    PyObject *value = callable == NULL ? NULL : PyObject_Vectorcall(callable, args, count, NULL);
    int result = value == NULL ? -1 : PyObject_SetAttr(self, name, value);
    Py_XDECREF(callable);
    Py_XDECREF(value);
    return result;
}

/* Set a client, or the client of a URL; each process makes one client for a URL. */
static int
set_connection(PyObject *self, const core_state *state, PyObject *client_or_url)
{
    if (!PyUnicode_Check(client_or_url)) {
        return PyObject_SetAttr(self, state->names.connection, client_or_url);
    }
    PyObject *client = call_fastpath("clients.by_url", "client_of", "(O)", client_or_url);
    int result = client == NULL ? -1 : PyObject_SetAttr(self, state->names.connection, client);
    Py_XDECREF(client);
    return result;
}

static int
init_by_queue(PyObject *self, const core_state *state, PyObject *queue)
{
    return copy_attribute(self, queue, state->names.name) < 0
                   || copy_attribute(self, queue, state->names.connection) < 0
                   || copy_attribute(self, queue, state->names.serializer) < 0
               ? -1
               : 0;
}

/* self.serializer = resolve_serializer(serializer). Not called for RQ's own serializers, which it
   returns unchanged: it takes longer than all the rest of __init__. */
static int
set_serializer(PyObject *self, const core_state *state, PyObject *serializer)
{
    int is_itself = installed_rq_resolves_to_itself(state, serializer);
    if (is_itself != 0) {
        return is_itself < 0 ? -1 : PyObject_SetAttr(self, state->names.serializer, serializer);
    }
    return set_by_rq(self, state, state->names.serializer, state->names.resolve_serializer,
                     &serializer, 1);
}

static int
init_by_name(PyObject *self, const core_state *state, PyObject **values)
{
    PyObject *name = values[INIT_NAME] == NULL ? state->default_queue_name : values[INIT_NAME];
    PyObject *client = values[INIT_CONNECTION] == NULL ? Py_None : values[INIT_CONNECTION];
    PyObject *serializer = values[INIT_SERIALIZER] == NULL ? Py_None : values[INIT_SERIALIZER];
    return PyObject_SetAttr(self, state->names.name, name) < 0
                   || set_connection(self, state, client) < 0
                   || set_serializer(self, state, serializer) < 0
               ? -1
               : 0;
}

/* self.key = self.key_template.format(self.name) */
static int
init_key(PyObject *self, const core_state *state)
{
    PyObject *template = PyObject_GetAttr(self, state->names.key_template);
    PyObject *name = template == NULL ? NULL : PyObject_GetAttr(self, state->names.name);
    PyObject *key
        = name == NULL ? NULL : PyObject_CallMethodOneArg(template, state->names.format, name);
    int result = key == NULL ? -1 : PyObject_SetAttr(self, state->names.key, key);
    Py_XDECREF(template);
    Py_XDECREF(name);
    Py_XDECREF(key);
    return result;
}

/* self.job_class = job_class if job_class else Job */
static int
init_job_class(PyObject *self, const core_state *state, PyObject *job_class)
{
    int is_given = job_class == NULL ? 0 : PyObject_IsTrue(job_class);
    if (is_given < 0) {
        return -1;
    }
    PyObject *chosen
        = is_given ? Py_NewRef(job_class) : installed_rq_name(&state->rq, state->names.Job);
    int result = chosen == NULL ? -1 : PyObject_SetAttr(self, state->names.job_class, chosen);
    Py_XDECREF(chosen);
    return result;
}

int
registry_init_by_rq(PyObject *self, PyTypeObject *core_type, PyObject *args, PyObject *kwargs)
{
    PyObject *init = fallback_getattr(self, core_type, "__init__");
    PyObject *done = init == NULL ? NULL : PyObject_Call(init, args, kwargs);
    Py_XDECREF(init);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Where the arguments do not fit, RQ's __init__ raises, in its own words. */
int
registry_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    core_state *state = core_state_of(Py_TYPE(self));
    type_methods methods;
    if (state == NULL || installed_rq_load(state) < 0
        || type_methods_of(state, Py_TYPE(self), &methods) < 0) {
        return -1;
    }
    PyObject *values[INIT_COUNT];
    if ((methods.overridden & METHOD_INIT) == 0 || !bind_init(state, args, kwargs, values)) {
        return registry_init_by_rq(self, state->base_registry_type, args, kwargs);
    }
    PyObject *queue = values[INIT_QUEUE];
    int has_queue = queue == NULL ? 0 : PyObject_IsTrue(queue);
    if (has_queue < 0) {
        return -1;
    }
    int result = has_queue ? init_by_queue(self, state, queue) : init_by_name(self, state, values);
    if (result < 0 || init_key(self, state) < 0
        || init_job_class(self, state, values[INIT_JOB_CLASS]) < 0) {
        return -1;
    }
    PyObject *penalty = values[INIT_DEATH_PENALTY];
    PyObject *const backend[]
        = {self, state->names.death_penalty_class, penalty == NULL ? Py_None : penalty};
    return set_by_rq(self, state, state->names.death_penalty_class, state->names.backend_class,
                     backend, Py_ARRAY_LENGTH(backend));
}
