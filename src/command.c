#include "command.h"

#include <string.h>

#define MAX_HEADER 32

static bool
reserve(command_buffer *commands, size_t more)
{
    if (commands->failed) {
        return false;
    }
    if (more <= commands->capacity - commands->length) {
        return true;
    }
    size_t capacity = commands->capacity;
    while (capacity - commands->length < more) {
        if (capacity > PY_SSIZE_T_MAX / 2) {
            goto no_memory;
        }
        capacity *= 2;
    }
    bool is_initial = commands->data == commands->initial;
    char *data = PyMem_Realloc(is_initial ? NULL : commands->data, capacity);
    if (data == NULL) {
        goto no_memory;
    }
    if (is_initial) {
        memcpy(data, commands->initial, commands->length);
    }
    commands->data = data;
    commands->capacity = capacity;
    return true;

no_memory:
    PyErr_NoMemory();
    commands->failed = true;
    return false;
}

static void
append(command_buffer *commands, const char *bytes, size_t length)
{
    memcpy(commands->data + commands->length, bytes, length);
    commands->length += length;
}

/* The decimal digits of a number, written backwards from `end`; returns where they begin. */
static char *
write_digits(char *end, unsigned long long number)
{
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return end;
}

/* "*3\r\n" or "$12\r\n" */
static void
append_header(command_buffer *commands, char type, size_t number)
{
    char header[MAX_HEADER];
    char *end = header + sizeof header;
    *--end = '\n';
    *--end = '\r';
    char *begin = write_digits(end, number);
    *--begin = type;
    append(commands, begin, (size_t)(header + sizeof header - begin));
}

void
command_init(command_buffer *commands)
{
    commands->data = commands->initial;
    commands->length = 0;
    commands->capacity = sizeof commands->initial;
    commands->count = 0;
    commands->failed = false;
}

void
command_clear(command_buffer *commands)
{
    if (commands->data != commands->initial) {
        PyMem_Free(commands->data);
    }
    command_init(commands);
}

void
command_start(command_buffer *commands, const char *name, int argument_count)
{
    if (!reserve(commands, MAX_HEADER)) {
        return;
    }
    append_header(commands, '*', (size_t)argument_count + 1);
    commands->count++;
    command_add_text(commands, name);
}

void
command_add_bytes(command_buffer *commands, const char *bytes, size_t length)
{
    if (!reserve(commands, length + MAX_HEADER + 2)) {
        return;
    }
    append_header(commands, '$', length);
    append(commands, bytes, length);
    append(commands, "\r\n", 2);
}

void
command_add_text(command_buffer *commands, const char *text)
{
    command_add_bytes(commands, text, strlen(text));
}

void
command_add_integer(command_buffer *commands, long long value)
{
    char digits[MAX_HEADER];
    char *end = digits + sizeof digits;
    unsigned long long magnitude
        = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    char *begin = write_digits(end, magnitude);
    if (value < 0) {
        *--begin = '-';
    }
    command_add_bytes(commands, begin, (size_t)(end - begin));
}

static void
add_str(command_buffer *commands, PyObject *text)
{
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 == NULL) {
        commands->failed = true;
        return;
    }
    command_add_bytes(commands, utf8, (size_t)length);
}

static void
add_repr(command_buffer *commands, PyObject *value)
{
    PyObject *text = PyObject_Repr(value);
    if (text == NULL) {
        commands->failed = true;
        return;
    }
    add_str(commands, text);
    Py_DECREF(text);
}

static void
add_int(command_buffer *commands, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) {
        add_repr(commands, value);
    }
    else {
        command_add_integer(commands, number);
    }
}

void
command_add_object(command_buffer *commands, PyObject *value)
{
    if (commands->failed) {
        return;
    }
    if (PyUnicode_Check(value)) {
        add_str(commands, value);
    }
    else if (PyBytes_Check(value)) {
        command_add_bytes(commands, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
    }
    else if (PyLong_CheckExact(value)) {
        add_int(commands, value);
    }
    else {
        add_repr(commands, value);
    }
}

void
command_add_argument(command_buffer *commands, const command_argument *argument)
{
    if (argument->text != NULL) {
        command_add_text(commands, argument->text);
    }
    else {
        command_add_object(commands, argument->object);
    }
}

bool
command_takes(PyObject *value)
{
    return PyUnicode_CheckExact(value) || PyBytes_CheckExact(value) || PyLong_CheckExact(value)
           || PyFloat_CheckExact(value);
}

int
command_add_words(command_buffer *commands, PyObject *words, Py_ssize_t first)
{
    const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(words, first));
    if (name == NULL) {
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(words) - first - 1;
    command_start(commands, name, (int)count);
    for (Py_ssize_t i = 1; i <= count; i++) {
        PyObject *argument = PyTuple_GET_ITEM(words, first + i);
        if (!command_takes(argument)) {
            PyErr_Format(PyExc_TypeError,
                         "argument %zd of %s is %R, not a str, bytes, int or float", i, name,
                         argument);
            return -1;
        }
        command_add_object(commands, argument);
    }
    return command_check(commands);
}

int
command_check(const command_buffer *commands)
{
    return commands->failed ? -1 : 0;
}
