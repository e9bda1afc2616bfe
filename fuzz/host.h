/* The Python that a fuzz target runs in: started once, with an account of the memory that it takes.

   A target defines LLVMFuzzerInitialize and LLVMFuzzerTestOneInput; libFuzzer's main() calls them,
   or the one in replay.c. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Start Python; every block it takes from now on is one of malloc's, which sanitizers watch. */
void host_start(void);
/* A new reference to a function of reference.py. */
PyObject *host_reference(const char *name);

/* What grows with each leaked reference: live blocks, and references to the objects that are never
   freed. */
Py_ssize_t host_references(void);
/* The most bytes that were live at once since host_watch_memory(), above those that were live
   then. */
void host_watch_memory(void);
size_t host_memory_peak(void);

/* End with the message, and with the exception that is set: what every fuzzer takes for a
   finding. */
_Noreturn void host_fail(const char *format, ...);
