#include "guard.h"

#include "dict_version.h"
#include "type_version.h"

/* A dict that names are look_result up in, and its version when they were last found unchanged. */
typedef struct {
    PyObject *dict;   /* borrowed from the names */
    uint64_t version; /* 0: unknown */
} seen_dict;

/* A result of look(). Only the versions of its dicts change, and those under the GIL. */
typedef struct {
    use_count uses;
    PyObject *names;  /* tuple of (dict, key, value), or (dict, key) for a key that was missing */
    seen_dict *dicts; /* of the names */
    Py_ssize_t dict_count;
    PyObject *types;        /* tuple of types */
    PyObject *codes;        /* tuple: function, code, function, code, ... */
    unsigned int *versions; /* of the types */
    bool holds;
    bool is_cacheable; /* nothing changed while look() ran */
} look_result;

typedef struct {
    PyObject_HEAD
    PyObject *look;
    look_result *last; /* NULL before the first call */
    thread_lock lock;
} guard;

/* ---- The last result ------------------------------------------------------------------------- */

/* The last result, with one use more; NULL before the first call. */
static look_result *
acquire_last(guard *self)
{
    thread_lock_acquire(&self->lock);
    look_result *last = self->last;
    if (last != NULL) {
        last->uses++;
    }
    thread_lock_release(&self->lock);
    return last;
}

static void
result_release(look_result *last)
{
    if (last != NULL && --last->uses == 0) {
        Py_XDECREF(last->names);
        Py_XDECREF(last->types);
        Py_XDECREF(last->codes);
        PyMem_Free(last->dicts);
        PyMem_Free(last->versions);
        PyMem_Free(last);
    }
}

/* Steals the new result; NULL for none. */
static void
replace_last(guard *self, look_result *fresh)
{
    thread_lock_acquire(&self->lock);
    look_result *replaced = self->last;
    self->last = fresh;
    thread_lock_release(&self->lock);
    result_release(replaced);
}

/* ---- What it depends on ---------------------------------------------------------------------- */

static bool
dicts_are_unchanged(const look_result *last)
{
    for (Py_ssize_t i = 0; i < last->dict_count; i++) {
        const seen_dict *seen = &last->dicts[i];
        if (seen->version == 0 || seen->version != dict_version(seen->dict)) {
            return false;
        }
    }
    return true;
}

static void
note_dict_versions(look_result *last, bool are_known)
{
#ifdef Py_GIL_DISABLED
    (void)last;
    (void)are_known;
#else
    for (Py_ssize_t i = 0; i < last->dict_count; i++) {
        last->dicts[i].version = are_known ? dict_version(last->dicts[i].dict) : 0;
    }
#endif
}

static bool
have_values(PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *entry = PyTuple_GET_ITEM(names, i);
        PyObject *value
            = PyDict_GetItemWithError(PyTuple_GET_ITEM(entry, 0), PyTuple_GET_ITEM(entry, 1));
        PyObject *seen = PyTuple_GET_SIZE(entry) == 3 ? PyTuple_GET_ITEM(entry, 2) : NULL;
        if (value != seen || (value == NULL && PyErr_Occurred() != NULL)) {
            PyErr_Clear();
            return false;
        }
    }
    return true;
}

/* Looking up each name takes most of the time of a check, when nothing of it is in the processor's
   cache; so the dicts are look_result at first. */
static bool
names_are_unchanged(look_result *last)
{
    if (dicts_are_unchanged(last)) {
        return true;
    }
    /* Before the look-ups: whatever changes a dict meanwhile is noticed at the next check. */
    note_dict_versions(last, true);
    bool are_unchanged = have_values(last->names);
    if (!are_unchanged) {
        note_dict_versions(last, false);
    }
    return are_unchanged;
}

static bool
types_are_unchanged(const look_result *last)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(last->types); i++) {
        const PyTypeObject *type = (PyTypeObject *)PyTuple_GET_ITEM(last->types, i);
        unsigned int version = type_version(type);
        if (version == 0 || version != last->versions[i]) {
            return false;
        }
    }
    return true;
}

PyObject *
guard_flat_codes(PyObject *pairs)
{
    Py_ssize_t count = PyTuple_GET_SIZE(pairs);
    PyObject *codes = PyTuple_New(2 * count);
    for (Py_ssize_t i = 0; codes != NULL && i < count; i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        PyTuple_SET_ITEM(codes, 2 * i, Py_NewRef(PyTuple_GET_ITEM(pair, 0)));
        PyTuple_SET_ITEM(codes, 2 * i + 1, Py_NewRef(PyTuple_GET_ITEM(pair, 1)));
    }
    return codes;
}

