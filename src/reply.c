#include "reply.h"

#include <string.h>

/* A list is not made longer than this on a server's word alone; past it, it grows as entries arrive. */
#define PREALLOCATED_ITEMS ((size_t)1 << 20)

struct reply_reader {
    redisReader *parser;
    reply_spec spec;
    bool raised;     /* a Python exception is set */
    bool mismatched; /* the reply is not of the expected shape */
    bool is_push;    /* a push message or an attribute: read, and not kept */
    bool found;
    PyObject *error; /* bytes: the first error message in this reply */
};

/* ---- Strings of a list ---------------------------------------------------------------------- */

static bool
is_ascii(const char *text, size_t length)
{
    unsigned char all = 0;
    for (size_t i = 0; i < length; i++) {
        all |= (unsigned char)text[i];
    }
    return all < 0x80;
}

/* The length of the job's part of an entry, when it is "job_id:execution_id" in ASCII; else -1. */
static Py_ssize_t
plain_job_id_length(const char *entry, size_t length)
{
    const char *colon = memchr(entry, ':', length);
    if (colon == NULL) {
        return -1;
    }
    size_t job_id_length = (size_t)(colon - entry);
    bool has_another = memchr(colon + 1, ':', length - job_id_length - 1) != NULL;
    return has_another || !is_ascii(entry, length) ? -1 : (Py_ssize_t)job_id_length;
}

/* What RQ makes of an entry that is not plain: a warning, a ValueError, a UnicodeDecodeError, or ids. */
static PyObject *
parse_entry(const reply_reader *reader, const char *entry, size_t length)
{
    PyObject *text = PyUnicode_DecodeUTF8(entry, (Py_ssize_t)length, NULL);
    if (text == NULL) {
        return NULL;
    }
    PyObject *ids = PyObject_CallOneArg(reader->spec.parse_composite_key, text);
    Py_DECREF(text);
    if (ids != NULL && !(PyTuple_Check(ids) && PyTuple_GET_SIZE(ids) == 2)) {
        PyErr_Format(PyExc_TypeError, "parse_composite_key() returned %R, not two ids", ids);
        Py_CLEAR(ids);
    }
    return ids;
}

static PyObject *
job_id_of(const reply_reader *reader, const char *entry, size_t length)
{
    Py_ssize_t job_id_length = plain_job_id_length(entry, length);
    if (job_id_length >= 0) {
        return PyUnicode_DecodeASCII(entry, job_id_length, NULL);
    }
    PyObject *ids = parse_entry(reader, entry, length);
    if (ids == NULL) {
        return NULL;
    }
    PyObject *job_id = Py_NewRef(PyTuple_GET_ITEM(ids, 0));
    Py_DECREF(ids);
    return job_id;
}

static PyObject *
job_and_execution_id_of(const reply_reader *reader, const char *entry, size_t length)
{
    Py_ssize_t job_id_length = plain_job_id_length(entry, length);
    if (job_id_length < 0) {
        return parse_entry(reader, entry, length);
    }
    const char *execution_id = entry + job_id_length + 1;
    PyObject *ids = PyTuple_New(2);
    if (ids == NULL) {
        return NULL;
    }
    PyObject *first = PyUnicode_DecodeASCII(entry, job_id_length, NULL);
    PyObject *second
        = PyUnicode_DecodeASCII(execution_id, (Py_ssize_t)length - job_id_length - 1, NULL);
    if (first == NULL || second == NULL) {
        Py_XDECREF(first);
        Py_XDECREF(second);
        Py_DECREF(ids);
        return NULL;
    }
    PyTuple_SET_ITEM(ids, 0, first);
    PyTuple_SET_ITEM(ids, 1, second);
    return ids;
}

/* Compare one entry with the wanted job id; nothing is built for a plain one. */
static int
look_at(reply_reader *reader, const char *entry, size_t length)
{
    Py_ssize_t job_id_length = plain_job_id_length(entry, length);
    if (job_id_length >= 0) {
        reader->found |= (size_t)job_id_length == reader->spec.wanted_length
                         && memcmp(entry, reader->spec.wanted, reader->spec.wanted_length) == 0;
        return 0;
    }
    PyObject *job_id = job_id_of(reader, entry, length);
    Py_ssize_t id_length = 0;
    const char *utf8 = job_id == NULL ? NULL : PyUnicode_AsUTF8AndSize(job_id, &id_length);
    if (utf8 != NULL) {
        reader->found |= (size_t)id_length == reader->spec.wanted_length
                         && memcmp(utf8, reader->spec.wanted, reader->spec.wanted_length) == 0;
    }
    Py_XDECREF(job_id);
    return utf8 == NULL ? -1 : 0;
}

