#include "traceback_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char HEADER[] = "Traceback (most recent call last):\n";
/* The text between two exceptions of a chain. */
static const char CAUSE[]
    = "\n\nThe above exception was the direct cause of the following exception:";
static const char CONTEXT[]
    = "\n\nDuring handling of the above exception, another exception occurred:";

/* A part of the text. */
typedef struct {
    const char *start;
    const char *end;
} span;

#define STARTS_WITH(part, literal)                                                                 \
    ((size_t)((part).end - (part).start) >= sizeof(literal) - 1                                    \
     && memcmp((part).start, literal, sizeof(literal) - 1) == 0)
#define ENDS_WITH(part, literal)                                                                   \
    ((size_t)((part).end - (part).start) >= sizeof(literal) - 1                                    \
     && memcmp((part).end - (sizeof(literal) - 1), literal, sizeof(literal) - 1) == 0)

/* Where the next line begins; the end of the text if there is none. */
static const char *
next_line(const char *line, const char *end)
{
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    return newline == NULL ? end : newline + 1;
}

/* Where the stack of the last exception of a chain begins; NULL if that is not certain. A message
   may contain a traceback too, but not behind one of the links. */
static const char *
last_stack(span text)
{
    if (!STARTS_WITH(text, HEADER)) {
        return NULL;
    }
    const char *found = text.start + sizeof HEADER - 1;
    for (const char *line = found; line < text.end; line = next_line(line, text.end)) {
        span rest = {line, text.end};
        /* The header follows an empty line, and that a link. */
        if (*line == 'T' && line - text.start > 2 && STARTS_WITH(rest, HEADER)
            && memcmp(line - 2, "\n\n", 2) == 0) {
            span before = {text.start, line - 2};
            if (ENDS_WITH(before, CAUSE) || ENDS_WITH(before, CONTEXT)) {
                found = line + sizeof HEADER - 1;
            }
        }
    }
    return found;
}

static bool
is_of_name(char character, bool is_first)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z')
           || character == '_' || (!is_first && character >= '0' && character <= '9');
}

/* The end of a name like app.find.<locals>.Error; `start` if there is none. */
static const char *
name_end(const char *start, const char *end)
{
    static const char locals[] = "<locals>";
    const char *part = start;
    while (true) {
        const char *at = part;
        while (at < end && is_of_name(*at, at == start)) {
            at++;
        }
        span rest = {at, end};
        if (at == part && at != start && STARTS_WITH(rest, locals)) {
            at += sizeof locals - 1;
        }
        if (at == part) {
            return start;
        }
        if (at == end || *at != '.') {
            return at;
        }
        part = at + 1;
    }
}

static bool
is_space(char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r')
           || (character >= '\x1c' && character <= '\x1f');
}

static span
stripped(span text)
{
    while (text.start < text.end && is_space(*text.start)) {
        text.start++;
    }
    while (text.start < text.end && is_space(text.end[-1])) {
        text.end--;
    }
    return text;
}

/* Whether str.strip() might take more away: there are spaces that are not ASCII. */
static bool
may_have_more_spaces(span text)
{
    return text.start < text.end
           && (((uint8_t)*text.start & 0x80) != 0 || ((uint8_t)text.end[-1] & 0x80) != 0);
}

/* Find the name and the message of the exception; false if the text is not a plain traceback. */
static bool
split_traceback(span text, span *name, span *message)
{
    const char *line = last_stack(text);
    if (line == NULL) {
        return false;
    }
    while (line < text.end && (*line == ' ' || *line == '\t')) {
        line = next_line(line, text.end);
    }
    const char *end = name_end(line, text.end);
    if (end == line || (end < text.end && *end != ':' && *end != '\n')) {
        return false;
    }
    *name = (span){line, end};
    *message = stripped((span){end < text.end && *end == ':' ? end + 1 : end, text.end});
    return !may_have_more_spaces(*message);
}

static PyObject *
text_of(span part)
{
    return PyUnicode_DecodeUTF8(part.start, part.end - part.start, NULL);
}

PyDoc_STRVAR(exception_in_doc,
"exception_in($module, text, /)\n--\n\n"
"Return (name, message) of the exception that a traceback ends with, or None if the text is not a plain traceback.\n\n"
"text: bytes. Raises UnicodeDecodeError if the message is not UTF-8.");

static PyObject *
exception_in(PyObject *Py_UNUSED(module), PyObject *given)
{
    if (!PyBytes_CheckExact(given)) {
        PyErr_Format(PyExc_TypeError, "%R is not bytes", given);
        return NULL;
    }
    const char *start = PyBytes_AS_STRING(given);
    span name, message;
    if (!split_traceback((span){start, start + PyBytes_GET_SIZE(given)}, &name, &message)) {
        Py_RETURN_NONE;
    }
    PyObject *name_text = text_of(name);
    PyObject *message_text = name_text == NULL ? NULL : text_of(message);
    PyObject *pair = message_text == NULL ? NULL : PyTuple_Pack(2, name_text, message_text);
    Py_XDECREF(name_text);
    Py_XDECREF(message_text);
    return pair;
}

static PyMethodDef traceback_text_functions[] = {
    {"exception_in", exception_in, METH_O, exception_in_doc},
    {NULL, NULL, 0, NULL},
};

int
traceback_text_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, traceback_text_functions);
}
