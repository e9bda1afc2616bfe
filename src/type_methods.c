#include "type_methods.h"

#include "guard.h"
#include "python_calls.h"
#include "type_version.h"

/* Fill `known` by rqreg_ext._fastpath.dispatch.examine_methods(), and *codes with the functions
   that it looked at, a new reference. */
static int
compute_type_methods(PyTypeObject *type, type_methods *known, PyObject **codes)
{
    PyObject *answer = call_fastpath("dispatch", "examine_methods", "(O)", type);
    int cleanup;
    int entries;
    PyObject *functions;
    int result = -1;
    if (answer != NULL
        && PyArg_ParseTuple(answer, "iiiiO!", &known->overridden, &known->reaching_rq, &cleanup,
                            &entries, &PyTuple_Type, &functions)) {
        known->cleanup = (cleanup_kind)cleanup;
        known->entries = (entry_kind)entries;
        *codes = guard_flat_codes(functions);
        result = *codes == NULL ? -1 : 0;
    }
    Py_XDECREF(answer);
    return result;
}

/* What is remembered of the version of a type, while the functions it depends on are unchanged. */
static bool
find_cached(core_state *state, unsigned int version, type_methods *known)
{
    type_methods_cache *cache = &state->type_methods;
    size_t slot = version % TYPE_METHODS_SLOTS;
    thread_lock_acquire(&state->lock);
    bool is_known = version != 0 && cache->slots[slot].version == version
                    && guard_codes_are_unchanged(cache->slots[slot].codes);
    if (is_known) {
        *known = cache->slots[slot].known;
    }
    thread_lock_release(&state->lock);
    return is_known;
}

/* Steals the codes. */
static void
cache_methods(core_state *state, unsigned int version, const type_methods *known, PyObject *codes)
{
    type_methods_cache *cache = &state->type_methods;
    size_t slot = version % TYPE_METHODS_SLOTS;
    thread_lock_acquire(&state->lock);
    PyObject *replaced = cache->slots[slot].codes;
    cache->slots[slot].version = version;
    cache->slots[slot].known = *known;
    cache->slots[slot].codes = codes;
    thread_lock_release(&state->lock);
    Py_XDECREF(replaced);
}

int
type_methods_of(core_state *state, PyTypeObject *type, type_methods *known)
{
    unsigned int version = type_version(type);
    if (find_cached(state, version, known)) {
        return 0;
    }
    long long before = type_version_assigned(type);
    PyObject *codes;
    if (before < 0 || compute_type_methods(type, known, &codes) < 0) {
        return -1;
    }
    /* Do not remember it if the type changed during the call. */
    version = type_version(type);
    if (version != 0 && version == before) {
        cache_methods(state, version, known, codes);
    }
    else {
        Py_DECREF(codes);
    }
    return 0;
}

/* ---- Functions of the module ----------------------------------------------------------------- */

PyDoc_STRVAR(methods_of_doc,
"methods_of($module, type, /)\n--\n\n"
"Return (overridden, reaching_rq, cleanup, entries) of a type, as rqreg_ext._fastpath.dispatch.examine_methods() says.\n\n"
"It is asked again after the type, one of its bases, or one of the functions has changed. No round trip.");

static PyObject *
methods_of(PyObject *module, PyObject *type)
{
    if (!PyType_Check(type)) {
        PyErr_Format(PyExc_TypeError, "%R is not a type", type);
        return NULL;
    }
    type_methods known;
    if (type_methods_of(PyModule_GetState(module), (PyTypeObject *)type, &known) < 0) {
        return NULL;
    }
    return Py_BuildValue("(iiii)", known.overridden, known.reaching_rq, (int)known.cleanup,
                         (int)known.entries);
}

static PyMethodDef type_methods_functions[] = {
    {"methods_of", methods_of, METH_O, methods_of_doc},
    {NULL, NULL, 0, NULL},
};

int
type_methods_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, type_methods_functions);
}

void
type_methods_clear(type_methods_cache *cache)
{
    for (size_t i = 0; i < TYPE_METHODS_SLOTS; i++) {
        cache->slots[i].version = 0;
        Py_CLEAR(cache->slots[i].codes);
    }
}

int
type_methods_traverse(const type_methods_cache *cache, visitproc visit, void *arg)
{
    for (size_t i = 0; i < TYPE_METHODS_SLOTS; i++) {
        Py_VISIT(cache->slots[i].codes);
    }
    return 0;
}
