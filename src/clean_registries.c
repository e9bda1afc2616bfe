#include "clean_registries.h"

#include "dispatch.h"
#include "guard.h"
#include "script.h"

#define QUEUE_ATTRIBUTE_COUNT 4
#define MOST_REGISTRIES 8
#define MOST_KEYS (MOST_REGISTRIES + 1)

/* A call of clean_registries(): the registries that RQ's function makes, and the script's
   arguments. */
typedef struct {
    core_state *state;
    PyObject *names;                            /* dict: where RQ's function finds its classes */
    PyObject *arguments[QUEUE_ATTRIBUTE_COUNT]; /* the values of state->cleaned_keywords */
    PyObject *registries[MOST_REGISTRIES];
    fast_call calls[MOST_REGISTRIES]; /* one for each registry; begun */
    int count;
    command_argument keys[MOST_KEYS];
    /* The time, then what to do with each key. */
    command_argument steps[lua_clean_registries_argument_count + MOST_KEYS];
    int key_count;
} cleaning;

/* The word by which the script is told of a kind of cleanup; NULL if there is nothing to do. */
static const char *
step_of(cleanup_kind kind)
{
    switch (kind) {
    case CLEANUP_DROPS_EXPIRED:
        return "drop_expired";
    case CLEANUP_IF_EXPIRED:
        return "if_expired";
    case CLEANUP_IF_ANY:
        return "if_any";
    default:
        return NULL;
    }
}

static void
add_step(cleaning *run, PyObject *key, const char *step)
{
    run->keys[run->key_count] = (command_argument){.object = key};
    run->steps[lua_clean_registries_argument_count + run->key_count]
        = (command_argument){.text = step};
    run->key_count++;
}

/* ---- The registries -------------------------------------------------------------------------- */