/* Borrowed, to be compared only: another thread may replace it. */
static inline const PyObject *
function_code(PyObject *function)
{
    return __atomic_load_n(&((PyFunctionObject *)function)->func_code, __ATOMIC_RELAXED);
}

bool
guard_codes_are_unchanged(PyObject *codes)
{
    Py_ssize_t size = PyTuple_GET_SIZE(codes);
    for (Py_ssize_t i = 0; i < size; i += 2) {
        if (function_code(PyTuple_GET_ITEM(codes, i)) != PyTuple_GET_ITEM(codes, i + 1)) {
            return false;
        }
    }
    return true;
}

static bool
is_unchanged(look_result *last)
{
    return last->is_cacheable && types_are_unchanged(last) && names_are_unchanged(last)
           && guard_codes_are_unchanged(last->codes);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static bool
are_tuples_of(PyObject *entries, Py_ssize_t smallest, Py_ssize_t largest)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(entries); i++) {
        PyObject *entry = PyTuple_GET_ITEM(entries, i);
        if (!PyTuple_Check(entry) || PyTuple_GET_SIZE(entry) < smallest
            || PyTuple_GET_SIZE(entry) > largest) {
            return false;
        }
    }
    return true;
}

/* Check the tuples, so that they can be read without checks later. */
static bool
is_well_formed(PyObject *names, PyObject *types, PyObject *functions)
{
    bool is_valid = are_tuples_of(names, 2, 3) && are_tuples_of(functions, 2, 2);
    for (Py_ssize_t i = 0; is_valid && i < PyTuple_GET_SIZE(names); i++) {
        is_valid = PyDict_Check(PyTuple_GET_ITEM(PyTuple_GET_ITEM(names, i), 0));
    }
    for (Py_ssize_t i = 0; is_valid && i < PyTuple_GET_SIZE(types); i++) {
        is_valid = PyType_Check(PyTuple_GET_ITEM(types, i));
    }
    for (Py_ssize_t i = 0; is_valid && i < PyTuple_GET_SIZE(functions); i++) {
        is_valid = PyFunction_Check(PyTuple_GET_ITEM(PyTuple_GET_ITEM(functions, i), 0));
    }
    if (!is_valid) {
        PyErr_SetString(PyExc_TypeError, "look() returned something else than Guard() takes");
    }
    return is_valid;
}

/* An array of the types' versions, allocated; NULL with an exception. */
static unsigned int *
versions_of(PyObject *types)
{
    Py_ssize_t count = PyTuple_GET_SIZE(types);
    unsigned int *versions = PyMem_Calloc((size_t)count + 1, sizeof(*versions));
    if (versions == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        long long version = type_version_assigned((PyTypeObject *)PyTuple_GET_ITEM(types, i));
        if (version < 0) {
            PyMem_Free(versions);
            return NULL;
        }
        versions[i] = (unsigned int)version;
    }
    return versions;
}

/* The dicts of the names, each once, allocated; NULL with an exception. */
static seen_dict *
dicts_of(PyObject *names, Py_ssize_t *count)
{
    seen_dict *dicts = PyMem_Calloc((size_t)PyTuple_GET_SIZE(names) + 1, sizeof(*dicts));
    if (dicts == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *dict = PyTuple_GET_ITEM(PyTuple_GET_ITEM(names, i), 0);
        Py_ssize_t place = 0;
        while (place < *count && dicts[place].dict != dict) {
            place++;
        }
        if (place == *count) {
            dicts[(*count)++].dict = dict;
        }
    }
    return dicts;
}

/* The types that the last answer depended on, and their versions before look() is called again. */
typedef struct {
    PyObject *types; /* NULL at first */
    unsigned int *versions;
} seen_versions;

static int
note_versions(guard *self, seen_versions *before)
{
    look_result *last = acquire_last(self);
    *before = (seen_versions){.types = last == NULL ? NULL : Py_NewRef(last->types)};
    result_release(last);
    if (before->types != NULL) {
        before->versions = versions_of(before->types);
    }
    return before->types != NULL && before->versions == NULL ? -1 : 0;
}

static void
seen_versions_clear(seen_versions *before)
{
    Py_CLEAR(before->types);
    PyMem_Free(before->versions);
}

/* Whether the types had these versions already before look() was called. */
static bool
had_versions(const seen_versions *before, PyObject *types, const unsigned int *versions)
{
    if (before->types == NULL || PyTuple_GET_SIZE(before->types) != PyTuple_GET_SIZE(types)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
        if (PyTuple_GET_ITEM(before->types, i) != PyTuple_GET_ITEM(types, i)
            || before->versions[i] != versions[i] || versions[i] == 0) {
            return false;
        }
    }
    return true;
}

