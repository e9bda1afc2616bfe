#include "dispatch.h"

#include "guard.h"
#include "module.h"
#include "type_version.h"

/* What rqreg_ext._route.methods_of() says of the type, and the functions that it looked at (a new reference). */
static int
ask(PyTypeObject *type, dispatch *known, PyObject **functions)
{
    PyObject *module = PyImport_ImportModule("rqreg_ext._route");
    PyObject *said = module == NULL ? NULL : PyObject_CallMethod(module, "methods_of", "O", type);
    Py_XDECREF(module);
    int cleanup;
    int entries;
    int result = -1;
    if (said != NULL
        && PyArg_ParseTuple(said, "iiiiO!", &known->in_front, &known->as_called, &cleanup, &entries,
                            &PyTuple_Type, functions)) {
        known->cleanup = (cleanup_kind)cleanup;
        known->entries = (entry_kind)entries;
        Py_INCREF(*functions);
        result = 0;
    }
    Py_XDECREF(said);
    return result;
}

int
dispatch_of(core_state *state, PyTypeObject *type, dispatch *known)
{
    unsigned int version = type_version(type);
    size_t slot = version % DISPATCH_SLOTS;
    dispatch_cache *cache = &state->dispatch;
    if (version != 0 && cache->slots[slot].version == version
        && guard_codes_are_unchanged(cache->slots[slot].functions)) {
        *known = cache->slots[slot].known;
        return 0;
    }
    long long before = type_version_assigned(type);
    PyObject *functions;
    if (before < 0 || ask(type, known, &functions) < 0) {
        return -1;
    }
    /* Not where the type has changed meanwhile. */
    version = type_version(type);
    if (version != 0 && version == before) {
        slot = version % DISPATCH_SLOTS;
        cache->slots[slot].version = version;
        cache->slots[slot].known = *known;
        Py_XSETREF(cache->slots[slot].functions, functions);
    }
    else {
        Py_DECREF(functions);
    }
    return 0;
}

/* ---- For what is written in Python ------------------------------------------------------------- */

PyDoc_STRVAR(methods_of_doc,
"methods_of($module, type, /)\n--\n\n"
"Return (in_front, as_called, cleanup, entries) of a type, as rqreg_ext._route.methods_of() says.\n\n"
"It is asked again after the type, one of its bases, or one of the functions has changed. No round trip.");

static PyObject *
methods_of(PyObject *module, PyObject *type)
{
    if (!PyType_Check(type)) {
        PyErr_Format(PyExc_TypeError, "%R is no type", type);
        return NULL;
    }
    dispatch known;
    if (dispatch_of(PyModule_GetState(module), (PyTypeObject *)type, &known) < 0) {
        return NULL;
    }
    return Py_BuildValue("(iiii)", known.in_front, known.as_called, (int)known.cleanup,
                         (int)known.entries);
}

static PyMethodDef dispatch_functions[] = {
    {"methods_of", methods_of, METH_O, methods_of_doc},
    {NULL, NULL, 0, NULL},
};

int
dispatch_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, dispatch_functions);
}

void
dispatch_clear(dispatch_cache *cache)
{
    for (size_t i = 0; i < DISPATCH_SLOTS; i++) {
        cache->slots[i].version = 0;
        Py_CLEAR(cache->slots[i].functions);
    }
}

int
dispatch_traverse(const dispatch_cache *cache, visitproc visit, void *arg)
{
    for (size_t i = 0; i < DISPATCH_SLOTS; i++) {
        Py_VISIT(cache->slots[i].functions);
    }
    return 0;
}
