#include "reply.h"

#include <string.h>

/* Only for its version. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <hiredis/hiredis.h>
#pragma GCC diagnostic pop

/* take_entries() changes private fields of hiredis's reader, so that only versions that were tried
   may be used. Older versions also read attributes and doubles differently. setup.py checks for the
   same versions. */
#if HIREDIS_MAJOR != 1 || HIREDIS_MINOR < 3 || HIREDIS_MINOR > 5
#error                                                                                             \
    "this hiredis was not tried: 1.3, 1.4 and 1.5 are; unset RQREG_SYSTEM_HIREDIS to build the pinned one"
#endif

/* Longer numbers are left to the parser. */
#define MAX_LENGTH_DIGITS 9
/* A parser whose buffer was longer is replaced after a call. */
#define LARGEST_IDLE_BUFFER ((size_t)64 * 1024)

struct reply_reader {
    redisReader *parser;
    size_t longest_buffer; /* the longest that the parser's buffer was */
    reply_builder builder;
    /* The bytes that were received and not yet given to the parser; the transport owns them. */
    const char *data;
    size_t length;
};

/* ---- Entries of a long list, past the parser's buffer ---------------------------------------- */

/* hiredis copies what it is fed into a buffer of its own, and dispatches on the type of each entry.
   For a long list of job ids this is a tenth of the client's CPU time (8 to 11% for lists of
   300 000 to one million). So complete entries are parsed here, where they were received, and the
   parser's index in the list is moved on. The parser itself still reads the list's header, an entry
   that continues in the next block, the last entry, and everything that is not a string. */

typedef struct {
    const char *text;
    size_t length;
    size_t size; /* in the reply, without its '$' */
} bulk_string;

/* Parse a bulk string's line, from behind its '$'; false if it is not complete. The text may not be
   complete. */
static bool
parse_bulk_header(const char *data, size_t available, bulk_string *found)
{
    size_t at = 0;
    size_t length = 0;
    while (at < available && data[at] >= '0' && data[at] <= '9' && at < MAX_LENGTH_DIGITS) {
        length = length * 10 + (size_t)(data[at++] - '0');
    }
    /* The parser refuses numbers with leading zeros. */
    bool is_number = at == 1 || (at > 1 && data[0] != '0');
    if (!is_number || at + 2 > available || data[at] != '\r' || data[at + 1] != '\n') {
        return false;
    }
    *found = (bulk_string){data + at + 2, length, at + length + 4};
    return true;
}

/* Parse a bulk string, from behind its '$'; false if it is not complete. */
static bool
parse_bulk_string(const char *data, size_t available, bulk_string *found)
{
    return parse_bulk_header(data, available, found) && found->size <= available;
}

/* The parser's task for the next entry of a list, if it has nothing of that entry in its buffer;
   else NULL. */
static redisReadTask *
next_entry(const reply_reader *reader)
{
    const redisReader *parser = reader->parser;
    bool is_in_list = parser->ridx == 1 && parser->pos == parser->len && parser->err == 0;
    return is_in_list && reply_is_read_as_list(reader->builder.spec.shape)
                   && !reader->builder.is_out_of_band && parser->task[1]->type < 0
               ? parser->task[1]
               : NULL;
}

