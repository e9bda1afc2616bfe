#include "json_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base64.h"
#include "threads.h"

/* The longest text of one character: a pair of surrogates, each as \uXXXX. */
#define LONGEST_CHARACTER 12
#define LEAST_CAPACITY ((size_t)1024)

/* ---- The text -------------------------------------------------------------------------------- */

/* ASCII, which grows at its end. */
typedef struct {
    char *data;
    size_t length;
    size_t capacity;
} text;

static int
reserve(text *out, size_t more)
{
    if (more <= out->capacity - out->length) {
        return 0;
    }
    size_t capacity = out->capacity < LEAST_CAPACITY ? LEAST_CAPACITY : out->capacity;
    while (capacity - out->length < more) {
        if (capacity > PY_SSIZE_T_MAX / 2) {
            PyErr_NoMemory();
            return -1;
        }
        capacity *= 2;
    }
    char *data = PyMem_Realloc(out->data, capacity);
    if (data == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    out->data = data;
    out->capacity = capacity;
    return 0;
}

static int
append(text *out, const char *data, size_t length)
{
    if (reserve(out, length) < 0) {
        return -1;
    }
    memcpy(out->data + out->length, data, length);
    out->length += length;
    return 0;
}

static int
append_literal(text *out, const char *literal)
{
    return append(out, literal, strlen(literal));
}

/* The text as a str, or NULL if there is an exception already; frees the text. */
static PyObject *
finish(text *out, int status)
{
    PyObject *result = status < 0 ? NULL
                                  : PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, out->data,
                                                              (Py_ssize_t)out->length);
    PyMem_Free(out->data);
    return result;
}

/* ---- Strings --------------------------------------------------------------------------------- */

static bool
is_plain(Py_UCS4 character)
{
    return character >= ' ' && character <= '~' && character != '"' && character != '\\';
}

/* Write \uXXXX; there is room. */
static void
put_unit(text *out, Py_UCS4 unit)
{
    static const char digits[] = "0123456789abcdef";
    char *at = out->data + out->length;
    at[0] = '\\';
    at[1] = 'u';
    for (int i = 0; i < 4; i++) {
        at[5 - i] = digits[unit >> (4 * i) & 0xf];
    }
    out->length += 6;
}

/* Write a character as json.dumps() does; there is room. */
static void
put_character(text *out, Py_UCS4 character)
{
    static const char escaped[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    const char *found = character != 0 && character < 0x80 ? strchr(escaped, (int)character) : NULL;
    if (is_plain(character)) {
        out->data[out->length++] = (char)character;
    }
    else if (found != NULL) {
        out->data[out->length++] = '\\';
        out->data[out->length++] = letters[found - escaped];
    }
    else if (character < 0x10000) {
        put_unit(out, character);
    }
    else {
        put_unit(out, 0xd800 + ((character - 0x10000) >> 10));
        put_unit(out, 0xdc00 + ((character - 0x10000) & 0x3ff));
    }
}

/* Write a string, with its quotes. */
static int
add_characters(text *out, int kind, const void *data, Py_ssize_t length)
{
    if (append_literal(out, "\"") < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        if (reserve(out, LONGEST_CHARACTER) < 0) {
            return -1;
        }
        put_character(out, PyUnicode_READ(kind, data, i));
    }
    return append_literal(out, "\"");
}

/* The same for ASCII, which most strings are: what needs no backslash is copied at once. */
static int
add_ascii(text *out, const char *data, Py_ssize_t length)
{
    if (append_literal(out, "\"") < 0) {
        return -1;
    }
    const char *end = data + length;
    while (data < end) {
        const char *start = data;
        while (data < end && is_plain((uint8_t)*data)) {
            data++;
        }
        if (append(out, start, (size_t)(data - start)) < 0 || reserve(out, LONGEST_CHARACTER) < 0) {
            return -1;
        }
        if (data < end) {
            put_character(out, (uint8_t)*data++);
        }
    }
    return append_literal(out, "\"");
}

static bool
is_ascii(const char *data, Py_ssize_t length)
{
    uint8_t seen = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        seen |= (uint8_t)data[i];
    }
    return seen < 0x80;
}

