/* Arbitrary arguments written through command.h: what is written must be RESP that says just these.

   An input is turned into arguments by additions() in reference.py. */
#include "host.h"

#include "command.h"
#include "raised.h"

#include <string.h>

#define RUNS_OF_A_LEAK 8

static PyObject *reference_additions;
static PyObject *reference_written;
static PyObject *reference_understood;

static void
add_object(command_buffer *commands, PyObject *value)
{
    if (!command_takes(value)) {
        host_fail("a %s is not taken", Py_TYPE(value)->tp_name);
    }
    command_add_object(commands, value);
}

/* Add an argument by the function that its kind names. */
static void
add(command_buffer *commands, PyObject *addition)
{
    const char *kind = PyUnicode_AsUTF8(PyTuple_GET_ITEM(addition, 0));
    PyObject *value = PyTuple_GET_ITEM(addition, 1);
    if (strcmp(kind, "text") == 0) {
        command_add_text(commands, PyBytes_AS_STRING(value));
    }
    else if (strcmp(kind, "bytes") == 0) {
        command_add_bytes(commands, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
    }
    else if (strcmp(kind, "integer") == 0) {
        command_add_integer(commands, PyLong_AsLongLong(value));
    }
    else if (strcmp(kind, "argument") == 0) {
        const command_argument argument = {.object = value};
        command_add_argument(commands, &argument);
    }
    else if (strcmp(kind, "argument text") == 0) {
        const command_argument argument = {.text = PyBytes_AS_STRING(value)};
        command_add_argument(commands, &argument);
    }
    else {
        add_object(commands, value);
    }
}

static void
write_all(command_buffer *buffer, PyObject *commands)
{
    command_init(buffer);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(commands); i++) {
        PyObject *command = PyList_GET_ITEM(commands, i);
        PyObject *arguments = PyTuple_GET_ITEM(command, 1);
        Py_ssize_t count = PyList_GET_SIZE(arguments);
        command_start(buffer, PyUnicode_AsUTF8(PyTuple_GET_ITEM(command, 0)), (int)count);
        for (Py_ssize_t j = 0; j < count; j++) {
            add(buffer, PyList_GET_ITEM(arguments, j));
        }
    }
}

static PyObject *
error_text(void)
{
    PyObject *error = PyErr_GetRaisedException();
    if (error == NULL) {
        host_fail("the commands failed, and no exception is set");
    }
    PyObject *text = PyUnicode_FromFormat("%s: %S", Py_TYPE(error)->tp_name, error);
    Py_DECREF(error);
    return text;
}

/* The commands that a server would find, or the text of the error. */
static PyObject *
outcome_of(PyObject *commands)
{
    command_buffer buffer;
    write_all(&buffer, commands);
    PyObject *outcome;
    if (command_check(&buffer) < 0) {
        outcome = error_text();
    }
    else if (PyErr_Occurred() || buffer.count != PyList_GET_SIZE(commands)) {
        host_fail("%d commands were started, or an exception is set", buffer.count);
    }
    else {
        outcome = PyObject_CallFunction(reference_understood, "y#", buffer.data,
                                        (Py_ssize_t)buffer.length);
    }
    command_clear(&buffer);
    if (outcome == NULL) {
        host_fail("what was written is not understood");
    }
    return outcome;
}

static void
require_nothing_left(PyObject *commands)
{
    Py_ssize_t before = host_references();
    for (int i = 0; i < RUNS_OF_A_LEAK; i++) {
        Py_DECREF(outcome_of(commands));
        Py_ssize_t after = host_references();
        if (after == before) {
            return;
        }
        before = after;
    }
    host_fail("references stay behind in each of %d runs", RUNS_OF_A_LEAK);
}

int
LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    (void)argument_count;
    (void)arguments;
    host_start();
    reference_additions = host_reference("additions");
    reference_written = host_reference("written");
    reference_understood = host_reference("understood");
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *commands
        = PyObject_CallFunction(reference_additions, "y#", (const char *)data, (Py_ssize_t)size);
    PyObject *expected = commands == NULL ? NULL : PyObject_CallOneArg(reference_written, commands);
    if (expected == NULL) {
        host_fail("the reference failed");
    }
    PyObject *outcome = outcome_of(commands);
    if (PyObject_RichCompareBool(expected, outcome, Py_EQ) != 1) {
        PySys_FormatStderr("expected %R\nfound    %R\n", expected, outcome);
        host_fail("other commands were written than were asked for");
    }
    Py_DECREF(outcome);
    Py_DECREF(expected);
    require_nothing_left(commands);
    Py_DECREF(commands);
    return 0;
}
