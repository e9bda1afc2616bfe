#include "clients.h"

PyObject *
clients_call(const char *function, PyObject *first, PyObject *second)
{
    PyObject *module = PyImport_ImportModule("rqreg_ext._clients");
    PyObject *callable = module == NULL ? NULL : PyObject_GetAttrString(module, function);
    PyObject *result
        = callable == NULL ? NULL : PyObject_CallFunctionObjArgs(callable, first, second, NULL);
    Py_XDECREF(callable);
    Py_XDECREF(module);
    return result;
}
