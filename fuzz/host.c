#include "host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __APPLE__
#include <malloc/malloc.h>
#define block_size malloc_size
#else
#include <malloc.h>
#define block_size malloc_usable_size
#endif

static struct {
    Py_ssize_t blocks;
    size_t bytes;
    size_t bytes_at_start;
    size_t peak;
} account;

static PyMemAllocatorEx underneath[3];

/* ---- The account of Python's memory ----------------------------------------------------------- */

static void *
enter(void *block)
{
    if (block != NULL) {
        account.blocks++;
        account.bytes += block_size(block);
        account.peak = account.bytes > account.peak ? account.bytes : account.peak;
    }
    return block;
}

static void
strike(void *block)
{
    if (block != NULL) {
        account.blocks--;
        account.bytes -= block_size(block);
    }
}

static void *
counted_malloc(void *context, size_t size)
{
    PyMemAllocatorEx *allocator = context;
    return enter(allocator->malloc(allocator->ctx, size));
}

static void *
counted_calloc(void *context, size_t count, size_t size)
{
    PyMemAllocatorEx *allocator = context;
    return enter(allocator->calloc(allocator->ctx, count, size));
}

static void *
counted_realloc(void *context, void *block, size_t size)
{
    PyMemAllocatorEx *allocator = context;
    size_t before = block == NULL ? 0 : block_size(block);
    void *moved = allocator->realloc(allocator->ctx, block, size);
    if (moved != NULL && block != NULL) {
        account.blocks--;
        account.bytes -= before;
    }
    return enter(moved);
}

static void
counted_free(void *context, void *block)
{
    PyMemAllocatorEx *allocator = context;
    strike(block);
    allocator->free(allocator->ctx, block);
}

static void
count_allocations(void)
{
    static const PyMemAllocatorDomain domains[]
        = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++) {
        PyMem_GetAllocator(domains[i], &underneath[i]);
        PyMemAllocatorEx counting
            = {&underneath[i], counted_malloc, counted_calloc, counted_realloc, counted_free};
        PyMem_SetAllocator(domains[i], &counting);
    }
}

Py_ssize_t
host_references(void)
{
    return account.blocks + Py_REFCNT(Py_None) + Py_REFCNT(Py_True) + Py_REFCNT(Py_False);
}

void
host_watch_memory(void)
{
    account.bytes_at_start = account.bytes;
    account.peak = account.bytes;
}

size_t
host_memory_peak(void)
{
    return account.peak - account.bytes_at_start;
}

/* ---- Python ------------------------------------------------------------------------------------ */

static void
require(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

void
host_start(void)
{
    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    before.utf8_mode = 1;
    before.use_environment = 0;
    require(Py_PreInitialize(&before));
    count_allocations();

    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.use_environment = 0;
    config.site_import = 0;
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    require(PyConfig_SetBytesString(&config, &config.program_name, FUZZ_PYTHON));
    require(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    PyObject *path = PySys_GetObject("path");
    PyObject *root = PyUnicode_DecodeFSDefault(FUZZ_ROOT);
    if (path == NULL || root == NULL || PyList_Insert(path, 0, root) < 0) {
        host_fail("the checkout cannot be put on sys.path");
    }
    Py_DECREF(root);
}

PyObject *
host_reference(const char *name)
{
    PyObject *module = PyImport_ImportModule("fuzz.reference");
    PyObject *function = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    if (function == NULL) {
        host_fail("fuzz.reference has no %s", name);
    }
    Py_DECREF(module);
    return function;
}

void
host_fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    if (PyErr_Occurred()) {
        PyErr_Print();
    }
    fflush(stderr);
    abort();
}
