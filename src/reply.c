#include "reply.h"

#include <stdint.h>
#include <string.h>

/* For its version alone. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <hiredis/hiredis.h>
#pragma GCC diagnostic pop

/* take_entries() changes what hiredis keeps for itself. Older versions also end differently: at attributes, at numbers
   that are none. setup.py has the same versions. */
#if HIREDIS_MAJOR != 1 || HIREDIS_MINOR < 3 || HIREDIS_MINOR > 5
#error                                                                                             \
    "this hiredis was not tried: 1.3, 1.4 and 1.5 are; unset RQREG_SYSTEM_HIREDIS to build the pinned one"
#endif

/* A list is not made longer than this on a server's word alone; past it, it grows as entries arrive. */
#define PREALLOCATED_ITEMS ((size_t)1 << 20)
/* A longer number is left to the parser to judge. */
#define MAX_LENGTH_DIGITS 9
/* A parser whose buffer has been longer is not kept between calls. */
#define LARGEST_IDLE_BUFFER ((size_t)64 * 1024)

struct reply_reader {
    redisReader *parser;
    size_t longest_buffer; /* that the parser has had */
    reply_spec spec;
    const char *data; /* what was received and the parser has not seen yet; the transport's */
    size_t length;
    bool raised;     /* a Python exception is set */
    bool mismatched; /* the reply is not of the expected shape */
    bool is_push;    /* a push message or an attribute: read, and not kept */
    bool found;
    PyObject *error; /* bytes: the first error message in this reply */
};

/* ---- Strings of a list ---------------------------------------------------------------------- */

/* Eight octets at a time: this is asked of every id. */
static bool
is_ascii(const char *text, size_t length)
{
    uint64_t all = 0;
    size_t i = 0;
    for (; length - i >= sizeof all; i += sizeof all) {
        uint64_t octets;
        memcpy(&octets, text + i, sizeof octets);
        all |= octets;
    }
    for (; i < length; i++) {
        all |= (unsigned char)text[i];
    }
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* An id is ASCII, nearly always: that is copied without a look at each of its characters. */
static PyObject *
text_of(const char *text, size_t length)
{
    if (length == 0 || !is_ascii(text, length)) {
        return PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, NULL);
    }
    PyObject *object = PyUnicode_New((Py_ssize_t)length, 127);
    if (object != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(object), text, length);
    }
    return object;
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
        PyList_SET_ITEM(list, task->idx, object);
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