/* ---- Objects put where the reader wants them ------------------------------------------------- */

static reply_reader *
reader_of(const redisReadTask *task)
{
    return task->privdata;
}

static bool
is_list_shape(reply_shape shape)
{
    return shape >= REPLY_TEXTS;
}

/* Stop the parser: it takes NULL for "out of memory", and reply_reader_next tells what really was. */
static void *
stop(reply_reader *reader)
{
    reader->raised = true;
    return NULL;
}

static void *
mismatch(reply_reader *reader)
{
    reader->mismatched = true;
    return NULL;
}

/* What stands for a value that is not kept: owned by the parser at the root, by nobody below it. */
static void *
no_object(const redisReadTask *task)
{
    return task->parent == NULL ? Py_NewRef(Py_None) : Py_None;
}

static bool
is_skipped(const redisReadTask *task)
{
    const reply_reader *reader = reader_of(task);
    return reader->is_push || reader->error != NULL || reader->spec.shape == REPLY_NOTHING
           || (reader->spec.shape == REPLY_HAS_JOB && task->parent != NULL);
}

/* Hand the object (a new reference, or NULL with an exception) to the list above it, or to the parser. */
static void *
place(const redisReadTask *task, PyObject *object)
{
    reply_reader *reader = reader_of(task);
    if (object == NULL) {
        return stop(reader);
    }
    if (task->parent == NULL) {
        return object;
    }
    PyObject *list = task->parent->obj;
    if (task->idx < PyList_GET_SIZE(list)) {
        PyObject *previous = PyList_GET_ITEM(list, task->idx);
        PyList_SET_ITEM(list, task->idx, object);
        Py_XDECREF(previous);
        return object;
    }
    int appended = PyList_Append(list, object);
    Py_DECREF(object);
    return appended < 0 ? stop(reader) : (void *)object;
}

static void *
create_error(const redisReadTask *task, const char *text, size_t length)
{
    reply_reader *reader = reader_of(task);
    if (!is_skipped(task)) {
        reader->error = PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
        if (reader->error == NULL) {
            return stop(reader);
        }
    }
    return no_object(task);
}

static PyObject *
score_of(const char *text, size_t length)
{
    PyObject *digits = PyUnicode_DecodeASCII(text, (Py_ssize_t)length, NULL);
    PyObject *score = digits == NULL ? NULL : PyFloat_FromString(digits);
    Py_XDECREF(digits);
    return score;
}

static void *
create_string(const redisReadTask *task, char *text, size_t length)
{
    reply_reader *reader = reader_of(task);
    if (task->type == REDIS_REPLY_ERROR) {
        return create_error(task, text, length);
    }
    if (reader->spec.shape == REPLY_HAS_JOB && task->parent != NULL && !reader->is_push) {
        return look_at(reader, text, length) < 0 ? stop(reader) : no_object(task);
    }
    if (is_skipped(task)) {
        return no_object(task);
    }
    if (is_list_shape(reader->spec.shape) && task->parent == NULL) {
        return mismatch(reader);
    }
    switch (reader->spec.shape) {
    case REPLY_TEXTS:
        return place(task, PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, NULL));
    case REPLY_JOB_IDS:
        return place(task, job_id_of(reader, text, length));
    case REPLY_JOB_AND_IDS:
        return place(task, job_and_execution_id_of(reader, text, length));
    case REPLY_SCORE:
        return place(task, score_of(text, length));
    case REPLY_VALUE:
        return place(task, PyBytes_FromStringAndSize(text, (Py_ssize_t)length));
    default:
        return mismatch(reader);
    }
}

/* The empty places of a list must not be seen through the collector while other threads run: the root is
   hidden from it until it is complete, a nested list is filled with None. */
static PyObject *
new_list(const redisReadTask *task, size_t length)
{
    size_t items = length < PREALLOCATED_ITEMS ? length : PREALLOCATED_ITEMS;
    PyObject *list = PyList_New((Py_ssize_t)items);
    if (list == NULL) {
        return NULL;
    }
    if (task->parent == NULL) {
        PyObject_GC_UnTrack(list);
    }
    for (size_t i = 0; task->parent != NULL && i < items; i++) {
        PyList_SET_ITEM(list, (Py_ssize_t)i, Py_NewRef(Py_None));
    }
    return list;
}

static void *
create_array(const redisReadTask *task, size_t length)
{
    reply_reader *reader = reader_of(task);
    bool is_aside = task->type == REDIS_REPLY_PUSH || task->type == REDIS_REPLY_ATTR;
    if (is_aside && task->parent == NULL) {
        reader->is_push = true;
    }
    if (is_skipped(task) || reader->spec.shape == REPLY_HAS_JOB) {
        return no_object(task);
    }
    bool is_expected = reader->spec.shape == REPLY_VALUE
                       || (is_list_shape(reader->spec.shape) && task->parent == NULL);
    return is_expected ? place(task, new_list(task, length)) : mismatch(reader);
}