/* Allocated, with one use; NULL with an exception. */
static look_result *
result_new(const seen_versions *before, bool holds, PyObject *names, PyObject *types,
           PyObject *functions)
{
    look_result *fresh = PyMem_Calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    fresh->uses = 1;
    fresh->holds = holds;
    fresh->names = Py_NewRef(names);
    fresh->types = Py_NewRef(types);
    fresh->codes = guard_flat_codes(functions);
    fresh->versions = fresh->codes == NULL ? NULL : versions_of(types);
    fresh->dicts = fresh->versions == NULL ? NULL : dicts_of(names, &fresh->dict_count);
    if (fresh->dicts == NULL) {
        result_release(fresh);
        return NULL;
    }
    fresh->is_cacheable = had_versions(before, types, fresh->versions);
    return fresh;
}

static int
cache_look(guard *self, const seen_versions *before, PyObject *found)
{
    int holds;
    PyObject *names;
    PyObject *types;
    PyObject *functions;
    if (!PyTuple_Check(found)) {
        PyErr_Format(PyExc_TypeError, "look() returned %R, not a tuple", found);
        return -1;
    }
    if (!PyArg_ParseTuple(found, "pO!O!O!;look() returns whether it holds, and three tuples",
                          &holds, &PyTuple_Type, &names, &PyTuple_Type, &types, &PyTuple_Type,
                          &functions)
        || !is_well_formed(names, types, functions)) {
        return -1;
    }
    look_result *fresh = result_new(before, holds, names, types, functions);
    if (fresh == NULL) {
        return -1;
    }
    replace_last(self, fresh);
    return holds;
}

static int
look_again(guard *self)
{
    seen_versions before = {.types = NULL};
    PyObject *look = Py_XNewRef(self->look);
    PyObject *found = NULL;
    if (look == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this Guard was cleared by the garbage collector");
    }
    else if (note_versions(self, &before) == 0) {
        found = PyObject_CallNoArgs(look);
    }
    int holds = found == NULL ? -1 : cache_look(self, &before, found);
    seen_versions_clear(&before);
    Py_XDECREF(found);
    Py_XDECREF(look);
    return holds;
}

int
guard_holds(PyObject *object)
{
    guard *self = (guard *)object;
    look_result *last = acquire_last(self);
    int holds = last != NULL && is_unchanged(last) ? last->holds : -1;
    result_release(last);
    if (holds < 0) {
        Py_INCREF(object);
        holds = look_again(self);
        Py_DECREF(object);
    }
    return holds;
}

/* ---- The type -------------------------------------------------------------------------------- */

static PyObject *
guard_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"look", NULL};
    PyObject *look;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Guard", keywords, &look)) {
        return NULL;
    }
    guard *self = (guard *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->look = Py_NewRef(look);
    }
    return (PyObject *)self;
}

static int
guard_traverse(guard *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->look);
    if (self->last != NULL) {
        Py_VISIT(self->last->names);
        Py_VISIT(self->last->types);
        Py_VISIT(self->last->codes);
    }
    return 0;
}

static int
guard_clear(guard *self)
{
    Py_CLEAR(self->look);
    replace_last(self, NULL);
    return 0;
}

static void
guard_dealloc(guard *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    guard_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(holds_doc,
"holds($self, /)\n--\n\n"
"Tell whether what look() look_result at is as it must be.\n\n"
"It is asked again after one of the names, types or functions has changed. No round trip.\n"
"Raises what look() raises.");

static PyObject *
guard_holds_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int holds = guard_holds(self);
    return holds < 0 ? NULL : PyBool_FromLong(holds);
}

static PyMethodDef guard_methods[] = {
    {"holds", guard_holds_method, METH_NOARGS, holds_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(guard_doc,
"Guard(look)\n--\n\n"
"An answer of look() that is remembered until something that it depends on changes.\n\n"
"look: takes nothing and returns (holds, names, types, functions): a bool, and tuples of (dict, key, value)\n"
"or, for a key that is missing, (dict, key); of types; and of (function, code).");

static PyType_Slot guard_slots[] = {
    {Py_tp_doc, (void *)guard_doc},
    {Py_tp_new, guard_new},
    {Py_tp_traverse, guard_traverse},
    {Py_tp_clear, guard_clear},
    {Py_tp_dealloc, guard_dealloc},
    {Py_tp_methods, guard_methods},
    {0, NULL},
};

static PyType_Spec guard_spec = {
    .name = "rqreg_ext._core.Guard",
    .basicsize = sizeof(guard),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = guard_slots,
};

int
guard_setup_type(PyObject *module, core_state *state)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &guard_spec, NULL);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    state->guard_type = (PyTypeObject *)type;
    return result;
}
