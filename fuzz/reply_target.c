/* Bytes from a server that says anything, read through reply.h: as one block and in pieces.

   What must hold of every input:
   - both ways of reading, and the plain Python of reference.py, tell the same story;
   - an exception is set after REPLY_RAISED and nowhere else, and a reply that is ready is of its
     shape;
   - nothing stays behind: no block, no reference to None, True or False;
   - a length that a server claims takes no memory but a fixed amount.

   An input: the shapes of the first and of all other replies, how entries are cut, how long pieces
   are, the length of the job id that is looked for, that id, and then what the server sends. */
#include "host.h"

#include "raised.h"
#include "reply.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 5
#define SHAPES (REPLY_HAS_JOB + 1)
#define MAX_REPLIES 8
#define MAX_WANTED 16
/* reply.c makes a list of at most 2^20 places on the server's word: 8 MiB. */
#define MEMORY_ON_TRUST ((size_t)12 << 20)
#define MEMORY_PER_BYTE 256
/* Caches of Python's own fill up in the first runs of an input. */
#define RUNS_OF_A_LEAK 8

typedef struct {
    int shapes[2];
    int cut;
    int piece; /* the longest piece */
    const char *job_id;
    size_t job_id_length;
    const char *stream;
    size_t length;
} fuzz_input;

static PyObject *reference_transcript;
static PyObject *reference_cuts;

static bool
input_from(const uint8_t *data, size_t size, fuzz_input *input)
{
    if (size < HEADER) {
        return false;
    }
    size_t job_id_length = data[4] % MAX_WANTED;
    if (size < HEADER + job_id_length) {
        return false;
    }
    *input = (fuzz_input){
        .shapes = {data[0] % SHAPES, data[1] % SHAPES},
        .cut = data[2] % (int)PyTuple_GET_SIZE(reference_cuts),
        .piece = data[3] + 1,
        .job_id = (const char *)data + HEADER,
        .job_id_length = job_id_length,
        .stream = (const char *)data + HEADER + job_id_length,
        .length = size - HEADER - job_id_length,
    };
    return true;
}

/* ---- What the server sends, block by block ------------------------------------------------------ */

typedef struct {
    const fuzz_input *input;
    bool whole;
    size_t sent;
    unsigned int random;
    char *
        block; /* exactly as long as its bytes: a sanitizer sees a look past its end, or after its time */
} sender;

static size_t
next_length(sender *from)
{
    size_t rest = from->input->length - from->sent;
    from->random = from->random * 1103515245U + 12345U;
    size_t length = from->whole ? rest : 1 + (from->random >> 16) % (size_t)from->input->piece;
    return length < rest ? length : rest;
}

/* Hand over the next block; false where there is none. */
static bool
feed(sender *from, reply_reader *reader)
{
    size_t length = next_length(from);
    free(from->block);
    from->block = NULL;
    if (length == 0) {
        return false;
    }
    from->block = malloc(length);
    if (from->block == NULL) {
        host_fail("no memory for %zu bytes of input", length);
    }
    memcpy(from->block, from->input->stream + from->sent, length);
    from->sent += length;
    (void)reply_reader_feed(reader, from->block, length);
    return true;
}

/* ---- What the reader makes of it ---------------------------------------------------------------- */

static bool
has_shape(int shape, PyObject *value)
{
    switch (shape) {
    case REPLY_INTEGER:
        return PyLong_CheckExact(value);
    case REPLY_SCORE:
        return value == Py_None || PyFloat_CheckExact(value);
    case REPLY_NOTHING:
        return value == Py_None;
    case REPLY_HAS_JOB:
        return PyBool_Check(value);
    case REPLY_VALUE:
        return true;
    default:
        return PyList_CheckExact(value) && PyObject_GC_IsTracked(value);
    }
}

/* Whether the server said more than was read. */
static const char *
tell_rest(const reply_reader *reader, const sender *from)
{
    bool is_all = reply_reader_is_drained(reader) && from->sent == from->input->length;
    return is_all ? "" : ", and more";
}

static PyObject *
tell_value(const char *outcome, PyObject *value, const char *rest)
{
    PyObject *line
        = PyUnicode_FromFormat("%s %s %R%s", outcome, Py_TYPE(value)->tp_name, value, rest);
    Py_DECREF(value);
    return line;
}

static PyObject *
tell_exception(void)
{
    PyObject *error = PyErr_GetRaisedException();
    if (error == NULL) {
        host_fail("REPLY_RAISED, and no exception is set");
    }
    PyObject *line = PyUnicode_FromFormat("RAISED %s: %S", Py_TYPE(error)->tp_name, error);
    Py_DECREF(error);
    return line;
}

/* One line that tells the outcome, and all of the value. */
static PyObject *
tell(reply_outcome outcome, int shape, PyObject *value, const reply_reader *reader,
     const sender *from)
{
    const char *rest = tell_rest(reader, from);
    if (outcome != REPLY_RAISED && PyErr_Occurred()) {
        host_fail("outcome %d leaves an exception", (int)outcome);
    }
    switch (outcome) {
    case REPLY_INCOMPLETE:
        return PyUnicode_FromString("INCOMPLETE");
    case REPLY_READY:
        if (value == NULL || !has_shape(shape, value)) {
            host_fail("the reply is not of shape %d", shape);
        }
        return tell_value("READY", value, rest);
    case REPLY_IS_ERROR:
        if (value == NULL || !PyBytes_CheckExact(value)) {
            host_fail("an error message is not of bytes");
        }
        return tell_value("IS_ERROR", value, rest);
    case REPLY_RAISED:
        return tell_exception();
    case REPLY_BROKEN:
        return PyUnicode_FromFormat("BROKEN %s", reply_reader_problem(reader));
    }
    host_fail("the outcome %d is none of those in reply.h", (int)outcome);
}