static int
add_str(text *out, PyObject *value)
{
    return add_characters(out, PyUnicode_KIND(value), PyUnicode_DATA(value),
                          PyUnicode_GET_LENGTH(value));
}

/* Write bytes that are UTF-8, or a str, as a string: 1; 0, and nothing is written, for other
   bytes; -1 with an exception. */
static int
add_string(text *out, PyObject *value)
{
    if (PyUnicode_Check(value)) {
        return add_str(out, value) < 0 ? -1 : 1;
    }
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%R is neither bytes nor a str", value);
        return -1;
    }
    const char *data = PyBytes_AS_STRING(value);
    Py_ssize_t length = PyBytes_GET_SIZE(value);
    if (is_ascii(data, length)) {
        return add_ascii(out, data, length) < 0 ? -1 : 1;
    }
    PyObject *decoded = PyUnicode_DecodeUTF8(data, length, NULL);
    if (decoded == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int status = add_str(out, decoded);
    Py_DECREF(decoded);
    return status < 0 ? -1 : 1;
}

static int
add_base64(text *out, PyObject *value)
{
    size_t length = (size_t)PyBytes_GET_SIZE(value);
    if (append_literal(out, "{\"base64\": \"") < 0 || reserve(out, base64_length(length)) < 0) {
        return -1;
    }
    base64_encode(PyBytes_AS_STRING(value), length, out->data + out->length);
    out->length += base64_length(length);
    return append_literal(out, "\"}");
}

static int
add_value(text *out, PyObject *value)
{
    int is_text = add_string(out, value);
    return is_text == 0 ? add_base64(out, value) : is_text;
}

/* ---- Names and values ------------------------------------------------------------------------ */

/* Write {"name": value, ...}: 1; 0 if a name is not UTF-8; -1 with an exception. */
static int
add_object(text *out, PyObject *fields)
{
    for (Py_ssize_t i = 0; i + 1 < PyTuple_GET_SIZE(fields); i += 2) {
        if (append_literal(out, i == 0 ? "{" : ", ") < 0) {
            return -1;
        }
        int is_text = add_string(out, PyTuple_GET_ITEM(fields, i));
        if (is_text <= 0) {
            return is_text;
        }
        if (append_literal(out, ": ") < 0 || add_value(out, PyTuple_GET_ITEM(fields, i + 1)) < 0) {
            return -1;
        }
    }
    return append_literal(out, PyTuple_GET_SIZE(fields) == 0 ? "{}" : "}") < 0 ? -1 : 1;
}

/* Write [[name, value], ...]. */
static int
add_pairs(text *out, PyObject *fields)
{
    for (Py_ssize_t i = 0; i + 1 < PyTuple_GET_SIZE(fields); i += 2) {
        if (append_literal(out, i == 0 ? "[[" : ", [") < 0
            || add_value(out, PyTuple_GET_ITEM(fields, i)) < 0 || append_literal(out, ", ") < 0
            || add_value(out, PyTuple_GET_ITEM(fields, i + 1)) < 0
            || append_literal(out, "]") < 0) {
            return -1;
        }
    }
    return append_literal(out, "]");
}

/* The names and values of a dict, in turns. */
static PyObject *
flattened(PyObject *dict)
{
    PyObject *flat = PyList_New(0);
    PyObject *name, *value;
    Py_ssize_t position = 0;
    Py_BEGIN_CRITICAL_SECTION(dict);
    while (flat != NULL && PyDict_Next(dict, &position, &name, &value)) {
        if (PyList_Append(flat, name) < 0 || PyList_Append(flat, value) < 0) {
            Py_CLEAR(flat);
        }
    }
    Py_END_CRITICAL_SECTION();
    return flat;
}

/* A tuple of our own of what was given: other code cannot change it during the call. */
static PyObject *
fields_of(PyObject *given)
{
    if (!PyDict_Check(given)) {
        return PySequence_Tuple(given);
    }
    PyObject *flat = flattened(given);
    PyObject *fields = flat == NULL ? NULL : PyList_AsTuple(flat);
    Py_XDECREF(flat);
    return fields;
}

/* ---- Parsed JSON ----------------------------------------------------------------------------- */

