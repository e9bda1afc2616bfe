#include "entries.h"

#include <string.h>

/* The length of the job's part of an entry, when it is "job_id:execution_id" in ASCII; else -1. */
static Py_ssize_t
ascii_job_id_length(const char *entry, size_t length)
{
    const char *colon = memchr(entry, ':', length);
    if (colon == NULL) {
        return -1;
    }
    size_t job_id_length = (size_t)(colon - entry);
    bool has_another = memchr(colon + 1, ':', length - job_id_length - 1) != NULL;
    return has_another || !entry_is_ascii(entry, length) ? -1 : (Py_ssize_t)job_id_length;
}

/* Have RQ parse an entry. It may warn, raise, or return two ids. */
static PyObject *
parse_entry(PyObject *parse_composite_key, const char *entry, size_t length)
{
    PyObject *text = PyUnicode_DecodeUTF8(entry, (Py_ssize_t)length, NULL);
    if (text == NULL) {
        return NULL;
    }
    PyObject *ids = PyObject_CallOneArg(parse_composite_key, text);
    Py_DECREF(text);
    if (ids != NULL && !(PyTuple_Check(ids) && PyTuple_GET_SIZE(ids) == 2)) {
        PyErr_Format(PyExc_TypeError, "parse_composite_key() returned %R, not two ids", ids);
        Py_CLEAR(ids);
    }
    return ids;
}

PyObject *
entry_job_id(PyObject *parse_composite_key, const char *entry, size_t length)
{
    Py_ssize_t job_id_length = ascii_job_id_length(entry, length);
    if (job_id_length >= 0) {
        return PyUnicode_DecodeASCII(entry, job_id_length, NULL);
    }
    PyObject *ids = parse_entry(parse_composite_key, entry, length);
    if (ids == NULL) {
        return NULL;
    }
    PyObject *job_id = Py_NewRef(PyTuple_GET_ITEM(ids, 0));
    Py_DECREF(ids);
    return job_id;
}

PyObject *
entry_job_and_execution_id(PyObject *parse_composite_key, const char *entry, size_t length)
{
    Py_ssize_t job_id_length = ascii_job_id_length(entry, length);
    if (job_id_length < 0) {
        return parse_entry(parse_composite_key, entry, length);
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

int
entry_is_of_job(PyObject *parse_composite_key, const char *entry, size_t length, const char *job_id,
                size_t job_id_length)
{
    Py_ssize_t length_of_id = ascii_job_id_length(entry, length);
    if (length_of_id >= 0) {
        return (size_t)length_of_id == job_id_length && memcmp(entry, job_id, job_id_length) == 0;
    }
    PyObject *found = entry_job_id(parse_composite_key, entry, length);
    Py_ssize_t found_length = 0;
    const char *utf8 = found == NULL ? NULL : PyUnicode_AsUTF8AndSize(found, &found_length);
    int matches = utf8 == NULL ? -1
                               : (size_t)found_length == job_id_length
                                     && memcmp(utf8, job_id, job_id_length) == 0;
    Py_XDECREF(found);
    return matches;
}
