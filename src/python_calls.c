#include "python_calls.h"

static PyObject *
find_function(const char *module, const char *function)
{
    PyObject *name = PyUnicode_FromFormat("rqreg_ext._fastpath.%s", module);
    PyObject *imported = name == NULL ? NULL : PyImport_Import(name);
    PyObject *found = imported == NULL ? NULL : PyObject_GetAttrString(imported, function);
    Py_XDECREF(imported);
    Py_XDECREF(name);
    return found;
}

/* Steals the arguments, which may be NULL with an exception. */
static PyObject *
call_with(const char *module, const char *function, PyObject *arguments)
{
    PyObject *callable = arguments == NULL ? NULL : find_function(module, function);
    PyObject *result = callable == NULL ? NULL : PyObject_CallObject(callable, arguments);
    Py_XDECREF(callable);
    Py_XDECREF(arguments);
    return result;
}

PyObject *
call_fastpath(const char *module, const char *function, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    PyObject *arguments = Py_VaBuildValue(format, values);
    va_end(values);
    return call_with(module, function, arguments);
}

int
ask_fastpath(const char *module, const char *function, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    PyObject *arguments = Py_VaBuildValue(format, values);
    va_end(values);
    PyObject *answer = call_with(module, function, arguments);
    int truth = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return truth;
}
