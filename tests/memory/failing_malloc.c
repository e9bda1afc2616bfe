/* Preloaded into a Python that runs with PYTHONMALLOC=malloc: makes one allocation of one call fail, or, in the
   core, that and all after it, and counts the blocks that are alive.

   It stands in front of the C library's malloc, so that whatever was shipped is what is tested: CPython's
   allocations, hiredis's and the core's own alike. Only the thread inside failing_call() is concerned. */
#define _GNU_SOURCE
#include <Python.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FRAMES 96
#define THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

/* glibc's own names: no dlsym, which allocates itself. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static atomic_long live_blocks;

static THREAD_LOCAL bool armed;
static THREAD_LOCAL bool looking; /* inside backtrace() */
static THREAD_LOCAL long calls;   /* allocations since the call began */
static THREAD_LOCAL long first;   /* the number of the first one to fail */
static THREAD_LOCAL bool only_once;

/* Of the last failing_call(); one thread at a time makes one. */
static long failed;
static void *frames[MAX_FRAMES]; /* of the first failure */
static int frame_count;

/* Whether the core, or C code that it called, failed first; not Python code, be it called by the core. */
static bool
is_in_core(void)
{
    for (int i = 0; i < frame_count; i++) {
        Dl_info info;
        if (dladdr(frames[i], &info) == 0 || info.dli_fname == NULL) {
            continue;
        }
        if (strstr(info.dli_fname, "/_core.") != NULL) {
            return true;
        }
        if (info.dli_sname != NULL && strcmp(info.dli_sname, "_PyEval_EvalFrameDefault") == 0) {
            return false;
        }
    }
    return false;
}

static bool
must_fail(void)
{
    if (!armed || looking) {
        return false;
    }
    calls++;
    if (only_once ? calls != first : calls < first) {
        return false;
    }
    if (failed++ == 0) {
        looking = true;
        frame_count = backtrace(frames, MAX_FRAMES);
        /* A handler in Python code that finds no memory makes CPython 3.11 raise in it for ever. */
        only_once = only_once || !is_in_core();
        looking = false;
    }
    return true;
}

static void *
counted(void *block)
{
    if (block != NULL && !looking) {
        atomic_fetch_add(&live_blocks, 1);
    }
    return block;
}

void *
malloc(size_t size)
{
    return must_fail() ? NULL : counted(__libc_malloc(size));
}

void *
calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : counted(__libc_calloc(count, size));
}

void *
realloc(void *block, size_t size)
{
    if (must_fail()) {
        return NULL;
    }
    void *moved = __libc_realloc(block, size);
    return block == NULL ? counted(moved) : moved;
}

void *
reallocarray(void *block, size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : realloc(block, total);
}

void
free(void *block)
{
    if (block != NULL && !looking) {
        atomic_fetch_sub(&live_blocks, 1);
    }
    __libc_free(block);
}

/* ---- For the program, by ctypes ------------------------------------------------------------------ */

/* Call without arguments, with the allocation number `number` (from 1 on) failing, and all later ones
   if that is one of the core, unless `once`. 0: none fails. Returns what the call returns. */
PyObject *
failing_call(PyObject *callable, long number, int once)
{
    calls = 0;
    failed = 0;
    frame_count = 0;
    first = number;
    only_once = once;
    armed = number > 0;
    PyObject *result = PyObject_CallNoArgs(callable);
    armed = false;
    return result;
}

/* How many allocations failed in the last failing_call(). */
long
failures(void)
{
    return failed;
}

long
blocks_alive(void)
{
    return atomic_load(&live_blocks);
}

/* The frames of the first failure, innermost first, written as "file offset" a line. */
static int
write_frames(char *text, size_t size, void *const *from, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        Dl_info info;
        if (dladdr(from[i], &info) == 0 || info.dli_fname == NULL) {
            continue;
        }
        const char *name = info.dli_sname == NULL ? "?" : info.dli_sname;
        unsigned long offset = (unsigned long)((char *)from[i] - (char *)info.dli_fbase);
        int added
            = snprintf(text + length, size - length, "%s 0x%lx %s\n", info.dli_fname, offset, name);
        if (added < 0 || (size_t)added >= size - length) {
            break;
        }
        length += (size_t)added;
    }
    return (int)length;
}

int
failure_stack(char *text, size_t size)
{
    return write_frames(text, size, frames, frame_count);
}

/* ---- Crashes and hangs --------------------------------------------------------------------------- */

static char told[1 << 15];

static void
tell_frames(const char *title, void *const *from, int count)
{
    int length = write_frames(told, sizeof told, from, count);
    (void)!write(STDERR_FILENO, title, strlen(title));
    (void)!write(STDERR_FILENO, told, (size_t)length);
}

/* Where the program was, and where the allocation failed, onto the standard error; then it ends as it would have. */
static void
tell_end(int number)
{
    static void *here[MAX_FRAMES];
    armed = false;
    looking = true;
    tell_frames("failure:\n", frames, frame_count);
    tell_frames("end:\n", here, backtrace(here, MAX_FRAMES));
    signal(number, SIG_DFL);
    raise(number);
}

/* On a crash, or the alarm that ends a hang. */
void
watch_end(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGALRM};
    static char stack[1 << 17];
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = tell_end, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaltstack(&alternative, NULL);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], &action, NULL);
    }
    /* Its first use loads a library. */
    void *here[2];
    backtrace(here, 2);
}