/* Read from the queue what RQ's function gives to each registry. */
static int
read_queue(cleaning *run, PyObject *queue)
{
    for (int i = 0; i < QUEUE_ATTRIBUTE_COUNT; i++) {
        PyObject *name = PyTuple_GET_ITEM(run->state->cleaned_keywords, i);
        run->arguments[i] = PyObject_GetAttr(queue, name);
        if (run->arguments[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Make a registry: Class(name=, connection=, job_class=, serializer=). NULL, without an exception,
   where the class is not derived from the core's. */
static PyObject *
make_registry(const cleaning *run, PyObject *class_name)
{
    PyObject *class = dict_get(run->names, class_name);
    PyObject *registry = NULL;
    if (class != NULL && PyType_Check(class)
        && PyType_IsSubtype((PyTypeObject *)class, run->state->base_registry_type)) {
        registry = PyObject_Vectorcall(class, run->arguments, 0, run->state->cleaned_keywords);
    }
    Py_XDECREF(class);
    return registry;
}

/* Make a registry, and find out what its cleanup does. */
static call_outcome
add_registry(cleaning *run, PyObject *class_name)
{
    PyObject *registry = make_registry(run, class_name);
    if (registry == NULL) {
        return use_fallback_unless_raised();
    }
    fast_call *call = &run->calls[run->count];
    call_outcome outcome = fast_call_begin(call, registry, 0);
    if (outcome != CALL_DONE) {
        Py_DECREF(registry);
        return outcome;
    }
    run->registries[run->count++] = registry;
    cleanup_kind kind = fast_call_cleanup_kind(call);
    if (kind == CLEANUP_UNKNOWN || call->pool != run->calls[0].pool) {
        return use_fallback_unless_raised();
    }
    const char *step = step_of(kind);
    if (step != NULL) {
        add_step(run, call->key, step);
    }
    return CALL_DONE;
}

static call_outcome
add_all(cleaning *run)
{
    const installed_rq *rq = &run->state->rq;
    Py_ssize_t count = PyTuple_GET_SIZE(rq->cleaned);
    if (!rq->is_known || count > MOST_REGISTRIES || guard_holds(rq->clean_guard) != 1) {
        return use_fallback_unless_raised();
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        call_outcome outcome = add_registry(run, PyTuple_GET_ITEM(rq->cleaned, i));
        if (outcome != CALL_DONE) {
            return outcome;
        }
    }
    if (rq->rate_limits_key != Py_None) {
        add_step(run, rq->rate_limits_key, "if_rate_limits");
    }
    return CALL_DONE;
}

/* ---- The call -------------------------------------------------------------------------------- */

/* Run the script. It returns 0 at the first registry for which RQ itself has work to do:
   CALL_FALLBACK. The registries before it are clean then, and RQ's function finds them so. */
static call_outcome
run_script(cleaning *run)
{
    PyObject *now = installed_rq_now(run->state);
    if (now == NULL) {
        return CALL_RAISED;
    }
    run->steps[lua_clean_registries_now] = (command_argument){.object = now};
    const script_call request = {
        .script = &script_clean_registries,
        .keys = run->keys,
        .key_count = run->key_count,
        .arguments = run->steps,
        .argument_count = lua_clean_registries_argument_count + run->key_count,
        .answer_shape = REPLY_INTEGER,
        .is_repeatable = true,
    };
    script_answer answer = {.value = NULL};
    call_outcome outcome = script_run(&run->calls[0], &request, &answer);
    Py_DECREF(now);
    if (outcome == CALL_DONE && PyObject_IsTrue(answer.value) == 0) {
        outcome = CALL_FALLBACK;
    }
    script_answer_clear(&answer);
    return outcome;
}

static call_outcome
clean_queue(cleaning *run, PyObject *queue)
{
    if (installed_rq_load(run->state) < 0) {
        return CALL_RAISED;
    }
    if (read_queue(run, queue) < 0) {
        return use_fallback_unless_raised();
    }
    call_outcome outcome = add_all(run);
    return outcome == CALL_DONE ? run_script(run) : outcome;
}

static void
cleaning_end(cleaning *run)
{
    while (run->count > 0) {
        run->count--;
        fast_call_end(&run->calls[run->count]);
        Py_DECREF(run->registries[run->count]);
    }
    for (int i = 0; i < QUEUE_ATTRIBUTE_COUNT; i++) {
        Py_CLEAR(run->arguments[i]);
    }
}

PyDoc_STRVAR(clean_registries_doc,
"clean_registries($module, queue, names, /)\n--\n\n"
"Clean the registries of a queue, if none of them has work for RQ itself; tell whether they are clean.\n\n"
"queue: a Queue. names: dict, where RQ's function would find the classes of the registries.\n"
"One round trip. False where RQ's own function is to do it: where jobs were abandoned or are ready, where\n"
"there are rate limits, and for whatever only RQ can judge. Raises redis.exceptions.RedisError.\n"
"Source: rq.registry.clean_registries; Redis ZREMRANGEBYSCORE, ZRANGEBYSCORE, ZRANGE, SCARD.");

static PyObject *
clean_registries(PyObject *module, PyObject *const *values, Py_ssize_t count)
{
    if (count != 2 || !PyDict_Check(values[1])) {
        PyErr_SetString(PyExc_TypeError, "clean_registries() takes a queue and a dict");
        return NULL;
    }
    cleaning run = {.state = PyModule_GetState(module), .names = values[1]};
    call_outcome outcome = clean_queue(&run, values[0]);
    cleaning_end(&run);
    return outcome == CALL_RAISED ? NULL : PyBool_FromLong(outcome == CALL_DONE);
}

static PyMethodDef clean_registries_functions[] = {
    {"clean_registries", (PyCFunction)(void (*)(void))clean_registries, METH_FASTCALL,
     clean_registries_doc},
    {NULL, NULL, 0, NULL},
};

int
clean_registries_setup(PyObject *module, core_state *state)
{
    state->cleaned_keywords
        = PyTuple_Pack(QUEUE_ATTRIBUTE_COUNT, state->names.name, state->names.connection,
                       state->names.job_class, state->names.serializer);
    return state->cleaned_keywords == NULL
               ? -1
               : PyModule_AddFunctions(module, clean_registries_functions);
}