/* As redis-py does, with its ValueError for what is no number. */
static PyObject *
score_of(const char *text, size_t length)
{
    PyObject *digits = PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
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
        return place(task, text_of(text, length));
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
   hidden from it until it is complete, a nested list has none. Nor could a nested list have them on a
   server's word alone: lists nest a thousand deep. */
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
/* The type is hiredis's: NOLINTNEXTLINE(readability-non-const-parameter) */
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

/* ---- Entries of a long list, past the parser's buffer ------------------------------------------ */

/* hiredis copies what it is fed into a buffer of its own and decides anew for each entry what it is. The
   entries of a list of job ids are alike, and in a long one that is most of the work: so they are taken
   where they were received, and hiredis, which keeps the account, is told how many went by. It still reads
   the list's header, an entry that is cut by the end of a block, the last one, and whatever is no string. */

typedef struct {
    const char *text;
    size_t length;
    size_t size; /* with the length before it and the line's end behind it */
} bulk_string;

/* Find the bulk string whose length these bytes, which follow its '$', begin with; false where it is not
   complete. */
static bool
find_bulk_string(const char *data, size_t available, bulk_string *found)
{
    size_t at = 0;
    size_t length = 0;
    while (at < available && data[at] >= '0' && data[at] <= '9' && at < MAX_LENGTH_DIGITS) {
        length = length * 10 + (size_t)(data[at++] - '0');
    }
    *found = (bulk_string){data + at + 2, length, at + length + 4};
    /* The parser refuses a number that is written with zeros before it. */
    bool is_number = at == 1 || (at > 1 && data[0] != '0');
    return is_number && found->size <= available && data[at] == '\r' && data[at + 1] == '\n';
}

/* The entry that comes next in a list, where nothing of it is in the parser's buffer; else NULL. */
static redisReadTask *
next_entry(const reply_reader *reader)
{
    const redisReader *parser = reader->parser;
    bool is_in_list = parser->ridx == 1 && parser->pos == parser->len && parser->err == 0;
    return is_in_list && is_list_shape(reader->spec.shape) && !reader->is_push
                   && parser->task[1]->type < 0
               ? parser->task[1]
               : NULL;
}

/* Take all complete entries but the list's last. */
static int
take_entries(reply_reader *reader)
{
    redisReadTask *entry = next_entry(reader);
    bulk_string found;
    while (entry != NULL && entry->idx < entry->parent->elements - 1 && reader->length > 0
           && *reader->data == '$'
           && find_bulk_string(reader->data + 1, reader->length - 1, &found)) {
        /* As the parser would: create_string() sees no difference. */
        entry->type = REDIS_REPLY_STRING;
        void *taken = create_string(entry, (char *)found.text, found.length);
        entry->type = -1;
        if (taken == NULL) {
            return -1;
        }
        entry->idx++;
        reader->data += 1 + found.size;
        reader->length -= 1 + found.size;
    }
    return 0;
}

/* How many bytes the parser is to see before entries can be taken again: a line, or the rest of an entry. */
static size_t
portion(const reply_reader *reader)
{
    const redisReader *parser = reader->parser;
    if (!is_list_shape(reader->spec.shape) || parser->ridx > 1 || reader->is_push) {
        return reader->length;
    }
    /* The parser waits behind the '$' of an entry that it has the beginning of. */
    const char *begun = parser->buf + parser->pos;
    size_t begun_length = parser->len - parser->pos;
    if (begun_length == 0 || memchr(begun, '\n', begun_length) == NULL) {
        const char *end = memchr(reader->data, '\n', reader->length);
        return end == NULL ? reader->length : (size_t)(end - reader->data) + 1;
    }
    bulk_string entry;
    find_bulk_string(begun, begun_length, &entry);
    size_t rest = entry.size > begun_length ? entry.size - begun_length : reader->length;
    return rest < reader->length ? rest : reader->length;
}

/* ---- The reader ------------------------------------------------------------------------------ */

static redisReader *
new_parser(reply_reader *reader)
{
    redisReader *parser = redisReaderCreateWithFunctions(&object_functions);
    if (parser != NULL) {
        parser->privdata = reader;
        /* Keep the buffer between the blocks of a large reply. */
        parser->maxbuf = 0;
    }
    return parser;
}

reply_reader *
reply_reader_new(void)
{
    reply_reader *reader = PyMem_Calloc(1, sizeof *reader);
    if (reader != NULL) {
        reader->parser = new_parser(reader);
    }
    if (reader == NULL || reader->parser == NULL) {
        PyErr_NoMemory();
        PyMem_Free(reader);
        return NULL;
    }
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

void
reply_reader_feed(reply_reader *reader, const char *data, size_t length)
{
    reader->data = data;
    reader->length = length;
}

bool
reply_reader_is_at_rest(const reply_reader *reader)
{
    const redisReader *parser = reader->parser;
    return reader->length == 0 && parser->pos == parser->len && parser->ridx < 0
           && parser->err == 0;
}

void
reply_reader_rest(reply_reader *reader)
{
    if (reader->longest_buffer <= LARGEST_IDLE_BUFFER) {
        return;
    }
    redisReader *fresh = new_parser(reader);
    /* Keeping the large one where memory is short is no error. */
    if (fresh != NULL) {
        redisReaderFree(reader->parser);
        reader->parser = fresh;
        reader->longest_buffer = 0;
    }
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

/* The parser's next reply, or NULL where more bytes are needed; -1 where it stopped. */
static int
parse(reply_reader *reader, void **reply)
{
    *reply = NULL;
    int status = redisReaderGetReply(reader->parser, reply);
    while (status == REDIS_OK && *reply == NULL && reader->length > 0) {
        if (take_entries(reader) < 0) {
            return -1;
        }
        size_t length = portion(reader);
        status = redisReaderFeed(reader->parser, reader->data, length);
        reader->data += length;
        reader->length -= length;
        if (reader->parser->len > reader->longest_buffer) {
            reader->longest_buffer = reader->parser->len;
        }
        if (status == REDIS_OK) {
            status = redisReaderGetReply(reader->parser, reply);
        }
    }
    return status == REDIS_OK ? 0 : -1;
}

reply_outcome
reply_reader_next(reply_reader *reader, PyObject **value)
{
    for (;;) {
        void *reply;
        if (parse(reader, &reply) < 0) {
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

/* ---- The library that was loaded --------------------------------------------------------------- */

/* Whether a list in two blocks is read, the second past the parser's buffer. */
static int
reads_past_the_parser(reply_reader *reader)
{
    static const char header[] = "*3\r\n";
    static const char entries[] = "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n";
    const reply_spec spec = {.shape = REPLY_TEXTS};
    PyObject *value = NULL;
    reply_reader_expect(reader, &spec);
    reply_reader_feed(reader, header, sizeof header - 1);
    if (reply_reader_next(reader, &value) != REPLY_INCOMPLETE || next_entry(reader) == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    reply_reader_feed(reader, entries, sizeof entries - 1);
    if (take_entries(reader) < 0) {
        return -1;
    }
    bool were_taken = reader->length == strlen("$1\r\nc\r\n");
    if (!were_taken || reply_reader_next(reader, &value) != REPLY_READY) {
        return PyErr_Occurred() ? -1 : 0;
    }
    bool is_read = PyList_CheckExact(value) && PyList_GET_SIZE(value) == 3
                   && reply_reader_is_at_rest(reader);
    Py_DECREF(value);
    return is_read;
}

int
reply_check_library(void)
{
    reply_reader *reader = reply_reader_new();
    if (reader == NULL) {
        return -1;
    }
    int reads = reads_past_the_parser(reader);
    reply_reader_free(reader);
    if (reads == 0) {
        PyErr_Format(
            PyExc_ImportError,
            "rqreg_ext was built with hiredis %d.%d.%d, and the libhiredis that is loaded does not work "
            "like it (1.3, 1.4 and 1.5 do). Build rqreg_ext again, without RQREG_SYSTEM_HIREDIS for the "
            "pinned one",
            HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    }
    return reads == 1 ? 0 : -1;
}
