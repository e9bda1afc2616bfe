/* Python objects made of an entry of a registry: a job id, or "job_id:execution_id".

   Entries in ASCII with one colon are cut here. All others are left to RQ's parse_composite_key(),
   which is called with the entry as str: it may warn, raise ValueError, or return ids. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Eight bytes at a time, as this is checked for every id. */
static inline bool
entry_is_ascii(const char *text, size_t length)
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

/* The entry as str; UnicodeDecodeError if it is not UTF-8. Nearly all entries are ASCII, and are
   copied without a look at each character. Inline, as a call for each id takes 2% of a long
   listing. */
static inline PyObject *
entry_text(const char *entry, size_t length)
{
    if (length == 0 || !entry_is_ascii(entry, length)) {
        return PyUnicode_DecodeUTF8(entry, (Py_ssize_t)length, NULL);
    }
    PyObject *object = PyUnicode_New((Py_ssize_t)length, 127);
    if (object != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(object), entry, length);
    }
    return object;
}

/* The job id of a "job_id:execution_id". */
PyObject *entry_job_id(PyObject *parse_composite_key, const char *entry, size_t length);
/* Both ids, a tuple. */
PyObject *entry_job_and_execution_id(PyObject *parse_composite_key, const char *entry,
                                     size_t length);
/* Whether a "job_id:execution_id" is of this job (in UTF-8): 1, 0, or -1 with an exception. Makes
   no object of an entry that is cut here. */
int entry_is_of_job(PyObject *parse_composite_key, const char *entry, size_t length,
                    const char *job_id, size_t job_id_length);