/* Parse all complete entries but the last of the list. */
static int
take_entries(reply_reader *reader)
{
    redisReadTask *entry = next_entry(reader);
    bulk_string found;
    while (entry != NULL && entry->idx < entry->parent->elements - 1 && reader->length > 0
           && *reader->data == '$'
           && parse_bulk_string(reader->data + 1, reader->length - 1, &found)) {
        /* As the parser sets it before it calls. */
        entry->type = REDIS_REPLY_STRING;
        void *taken = reply_create_string(entry, (char *)found.text, found.length);
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

/* How many bytes to feed to the parser before entries can be parsed here again: a line, or the rest
   of an entry. */
static size_t
next_feed_length(const reply_reader *reader)
{
    const redisReader *parser = reader->parser;
    if (!reply_is_read_as_list(reader->builder.spec.shape) || parser->ridx > 1
        || reader->builder.is_out_of_band) {
        return reader->length;
    }
    /* Where the parser has the beginning of an entry, its position is behind the '$'. */
    const char *begun = parser->buf + parser->pos;
    size_t begun_length = parser->len - parser->pos;
    if (begun_length == 0 || memchr(begun, '\n', begun_length) == NULL) {
        const char *end = memchr(reader->data, '\n', reader->length);
        return end == NULL ? reader->length : (size_t)(end - reader->data) + 1;
    }
    bulk_string entry;
    if (!parse_bulk_header(begun, begun_length, &entry) || entry.size <= begun_length) {
        return reader->length;
    }
    size_t rest = entry.size - begun_length;
    return rest < reader->length ? rest : reader->length;
}

/* ---- The reader ------------------------------------------------------------------------------ */

static redisReader *
new_parser(reply_reader *reader)
{
    redisReader *parser = redisReaderCreateWithFunctions(&reply_object_functions);
    if (parser != NULL) {
        parser->privdata = &reader->builder;
        /* Do not free the buffer between the blocks of a large reply. */
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
        Py_XDECREF(reader->builder.error);
        PyMem_Free(reader);
    }
}

void
reply_reader_expect(reply_reader *reader, const reply_spec *spec)
{
    reader->builder.spec = *spec;
    reader->builder.raised = false;
    reader->builder.mismatched = false;
    reader->builder.is_out_of_band = false;
    reader->builder.found = false;
    Py_CLEAR(reader->builder.error);
}

void
reply_reader_feed(reply_reader *reader, const char *data, size_t length)
{
    reader->data = data;
    reader->length = length;
}

bool
reply_reader_is_drained(const reply_reader *reader)
{
    const redisReader *parser = reader->parser;
    return reader->length == 0 && parser->pos == parser->len && parser->ridx < 0
           && parser->err == 0;
}

void
reply_reader_shrink_buffer(reply_reader *reader)
{
    if (reader->longest_buffer <= LARGEST_IDLE_BUFFER) {
        return;
    }
    redisReader *fresh = new_parser(reader);
    /* If there is no memory for another one, keep the large one. */
    if (fresh != NULL) {
        redisReaderFree(reader->parser);
        reader->parser = fresh;
        reader->longest_buffer = 0;
    }
}

static reply_outcome
explain_stop(const reply_reader *reader)
{
    if (reader->builder.raised) {
        return REPLY_RAISED;
    }
    if (!reader->builder.mismatched && reader->parser->err == REDIS_ERR_OOM) {
        PyErr_NoMemory();
        return REPLY_RAISED;
    }
    return REPLY_BROKEN;
}

/* Parse: *reply is the next reply, or NULL where more bytes are needed. -1 where the parser
   stopped. */
static int
parse(reply_reader *reader, void **reply)
{
    *reply = NULL;
    int status = redisReaderGetReply(reader->parser, reply);
    while (status == REDIS_OK && *reply == NULL && reader->length > 0) {
        if (take_entries(reader) < 0) {
            return -1;
        }
        size_t length = next_feed_length(reader);
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
        if (reader->builder.is_out_of_band) {
            reader->builder.is_out_of_band = false;
            Py_DECREF(object);
            continue;
        }
        if (reader->builder.error != NULL) {
            Py_DECREF(object);
            *value = reader->builder.error;
            reader->builder.error = NULL;
            return REPLY_IS_ERROR;
        }
        if (reader->builder.spec.shape == REPLY_HAS_JOB) {
            Py_SETREF(object, PyBool_FromLong(reader->builder.found));
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
    return reader->builder.mismatched ? "a reply of another type than the command's"
                                      : reader->parser->errstr;
}

/* ---- The library that was loaded ------------------------------------------------------------- */

/* Try whether a list in two blocks is read, with entries of the second parsed by take_entries(). 1,
   0, or -1 with an exception. */
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
                   && reply_reader_is_drained(reader);
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
