#include "clean_registries.h"

#include "guard.h"
#include "route.h"
#include "script.h"

#define READ_OFF_QUEUE 4
#define MOST_REGISTRIES 8
#define MOST_KEYS (MOST_REGISTRIES + 1)

/* One call: the registries that RQ would make one after another, and what the script is given for them. */
typedef struct {
    core_state *state;
    PyObject *names;                     /* dict: where RQ's function finds its classes */
    PyObject *arguments[READ_OFF_QUEUE]; /* the values of state->cleaned_keywords */
    PyObject *registries[MOST_REGISTRIES];
    head calls[MOST_REGISTRIES]; /* of the registries, begun */
    int count;
    command_argument keys[MOST_KEYS];
    command_argument steps[1 + MOST_KEYS]; /* behind the time, what is done with each key */
    int key_count;
} cleaning;

/* What the script does for a cleanup; NULL where there is nothing to do. */
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
add_step(cleaning *this, PyObject *key, const char *step)
{
    this->keys[this->key_count] = (command_argument){.object = key};
    this->key_count++;
    this->steps[this->key_count] = (command_argument){.text = step};
}

/* ---- The registries ---------------------------------------------------------------------------- */

/* What RQ's function makes each registry with. */
static int
read_queue(cleaning *this, PyObject *queue)
{
    for (int i = 0; i < READ_OFF_QUEUE; i++) {
        PyObject *name = PyTuple_GET_ITEM(this->state->cleaned_keywords, i);
        this->arguments[i] = PyObject_GetAttr(queue, name);
        if (this->arguments[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Class(name=, connection=, job_class=, serializer=): NULL, also without an exception, where it is none of ours. */
static PyObject *
make_registry(const cleaning *this, PyObject *class_name)
{
    PyObject *class = Py_XNewRef(PyDict_GetItemWithError(this->names, class_name));
    PyObject *registry = NULL;
    if (class != NULL && PyType_Check(class)
        && PyType_IsSubtype((PyTypeObject *)class, this->state->base_registry_type)) {
        registry = PyObject_Vectorcall(class, this->arguments, 0, this->state->cleaned_keywords);
    }
    Py_XDECREF(class);
    return registry;
}

/* Make a registry, and find out what its cleanup does. */
static route
add_registry(cleaning *this, PyObject *class_name)
{
    PyObject *registry = make_registry(this, class_name);
    if (registry == NULL) {
        return route_elsewhere();
    }
    head *call = &this->calls[this->count];
    route way = route_begin(call, registry, 0);
    if (way != TO_HEAD) {
        Py_DECREF(registry);
        return way;
    }
    this->registries[this->count++] = registry;
    cleanup_kind kind = route_cleanup(call);
    if (kind == CLEANUP_UNKNOWN || call->pool != this->calls[0].pool) {
        return route_elsewhere();
    }
    const char *step = step_of(kind);
    if (step != NULL) {
        add_step(this, call->key, step);
    }
    return TO_HEAD;
}

static route
add_all(cleaning *this)
{
    const installed_rq *rq = &this->state->rq;
    Py_ssize_t count = PyTuple_GET_SIZE(rq->cleaned);
    if (!rq->is_known || count > MOST_REGISTRIES || guard_holds(rq->clean_guard) != 1) {
        return route_elsewhere();
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        route way = add_registry(this, PyTuple_GET_ITEM(rq->cleaned, i));
        if (way != TO_HEAD) {
            return way;
        }
    }
    if (rq->rate_limits_key != Py_None) {
        add_step(this, rq->rate_limits_key, "if_rate_limits");
    }
    return TO_HEAD;
}

/* ---- The call ---------------------------------------------------------------------------------- */

/* TO_TAIL also where the script found work for RQ, which begins anew. */
static route
run(cleaning *this)
{
    PyObject *now = installed_rq_now(this->state);
    if (now == NULL) {
        return TO_CALLER;
    }
    this->steps[0] = (command_argument){.object = now};
    const script_call wanted = {
        .script = &script_clean_registries,
        .keys = this->keys,
        .key_count = this->key_count,
        .arguments = this->steps,
        .argument_count = 1 + this->key_count,
        .answer_shape = REPLY_INTEGER,
        .is_repeatable = true,
    };
    script_answer answer = {NULL, NULL};
    route way = script_run(&this->calls[0], &wanted, &answer);
    Py_DECREF(now);
    if (way == TO_HEAD && PyObject_IsTrue(answer.value) == 0) {
        way = TO_TAIL;
    }
    script_answer_clear(&answer);
    return way;
}

static route
clean(cleaning *this, PyObject *queue)
{
    if (installed_rq_load(&this->state->rq) < 0) {
        return TO_CALLER;
    }
    if (read_queue(this, queue) < 0) {
        return route_elsewhere();
    }
    route way = add_all(this);
    return way == TO_HEAD ? run(this) : way;
}

static void
end(cleaning *this)
{
    while (this->count > 0) {
        this->count--;
        head_end(&this->calls[this->count]);
        Py_DECREF(this->registries[this->count]);
    }
    for (int i = 0; i < READ_OFF_QUEUE; i++) {
        Py_CLEAR(this->arguments[i]);
    }
}

PyDoc_STRVAR(clean_registries_doc,
"clean_registries($module, queue, names, /)\n--\n\n"
"Clean the registries of a queue, if none of them has work for RQ itself; tell whether they are clean.\n\n"
"queue: a Queue. names: dict, where RQ's function would find the classes of the registries.\n"
"One round trip. False where RQ's own function is to do it: where jobs were abandoned or are ready, where\n"
"there are rate limits, and for whatever only RQ can judge. Raises redis.exceptions.RedisError.\n"
"Source: rq.registry.clean_registries; Redis ZREMRANGEBYSCORE, ZRANGEBYSCORE, ZCARD, SCARD.");

static PyObject *
clean_registries(PyObject *module, PyObject *const *values, Py_ssize_t count)
{
    if (count != 2 || !PyDict_Check(values[1])) {
        PyErr_SetString(PyExc_TypeError, "clean_registries() takes a queue and a dict");
        return NULL;
    }
    cleaning this = {.state = PyModule_GetState(module), .names = values[1]};
    route way = clean(&this, values[0]);
    end(&this);
    return way == TO_CALLER ? NULL : PyBool_FromLong(way == TO_HEAD);
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
        = PyTuple_Pack(READ_OFF_QUEUE, state->names.name, state->names.connection,
                       state->names.job_class, state->names.serializer);
    return state->cleaned_keywords == NULL
               ? -1
               : PyModule_AddFunctions(module, clean_registries_functions);
}
