#include "client_check.h"

#include "guard.h"
#include "python_calls.h"
#include "type_version.h"

/* ---- Kinds that are remembered --------------------------------------------------------------- */

static bool
has_names(PyObject *attributes, PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    bool has_all;
    Py_BEGIN_CRITICAL_SECTION(attributes);
    Py_ssize_t place = 0;
    PyObject *name;
    has_all = PyDict_GET_SIZE(attributes) == count;
    for (Py_ssize_t i = 0; has_all && i < count; i++) {
        has_all
            = PyDict_Next(attributes, &place, &name, NULL) && name == PyTuple_GET_ITEM(names, i);
    }
    Py_END_CRITICAL_SECTION();
    return has_all;
}

static bool
classes_are_unchanged(const checked_kind *kind)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kind->classes); i++) {
        if (type_version((PyTypeObject *)PyTuple_GET_ITEM(kind->classes, i)) != kind->versions[i]) {
            return false;
        }
    }
    return true;
}

static bool
globals_are_unchanged(PyObject *globals)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(globals); i += 3) {
        PyObject *value = PyDict_GetItemWithError(PyTuple_GET_ITEM(globals, i),
                                                  PyTuple_GET_ITEM(globals, i + 1));
        if (value != PyTuple_GET_ITEM(globals, i + 2)) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

/* Whether the kind is that of the object; runs no Python code. `attributes`: the object's own, or
   NULL where their names do not matter. `used`: NULL, or the class that must be the last of the
   kind's classes. */
static bool
is_of_kind(const checked_kind *kind, PyObject *attributes, const PyObject *used)
{
    return (attributes == NULL || has_names(attributes, kind->names))
           && (used == NULL
               || used == PyTuple_GET_ITEM(kind->classes, PyTuple_GET_SIZE(kind->classes) - 1))
           && classes_are_unchanged(kind) && guard_codes_are_unchanged(kind->codes)
           && globals_are_unchanged(kind->globals);
}

/* Fill `acquired` with the kinds that are known of a type, each with one use more; returns how
   many. */
static int
acquire_kinds(core_state *state, checked_kinds *known, const PyTypeObject *type,
              checked_kind **acquired)
{
    int count = 0;
    thread_lock_acquire(&state->lock);
    for (int i = 0; i < CHECKED_KINDS; i++) {
        checked_kind *kind = known->kinds[i];
        if (kind != NULL && kind->type == type) {
            kind->uses++;
            acquired[count++] = kind;
        }
    }
    thread_lock_release(&state->lock);
    return count;
}

static void
kind_release(checked_kind *kind)
{
    if (kind != NULL && --kind->uses == 0) {
        Py_XDECREF(kind->type);
        Py_XDECREF(kind->names);
        Py_XDECREF(kind->classes);
        Py_XDECREF(kind->codes);
        Py_XDECREF(kind->globals);
        Py_XDECREF(kind->answer);
        PyMem_Free(kind);
    }
}

/* ---- Examining an object --------------------------------------------------------------------- */

/* Read the version of each class of the kind. 1 where all have one, 0, or -1 with an exception. */
static int
take_versions(checked_kind *kind)
{
    Py_ssize_t count = PyTuple_GET_SIZE(kind->classes);
    if (count == 0 || count > CHECKED_CLASSES) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyTypeObject *class = (PyTypeObject *)PyTuple_GET_ITEM(kind->classes, i);
        if (type_version_assigned(class) < 0) {
            return -1;
        }
        kind->versions[i] = type_version(class);
        if (kind->versions[i] == 0) {
            return 0;
        }
    }
    return 1;
}