/* The value of a string, or of {"base64": "..."}. */
static PyObject *
value_of(PyObject *parsed)
{
    if (PyUnicode_CheckExact(parsed)) {
        return Py_NewRef(parsed);
    }
    if (!PyDict_CheckExact(parsed)) {
        PyErr_Format(PyExc_TypeError, "%R is not a value", parsed);
        return NULL;
    }
    PyObject *encoded = PyMapping_GetItemString(parsed, "base64");
    Py_ssize_t length;
    const char *digits = encoded == NULL ? NULL : PyUnicode_AsUTF8AndSize(encoded, &length);
    PyObject *value = digits == NULL ? NULL : base64_decode(digits, length);
    if (value == Py_None) {
        Py_CLEAR(value);
        PyErr_Format(PyExc_ValueError, "%R is not base64", encoded);
    }
    Py_XDECREF(encoded);
    return value;
}

/* Replace what is parsed JSON by the values. */
static int
convert_values(PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *parsed = PyList_GET_ITEM(list, i);
        if (!PyUnicode_CheckExact(parsed)) {
            PyObject *value = value_of(parsed);
            if (value == NULL || PyList_SetItem(list, i, value) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* The names and values of pairs, in turns. */
static PyObject *
flattened_pairs(PyObject *list)
{
    PyObject *pairs = PyList_AsTuple(list);
    PyObject *flat = pairs == NULL ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; flat != NULL && i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        if (!PyList_CheckExact(pair) || PyList_GET_SIZE(pair) != 2) {
            PyErr_Format(PyExc_ValueError, "%R is not a pair", pair);
            Py_CLEAR(flat);
        }
        else if (PyList_SetSlice(flat, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, pair) < 0) {
            Py_CLEAR(flat);
        }
    }
    Py_XDECREF(pairs);
    return flat;
}

/* ---- Functions ------------------------------------------------------------------------------- */

PyDoc_STRVAR(json_string_doc,
"json_string($module, value, /)\n--\n\n"
"Return the JSON of bytes or a str: a string, or {\"base64\": \"...\"} of bytes that are not UTF-8.");

static PyObject *
json_string(PyObject *Py_UNUSED(module), PyObject *value)
{
    text out = {0};
    return finish(&out, add_value(&out, value));
}

PyDoc_STRVAR(json_fields_doc,
"json_fields($module, fields, /)\n--\n\n"
"Return the JSON of the reply to HGETALL, a list of names and values in turns or a dict: an object, or a list of\n"
"pairs if a name is not UTF-8.");

static PyObject *
json_fields(PyObject *Py_UNUSED(module), PyObject *given)
{
    PyObject *fields = fields_of(given);
    if (fields == NULL) {
        return NULL;
    }
    text out = {0};
    int status = add_object(&out, fields);
    if (status == 0) {
        out.length = 0;
        status = add_pairs(&out, fields);
    }
    Py_DECREF(fields);
    return finish(&out, status);
}

PyDoc_STRVAR(fields_from_json_doc,
"fields_from_json($module, parsed, /)\n--\n\n"
"Return the names and values, in turns, of what json_fields() has returned and json.loads() has parsed.\n\n"
"Raises TypeError, ValueError or KeyError if it is something else.");

static PyObject *
fields_from_json(PyObject *Py_UNUSED(module), PyObject *parsed)
{
    if (!PyDict_CheckExact(parsed) && !PyList_CheckExact(parsed)) {
        PyErr_Format(PyExc_TypeError, "%R has no fields", parsed);
        return NULL;
    }
    PyObject *fields = PyDict_CheckExact(parsed) ? flattened(parsed) : flattened_pairs(parsed);
    if (fields != NULL && convert_values(fields) < 0) {
        Py_CLEAR(fields);
    }
    return fields;
}

static PyMethodDef json_text_functions[] = {
    {"json_string", json_string, METH_O, json_string_doc},
    {"json_fields", json_fields, METH_O, json_fields_doc},
    {"fields_from_json", fields_from_json, METH_O, fields_from_json_doc},
    {NULL, NULL, 0, NULL},
};

int
json_text_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, json_text_functions);
}
