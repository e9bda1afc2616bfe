#include "connection_type.h"

#include "connection.h"
#include "connection_struct.h"
#include "raised.h"
#include "threads.h"

/* End the wait of the call that uses the connection, unless it has left the socket. */
static void
shut_down(core_connection *self)
{
    Py_BEGIN_CRITICAL_SECTION(self);
    if (self->io.fd >= 0) {
        transport_shut_down(&self->io);
    }
    Py_END_CRITICAL_SECTION();
}

/* While a call uses the connection, only end its wait on the socket: the call then closes it. If
   the socket were closed here, its number could become another file's while the call, or redis-py's
   connect(), still uses it. */
static PyObject *
disconnect(core_connection *self, PyObject *args, PyObject *kwargs)
{
    self->needs_reconnect = true;
    bool is_ours = connection_claim(self);
    if (!is_ours && !connection_is_inherited(self)) {
        shut_down(self);
        Py_RETURN_NONE;
    }
    if (is_ours) {
        connection_release_socket(self);
    }
    PyObject *method = PyObject_GetAttrString(self->redis_connection, "disconnect");
    PyObject *result = method == NULL ? NULL : PyObject_Call(method, args, kwargs);
    Py_XDECREF(method);
    if (is_ours) {
        connection_unclaim(self);
    }
    return result;
}

static PyObject *
mark_for_reconnect(core_connection *self, PyObject *Py_UNUSED(ignored))
{
    self->needs_reconnect = true;
    Py_RETURN_NONE;
}

static PyObject *
set_re_auth_token(core_connection *self, PyObject *token)
{
    /* A forked child sends nothing on its parent's connection, and its pool drops it when it is
       used. */
    if (connection_is_inherited(self)) {
        Py_RETURN_NONE;
    }
    PyObject *kept = PyObject_CallMethod(self->redis_connection, "set_re_auth_token", "O", token);
    if (kept == NULL) {
        return NULL;
    }
    self->has_renewed_credentials = true;
    if (connection_claim(self)) {
        if (connection_settle(self) < 0) {
            (void)connection_disconnect(self);
            Py_CLEAR(kept);
        }
        connection_unclaim(self);
    }
    return kept;
}

static PyObject *
get_attribute(core_connection *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr((PyObject *)self, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        value = PyObject_GetAttr(self->redis_connection, name);
    }
    return value;
}

static int
set_attribute(core_connection *self, PyObject *name, PyObject *value)
{
    return PyObject_SetAttr(self->redis_connection, name, value);
}

static int
connection_traverse(core_connection *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->redis_connection);
    return transport_traverse(&self->io, visit, arg);
}

/* redis-py's object closes its socket when it is freed. Its methods are not called: at the
   interpreter's end they may not work. */
static void
connection_dealloc(core_connection *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject *error = PyErr_GetRaisedException();
    transport_release(&self->io);
    reply_reader_free(self->reader);
    Py_CLEAR(self->redis_connection);
    PyErr_SetRaisedException(error);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(disconnect_doc,
"disconnect($self, /, *args, **kwargs)\n--\n\n"
"Close the socket, or end the wait of the call that uses it, which then closes it.");

PyDoc_STRVAR(mark_for_reconnect_doc,
"mark_for_reconnect($self, /)\n--\n\n"
"Connect anew before the next call.");

PyDoc_STRVAR(set_re_auth_token_doc,
"set_re_auth_token($self, token, /)\n--\n\n"
"Send the new credentials before the next command: now, if no call uses the connection.");

static PyMethodDef connection_methods[] = {
    {"disconnect", (PyCFunction)(void (*)(void))disconnect, METH_VARARGS | METH_KEYWORDS,
     disconnect_doc},
    {"mark_for_reconnect", (PyCFunction)mark_for_reconnect, METH_NOARGS, mark_for_reconnect_doc},
    {"set_re_auth_token", (PyCFunction)set_re_auth_token, METH_O, set_re_auth_token_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot connection_slots[] = {
    {Py_tp_methods, connection_methods}, {Py_tp_getattro, get_attribute},
    {Py_tp_setattro, set_attribute},     {Py_tp_traverse, connection_traverse},
    {Py_tp_dealloc, connection_dealloc}, {0, NULL},
};

static PyType_Spec connection_spec = {
    .name = "rqreg_ext._core.Connection",
    .basicsize = sizeof(core_connection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = connection_slots,
};

int
connection_setup_type(PyObject *module, core_state *state)
{
    state->connection_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &connection_spec, NULL);
    return state->connection_type == NULL ? -1 : 0;
}
