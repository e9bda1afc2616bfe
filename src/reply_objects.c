#include "reply_objects.h"

#include "entries.h"

/* The most items for which a list is allocated because the server says that they will come. A
   longer one grows as they arrive. */
#define PREALLOCATED_ITEMS ((size_t)1 << 20)

static reply_builder *
builder_of(const redisReadTask *task)
{
    return task->privdata;
}

/* The value that a function returns to stop the parser, with an exception set or a mismatch noted.
   The parser takes it for "out of memory"; reply_reader_next() knows the reason. */
static void *
stop(reply_builder *builder)
{
    builder->raised = true;
    return NULL;
}

static void *
mismatch(reply_builder *builder)
{
    builder->mismatched = true;
    return NULL;
}

/* The placeholder for a value that is not kept. The parser frees the root of a reply, so that this
   is a new reference there; below it is borrowed. */
static void *
placeholder(const redisReadTask *task)
{
    return task->parent == NULL ? Py_NewRef(Py_None) : Py_None;
}

static bool
is_skipped(const redisReadTask *task)
{
    const reply_builder *builder = builder_of(task);
    return builder->is_out_of_band || builder->error != NULL || builder->spec.shape == REPLY_NOTHING
           || (builder->spec.shape == REPLY_HAS_JOB && task->parent != NULL);
}

/* Store the object in the list that it belongs to, or return it to the parser. Steals it; NULL
   stands for an exception. */
static void *
store_in_parent(const redisReadTask *task, PyObject *object)
{
    reply_builder *builder = builder_of(task);
    if (object == NULL) {
        return stop(builder);
    }
    if (task->parent == NULL) {
        return object;
    }
    PyObject *list = task->parent->obj;
    if (task->idx < PyList_GET_SIZE(list)) {
        PyList_SET_ITEM(list, task->idx, object);
        return object;
    }
    int appended = PyList_Append(list, object);
    Py_DECREF(object);
    return appended < 0 ? stop(builder) : (void *)object;
}

/* Compare one entry with the job id that is looked for. */
static int
match_job_id(reply_builder *builder, const char *entry, size_t length)
{
    const reply_spec *spec = &builder->spec;
    int matches = entry_is_of_job(spec->parse_composite_key, entry, length, spec->job_id,
                                  spec->job_id_length);
    builder->found |= matches == 1;
    return matches < 0 ? -1 : 0;
}

static void *
create_error(const redisReadTask *task, const char *text, size_t length)
{
    reply_builder *builder = builder_of(task);
    if (!is_skipped(task)) {
        builder->error = PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
        if (builder->error == NULL) {
            return stop(builder);
        }
    }
    return placeholder(task);
}

/* As redis-py converts it: ValueError if it is not a number. */
static PyObject *
score_of(const char *text, size_t length)
{
    PyObject *digits = PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
    PyObject *score = digits == NULL ? NULL : PyFloat_FromString(digits);
    Py_XDECREF(digits);
    return score;
}

void *
reply_create_string(const redisReadTask *task, char *text, size_t length)
{
    reply_builder *builder = builder_of(task);
    if (task->type == REDIS_REPLY_ERROR) {
        return create_error(task, text, length);
    }
    if (builder->spec.shape == REPLY_HAS_JOB && task->parent != NULL && !builder->is_out_of_band) {
        return match_job_id(builder, text, length) < 0 ? stop(builder) : placeholder(task);
    }
    if (is_skipped(task)) {
        return placeholder(task);
    }
    if (reply_is_read_as_list(builder->spec.shape) && task->parent == NULL) {
        return mismatch(builder);
    }
    switch (builder->spec.shape) {
    case REPLY_TEXTS:
        return store_in_parent(task, entry_text(text, length));
    case REPLY_JOB_IDS:
        return store_in_parent(task, entry_job_id(builder->spec.parse_composite_key, text, length));
    case REPLY_JOB_AND_EXECUTION_IDS:
        return store_in_parent(
            task, entry_job_and_execution_id(builder->spec.parse_composite_key, text, length));
    case REPLY_SCORE:
        return store_in_parent(task, score_of(text, length));
    case REPLY_VALUE:
        return store_in_parent(task, PyBytes_FromStringAndSize(text, (Py_ssize_t)length));
    default:
        return mismatch(builder);
    }
}

/* gc.get_objects() in another thread must not see a list with NULL in it. So the root is not
   tracked by the collector until it is complete, and nested lists begin empty. They
   must not be allocated in advance anyway: a server can announce huge lists, a thousand levels
   deep. */
static PyObject *
new_list(const redisReadTask *task, size_t length)
{
    if (task->parent != NULL) {
        return PyList_New(0);
    }
    size_t items = length < PREALLOCATED_ITEMS ? length : PREALLOCATED_ITEMS;
    PyObject *list = PyList_New((Py_ssize_t)items);
    if (list != NULL) {
        PyObject_GC_UnTrack(list);
    }
    return list;
}

static void *
create_array(const redisReadTask *task, size_t length)
{
    reply_builder *builder = builder_of(task);
    bool is_out_of_band = task->type == REDIS_REPLY_PUSH || task->type == REDIS_REPLY_ATTR;
    if (is_out_of_band && task->parent == NULL) {
        builder->is_out_of_band = true;
    }
    if (is_skipped(task) || builder->spec.shape == REPLY_HAS_JOB) {
        return placeholder(task);
    }
    bool is_expected = builder->spec.shape == REPLY_VALUE
                       || (reply_is_read_as_list(builder->spec.shape) && task->parent == NULL);
    return is_expected ? store_in_parent(task, new_list(task, length)) : mismatch(builder);
}

static void *
create_integer(const redisReadTask *task, long long value)
{
    reply_builder *builder = builder_of(task);
    if (is_skipped(task)) {
        return placeholder(task);
    }
    if (builder->spec.shape != REPLY_INTEGER && builder->spec.shape != REPLY_VALUE) {
        return mismatch(builder);
    }
    return store_in_parent(task, PyLong_FromLongLong(value));
}

static void *
/* The type is hiredis's: NOLINTNEXTLINE(readability-non-const-parameter) */
create_double(const redisReadTask *task, double value, char *text, size_t length)
{
    (void)text;
    (void)length;
    reply_builder *builder = builder_of(task);
    if (is_skipped(task)) {
        return placeholder(task);
    }
    if (builder->spec.shape != REPLY_SCORE && builder->spec.shape != REPLY_VALUE) {
        return mismatch(builder);
    }
    return store_in_parent(task, PyFloat_FromDouble(value));
}

static void *
create_nil(const redisReadTask *task)
{
    reply_builder *builder = builder_of(task);
    if (is_skipped(task)) {
        return placeholder(task);
    }
    if (builder->spec.shape != REPLY_SCORE && builder->spec.shape != REPLY_VALUE) {
        return mismatch(builder);
    }
    return store_in_parent(task, Py_NewRef(Py_None));
}

static void *
create_bool(const redisReadTask *task, int value)
{
    reply_builder *builder = builder_of(task);
    if (is_skipped(task)) {
        return placeholder(task);
    }
    return builder->spec.shape == REPLY_VALUE ? store_in_parent(task, PyBool_FromLong(value))
                                              : mismatch(builder);
}

static void
free_object(void *object)
{
    Py_DECREF((PyObject *)object);
}

redisReplyObjectFunctions reply_object_functions = {
    .createString = reply_create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createDouble = create_double,
    .createNil = create_nil,
    .createBool = create_bool,
    .freeObject = free_object,
};