static void *
create_integer(const redisReadTask *task, long long value)
{
    reply_reader *reader = reader_of(task);
    if (is_skipped(task)) {
        return no_object(task);
    }
    if (reader->spec.shape != REPLY_INTEGER && reader->spec.shape != REPLY_VALUE) {
        return mismatch(reader);
    }
    return place(task, PyLong_FromLongLong(value));
}

static void *
create_double(const redisReadTask *task, double value, char *text, size_t length)
{
    (void)text;
    (void)length;
    reply_reader *reader = reader_of(task);
    if (is_skipped(task)) {
        return no_object(task);
    }
    if (reader->spec.shape != REPLY_SCORE && reader->spec.shape != REPLY_VALUE) {
        return mismatch(reader);
    }
    return place(task, PyFloat_FromDouble(value));
}

static void *
create_nil(const redisReadTask *task)
{
    reply_reader *reader = reader_of(task);
    if (is_skipped(task)) {
        return no_object(task);
    }
    if (reader->spec.shape != REPLY_SCORE && reader->spec.shape != REPLY_VALUE) {
        return mismatch(reader);
    }
    return place(task, Py_NewRef(Py_None));
}

static void *
create_bool(const redisReadTask *task, int value)
{
    reply_reader *reader = reader_of(task);
    if (is_skipped(task)) {
        return no_object(task);
    }
    return reader->spec.shape == REPLY_VALUE ? place(task, PyBool_FromLong(value))
                                             : mismatch(reader);
}

static void
free_object(void *object)
{
    Py_DECREF((PyObject *)object);
}

static redisReplyObjectFunctions object_functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createDouble = create_double,
    .createNil = create_nil,
    .createBool = create_bool,
    .freeObject = free_object,
};

/* ---- The reader ------------------------------------------------------------------------------ */

reply_reader *
reply_reader_new(void)
{
    reply_reader *reader = PyMem_Calloc(1, sizeof *reader);
    if (reader == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    reader->parser = redisReaderCreateWithFunctions(&object_functions);
    if (reader->parser == NULL) {
        PyErr_NoMemory();
        PyMem_Free(reader);
        return NULL;
    }
    reader->parser->privdata = reader;
    /* Keep the buffer between the blocks of a large reply. */
    reader->parser->maxbuf = 0;
    return reader;
}

void
reply_reader_free(reply_reader *reader)
{
    if (reader != NULL) {
        redisReaderFree(reader->parser);
        Py_XDECREF(reader->error);
        PyMem_Free(reader);
    }
}

void
reply_reader_expect(reply_reader *reader, const reply_spec *spec)
{
    reader->spec = *spec;
    reader->raised = false;
    reader->mismatched = false;
    reader->is_push = false;
    reader->found = false;
    Py_CLEAR(reader->error);
}

bool
reply_reader_feed(reply_reader *reader, const char *data, size_t length)
{
    if (redisReaderFeed(reader->parser, data, length) == REDIS_OK) {
        return true;
    }
    PyErr_NoMemory();
    return false;
}

static reply_outcome
explain_stop(const reply_reader *reader)
{
    if (reader->raised) {
        return REPLY_RAISED;
    }
    if (!reader->mismatched && reader->parser->err == REDIS_ERR_OOM) {
        PyErr_NoMemory();
        return REPLY_RAISED;
    }
    return REPLY_BROKEN;
}

reply_outcome
reply_reader_next(reply_reader *reader, PyObject **value)
{
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(reader->parser, &reply) != REDIS_OK) {
            return explain_stop(reader);
        }
        if (reply == NULL) {
            return REPLY_INCOMPLETE;
        }
        PyObject *object = reply;
        if (reader->is_push) {
            reader->is_push = false;
            Py_DECREF(object);
            continue;
        }
        if (reader->error != NULL) {
            Py_DECREF(object);
            *value = reader->error;
            reader->error = NULL;
            return REPLY_IS_ERROR;
        }
        if (reader->spec.shape == REPLY_HAS_JOB) {
            Py_SETREF(object, PyBool_FromLong(reader->found));
        }
        else if (PyList_CheckExact(object)) {
            PyObject_GC_Track(object);
        }
        *value = object;
        return REPLY_READY;
    }
}

const char *
reply_reader_problem(const reply_reader *reader)
{
    return reader->mismatched ? "a reply of another type than the command's"
                              : reader->parser->errstr;
}