/* Examine the object, which yields (answer, functions, globals). */
static int
read_answer(checked_kind *kind, PyObject *object, const char *module, const char *question)
{
    PyObject *facts = call_fastpath(module, question, "(O)", object);
    int result = -1;
    PyObject *answer, *functions, *globals;
    if (facts != NULL
        && PyArg_ParseTuple(facts, "OO!O!", &answer, &PyTuple_Type, &functions, &PyTuple_Type,
                            &globals)) {
        kind->answer = Py_NewRef(answer);
        kind->globals = Py_NewRef(globals);
        kind->codes = guard_flat_codes(functions);
        result = kind->codes == NULL ? -1 : 0;
    }
    Py_XDECREF(facts);
    return result;
}

/* Store it in the place of the oldest kind. Steals it. */
static void
cache_kind(core_state *state, checked_kinds *known, checked_kind *kind)
{
    thread_lock_acquire(&state->lock);
    checked_kind *replaced = known->kinds[known->next];
    known->kinds[known->next] = kind;
    known->next = (known->next + 1) % CHECKED_KINDS;
    thread_lock_release(&state->lock);
    kind_release(replaced);
}

static PyObject *
names_in(PyObject *attributes)
{
    PyObject *list = PyDict_Keys(attributes);
    PyObject *names = list == NULL ? NULL : PyList_AsTuple(list);
    Py_XDECREF(list);
    return names;
}

/* The last two name functions of a module of rqreg_ext._fastpath. The first returns the classes
   that the answer depends on, the second examines the object. */
typedef struct {
    core_state *state;
    checked_kinds *known;
    const char *module;
    const char *classes_function;
    const char *examine_function;
} examination;

/* The answer for the object's kind, a new reference; NULL where it is not known. */
static PyObject *
find_cached_answer(const examination *about, PyObject *object, PyObject *attributes,
                   const PyObject *used)
{
    checked_kind *acquired[CHECKED_KINDS];
    int count = acquire_kinds(about->state, about->known, Py_TYPE(object), acquired);
    PyObject *answer = NULL;
    for (int i = 0; answer == NULL && i < count; i++) {
        if (is_of_kind(acquired[i], attributes, used)) {
            answer = Py_NewRef(acquired[i]->answer);
        }
    }
    for (int i = 0; i < count; i++) {
        kind_release(acquired[i]);
    }
    return answer;
}

/* The kind of an object, with one use, before it is examined; NULL with an exception. */
static checked_kind *
kind_new(const examination *about, PyObject *object, PyObject *attributes)
{
    checked_kind *kind = PyMem_Calloc(1, sizeof *kind);
    if (kind == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    kind->uses = 1;
    kind->type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(object));
    kind->names = names_in(attributes);
    kind->classes = kind->names == NULL
                        ? NULL
                        : call_fastpath(about->module, about->classes_function, "(O)", object);
    if (kind->classes == NULL) {
        kind_release(kind);
        return NULL;
    }
    return kind;
}

/* Examine an object. The answer is remembered unless the classes changed during the examination. */
static PyObject *
examine(const examination *about, PyObject *object, PyObject *attributes)
{
    checked_kind *kind = kind_new(about, object, attributes);
    int has_versions = kind == NULL ? -1 : take_versions(kind);
    PyObject *answer = NULL;
    if (has_versions >= 0
        && read_answer(kind, object, about->module, about->examine_function) == 0) {
        answer = Py_NewRef(kind->answer);
        if (has_versions == 1 && has_names(attributes, kind->names)
            && classes_are_unchanged(kind)) {
            cache_kind(about->state, about->known, kind);
            kind = NULL;
        }
    }
    kind_release(kind);
    return answer;
}

PyObject *
client_check_client(core_state *state, PyObject *client)
{
    const examination about = {.state = state,
                               .known = &state->checked_clients,
                               .module = "clients.kinds",
                               .classes_function = "classes_of_client",
                               .examine_function = "examine_client"};
    PyObject *attributes = PyObject_GenericGetDict(client, NULL);
    if (attributes == NULL) {
        return NULL;
    }
    PyObject *answer = find_cached_answer(&about, client, attributes, NULL);
    if (answer == NULL) {
        answer = examine(&about, client, attributes);
    }
    Py_DECREF(attributes);
    return answer;
}

