#include "counts.h"

#include "registry_call.h"
#include "type_methods.h"

const char get_job_count_doc[]
    = "get_job_count($self, /, cleanup=True)\n--\n\n"
      "Return the number of jobs in this registry, int.\n\n"
      "cleanup: whether to run this registry's cleanup first.\n"
      "One round trip, cleanup included. If RQ's own cleanup has work to do (abandoned or ready jobs), the round\n"
      "trips of that work are added.\n"
      "Raises redis.exceptions.RedisError.\n"
      "Source: rq.registry.BaseRegistry.get_job_count; Redis ZCARD.";

static call_outcome
count_jobs(fast_call *call, bool with_cleanup, PyObject **value)
{
    const key_command zcard = {.name = "ZCARD"};
    const reply_spec spec = {.shape = REPLY_INTEGER};
    cleanup_kind cleanup = with_cleanup ? fast_call_cleanup_kind(call) : CLEANUP_NOTHING;
    return cleanup == CLEANUP_UNKNOWN
               ? use_fallback_unless_raised()
               : fast_call_clean_and_run(call, cleanup, &zcard, &spec, value);
}

static call_outcome
get_job_count_fast(fast_call *call, const call_arguments *given, PyObject **value)
{
    PyObject *cleanup = NULL;
    if (!bind_arguments(given, &call->state->names.cleanup, 1, &cleanup)) {
        return CALL_FALLBACK;
    }
    int with_cleanup = truth_of_builtin(cleanup, true);
    return with_cleanup < 0 ? CALL_FALLBACK : count_jobs(call, with_cleanup, value);
}

DEFINE_METHOD(get_job_count, "get_job_count", METHOD_GET_JOB_COUNT, get_job_count_fast);

const char count_doc[] = "The number of jobs in this registry after its cleanup, int.\n\n"
                         "One round trip, cleanup included; see get_job_count.\n"
                         "Source: rq.registry.BaseRegistry.count.";

PyObject *
count_get(PyObject *self, void *closure)
{
    (void)closure;
    fast_call call;
    PyObject *value = NULL;
    call_outcome outcome = fast_call_begin(&call, self, METHOD_COUNT);
    if (outcome == CALL_DONE) {
        outcome = fast_call_reaches_rq(&call, call.state->names.get_job_count, METHOD_GET_JOB_COUNT)
                      ? count_jobs(&call, true, &value)
                      : use_fallback_unless_raised();
        fast_call_end(&call);
    }
    return outcome == CALL_FALLBACK ? fallback_getattr(self, NULL, "count") : value;
}

static PyObject *
length_by_rq(PyObject *self)
{
    PyObject *method = fallback_getattr(self, NULL, "__len__");
    PyObject *length = method == NULL ? NULL : PyObject_CallNoArgs(method);
    Py_XDECREF(method);
    return length;
}

/* As in RQ, len() is self.count, which a subclass may override. */
Py_ssize_t
registry_length(PyObject *self)
{
    core_state *state = core_state_of(Py_TYPE(self));
    type_methods methods;
    if (state == NULL || type_methods_of(state, Py_TYPE(self), &methods) < 0) {
        return -1;
    }
    PyObject *count = (methods.overridden & METHOD_LEN) != 0
                          ? PyObject_GetAttr(self, state->names.count)
                          : length_by_rq(self);
    if (count == NULL) {
        return -1;
    }
    /* Convert it as the interpreter converts what __len__() returns, with the same errors. */
    PyObject *index = PyNumber_Index(count);
    Py_DECREF(count);
    Py_ssize_t length = index == NULL ? -1 : PyNumber_AsSsize_t(index, PyExc_OverflowError);
    Py_XDECREF(index);
    if (length < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "__len__() should return >= 0");
    }
    return length;
}
