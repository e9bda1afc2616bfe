/* What the core asks of a connection object of redis-py's. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Make one by its class and keyword arguments. It is not connected yet. */
PyObject *redis_connection_new(PyObject *connection_class, PyObject *connection_kwargs);
/* Its socket, a new reference; NULL without an exception where it has none, or one that is no
   socket.socket. */
PyObject *redis_connection_socket(PyObject *redis_connection);
/* Whether this object turns commands into bytes as redis-py does; a class or a function of the
   program may do otherwise. 1, 0, or -1 with an exception. */
int redis_connection_writes_as_original(PyObject *redis_connection);
/* After how many idle seconds it is to be tried by a PING before it is used; 0: never. -1 with an
   exception. */
int redis_connection_health_check_interval(PyObject *redis_connection, double *seconds);
/* Whether the server's error means that the Sentinel's master, which this was connected to, is no
   longer the master: 1, 0, or -1 with an exception. redis-py then has its Retry connect to the new
   one. */
int redis_connection_is_demoted_master(PyObject *redis_connection, PyObject *error);