static reply_outcome
next_outcome(reply_reader *reader, sender *from, PyObject **value)
{
    for (;;) {
        reply_outcome outcome = reply_reader_next(reader, value);
        if (outcome != REPLY_INCOMPLETE || !feed(from, reader)) {
            return outcome;
        }
    }
}

static reply_spec
spec_of(const fuzz_input *input, int shape)
{
    return (reply_spec){
        .shape = (reply_shape)shape,
        .job_id = input->job_id,
        .job_id_length = input->job_id_length,
        .parse_composite_key = PyTuple_GET_ITEM(reference_cuts, input->cut),
    };
}

/* The lines about all replies, up to the one that ends the connection. */
static PyObject *
transcript(const fuzz_input *input, bool whole)
{
    sender from = {.input = input, .whole = whole, .random = (unsigned int)input->piece};
    reply_reader *reader = reply_reader_new();
    PyObject *lines = PyList_New(0);
    if (reader == NULL || lines == NULL) {
        host_fail("no reader");
    }
    reply_outcome outcome = REPLY_READY;
    for (int i = 0; i < MAX_REPLIES && (outcome == REPLY_READY || outcome == REPLY_IS_ERROR); i++) {
        int shape = input->shapes[i > 0];
        reply_spec spec = spec_of(input, shape);
        PyObject *value = NULL;
        reply_reader_expect(reader, &spec);
        outcome = next_outcome(reader, &from, &value);
        PyObject *line = tell(outcome, shape, value, reader, &from);
        if (line == NULL || PyList_Append(lines, line) < 0) {
            host_fail("the outcome cannot be told");
        }
        Py_DECREF(line);
    }
    reply_reader_free(reader);
    free(from.block);
    return lines;
}

/* ---- The checks --------------------------------------------------------------------------------- */

static void
require_equal(PyObject *expected, PyObject *found, const char *what)
{
    int equal = PyObject_RichCompareBool(expected, found, Py_EQ);
    if (equal != 1) {
        PySys_FormatStderr("expected %R\nfound    %R\n", expected, found);
        host_fail("%s", what);
    }
}

static PyObject *
expected_transcript(const fuzz_input *input)
{
    PyObject *lines = PyObject_CallFunction(reference_transcript, "(ii)iy#y#i", input->shapes[0],
                                            input->shapes[1], input->cut, input->job_id,
                                            (Py_ssize_t)input->job_id_length, input->stream,
                                            (Py_ssize_t)input->length, MAX_REPLIES);
    if (lines == NULL) {
        host_fail("the reference failed");
    }
    return lines;
}

/* What is wrong with the bytes is said in hiredis's words, which the reference does not repeat. */
static PyObject *
without_problem(PyObject *lines)
{
    PyObject *copy = PyList_GetSlice(lines, 0, PyList_GET_SIZE(lines));
    Py_ssize_t last = PyList_GET_SIZE(lines) - 1;
    PyObject *broken = PyUnicode_FromString("BROKEN");
    if (copy == NULL || broken == NULL) {
        host_fail("no memory");
    }
    if (PyUnicode_Tailmatch(PyList_GET_ITEM(copy, last), broken, 0, PY_SSIZE_T_MAX, -1) == 1) {
        PyList_SetItem(copy, last, Py_NewRef(broken));
    }
    Py_DECREF(broken);
    return copy;
}

static void
require_nothing_left(const fuzz_input *input)
{
    Py_ssize_t before = host_references();
    for (int i = 0; i < RUNS_OF_A_LEAK; i++) {
        Py_DECREF(transcript(input, i % 2 == 0));
        Py_ssize_t after = host_references();
        if (after == before) {
            return;
        }
        before = after;
    }
    host_fail("references stay behind in each of %d runs", RUNS_OF_A_LEAK);
}

static PyObject *
whole_within_memory(const fuzz_input *input)
{
    host_watch_memory();
    PyObject *lines = transcript(input, true);
    if (host_memory_peak() > MEMORY_ON_TRUST + MEMORY_PER_BYTE * input->length) {
        host_fail("%zu bytes of replies took %zu bytes", input->length, host_memory_peak());
    }
    return lines;
}

int
LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    (void)argument_count;
    (void)arguments;
    host_start();
    reference_transcript = host_reference("transcript");
    reference_cuts = host_reference("CUTS");
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input;
    if (!input_from(data, size, &input)) {
        return -1;
    }
    PyObject *whole = whole_within_memory(&input);
    PyObject *pieces = transcript(&input, false);
    require_equal(whole, pieces, "read in pieces, the replies are others");
    PyObject *expected = expected_transcript(&input);
    PyObject *told = without_problem(whole);
    require_equal(expected, told, "the replies are not those of the reference");
    Py_DECREF(whole);
    Py_DECREF(pieces);
    Py_DECREF(expected);
    Py_DECREF(told);
    require_nothing_left(&input);
    return 0;
}