/* Whether the pool object itself, not its class, has one of the methods that POOLING in
   _fastpath/clients/pools.py names. */
static bool
has_own_methods(core_state *state, PyObject *attributes)
{
    PyObject *const methods[]
        = {state->names.get_connection, state->names.make_connection, state->names.release};
    bool has_one = false;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(methods); i++) {
        has_one = has_one || PyDict_Contains(attributes, methods[i]) != 0;
    }
    PyErr_Clear();
    return has_one;
}

/* The class of the pool's connections. */
static PyObject *
connection_class_of(core_state *state, PyObject *redis_pool, PyObject *attributes)
{
    PyObject *found = dict_get(attributes, state->names.connection_class);
    if (found != NULL || PyErr_Occurred()) {
        return found;
    }
    return PyObject_GetAttr(redis_pool, state->names.connection_class);
}

/* A pool's kind does not depend on the names of all its attributes, of which it has many. */
static PyObject *
check_pool_of(core_state *state, PyObject *redis_pool, PyObject *attributes, PyObject *used)
{
    const examination about = {.state = state,
                               .known = &state->checked_pools,
                               .module = "clients.pools",
                               .classes_function = "classes_of_pool",
                               .examine_function = "examine_pool"};
    if (has_own_methods(state, attributes)) {
        Py_RETURN_NONE;
    }
    PyObject *answer = find_cached_answer(&about, redis_pool, NULL, used);
    return answer != NULL ? answer : examine(&about, redis_pool, attributes);
}

PyObject *
client_check_pool(core_state *state, PyObject *redis_pool)
{
    PyObject *attributes = PyObject_GenericGetDict(redis_pool, NULL);
    PyObject *used = attributes == NULL ? NULL : connection_class_of(state, redis_pool, attributes);
    PyObject *answer = used == NULL ? NULL : check_pool_of(state, redis_pool, attributes, used);
    Py_XDECREF(used);
    Py_XDECREF(attributes);
    return answer;
}

/* ---- Functions of the module ----------------------------------------------------------------- */

PyDoc_STRVAR(check_client_doc,
"check_client($module, client, /)\n--\n\n"
"Return the answer of rqreg_ext._fastpath.clients.kinds.examine_client(), which is remembered until something that it\n"
"depends on changes.");

static PyObject *
check_client(PyObject *module, PyObject *client)
{
    return client_check_client(PyModule_GetState(module), client);
}

PyDoc_STRVAR(check_pool_doc,
"check_pool($module, pool, /)\n--\n\n"
"Return the answer of rqreg_ext._fastpath.clients.pools.examine_pool(), which is remembered until something that it\n"
"depends on changes.");

static PyObject *
check_pool(PyObject *module, PyObject *redis_pool)
{
    return client_check_pool(PyModule_GetState(module), redis_pool);
}

static PyMethodDef client_check_functions[] = {
    {"check_client", check_client, METH_O, check_client_doc},
    {"check_pool", check_pool, METH_O, check_pool_doc},
    {NULL, NULL, 0, NULL},
};

int
client_check_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, client_check_functions);
}

/* ---- What the module holds ------------------------------------------------------------------- */

int
checked_kinds_traverse(const checked_kinds *known, visitproc visit, void *arg)
{
    for (int i = 0; i < CHECKED_KINDS; i++) {
        const checked_kind *kind = known->kinds[i];
        if (kind != NULL) {
            Py_VISIT(kind->type);
            Py_VISIT(kind->names);
            Py_VISIT(kind->classes);
            Py_VISIT(kind->codes);
            Py_VISIT(kind->globals);
            Py_VISIT(kind->answer);
        }
    }
    return 0;
}

void
checked_kinds_clear(checked_kinds *known)
{
    for (int i = 0; i < CHECKED_KINDS; i++) {
        checked_kind *kind = known->kinds[i];
        known->kinds[i] = NULL;
        kind_release(kind);
    }
}
