"""Connections of the core, in addition to those of a client's pool: how they are made, and closed with the pool.

Called by src/client_pool.c when it meets a pool, and opens or drops a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

from .packages import are_original, is_defined_by, is_set_on, package_of_connections
from .pools import RETRYING

# Arguments that belong to the running pool of redis-py 8, not to the way to connect (rq.connections lists the same).
RUNTIME_ARGUMENTS = (
    'event_dispatcher',
    'himport_registry',
    'maint_notifications_config',
    'maint_notifications_pool_handler',
    'orig_host_address',
    'orig_socket_connect_timeout',
    'orig_socket_timeout',
)
# By these a connection tells the server its name.
DRIVER_ARGUMENTS = frozenset({'driver_info', 'lib_name', 'lib_version'})


def describe_pool(pool: Any) -> tuple[str, bool, str] | None:
    """Return how the core must open connections like this pool's; None if it cannot.

    The answer is the name of the pool's exceptions module; whether it decodes replies; and the name of its attribute
    with the connections in use. After reset() that holds another object, and connections made before are forgotten.
    """
    package = package_of_connections(pool.connection_class)
    if package is None:
        return None
    # A pool of redis.asyncio.
    if iscoroutinefunction(pool.connection_class.connect):
        return None
    arguments = pool.connection_kwargs
    encoding = str(arguments.get('encoding') or 'utf-8').lower().replace('_', '-')
    if encoding not in ('utf-8', 'utf8') or (arguments.get('encoding_errors') or 'strict') != 'strict':
        return None
    # A connection that the pool does not know would not be closed with it.
    if not callable(getattr(pool, '_checkpid', None)) or _connections_in_use(pool) is None:
        return None
    # Client-side caching answers from memory what we would ask the server.
    if getattr(pool, 'cache', None) is not None:
        return None
    if arguments.get('socket_timeout') == 0:
        return None
    if not is_defined_by(package, arguments.get('parser_class')) or arguments.get('command_packer') is not None:
        return None
    if _asks_before_commands(package, arguments.get('retry')):
        return None
    # The client wants answers of the server retried, not only broken connections.
    exceptions = import_module(f'{package}.exceptions')
    broken = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
    retried = arguments.get('retry_on_error') or ()
    if not isinstance(retried, Iterable):
        return None
    if not all(isinstance(error, type) and issubclass(error, broken) for error in retried):
        return None
    return f'{package}.exceptions', bool(arguments.get('decode_responses')), _attribute_of_connections_in_use(pool)


def _asks_before_commands(package: str, retry: Any) -> bool:
    """Tell whether a Retry has its own way to make calls, as a circuit breaker has; ours are told of failures only."""
    # A patch of the package's own class is for examine_pool() to see, which sees that it is gone, too.
    definer = next((base for base in type(retry).__mro__ if not vars(base).keys().isdisjoint(RETRYING)), None)
    return retry is not None and (
        definer is None or not definer.__module__.startswith(f'{package}.') or is_set_on(retry, *RETRYING)
    )


def connection_arguments(pool: Any) -> tuple[type, dict[str, Any]]:
    """Return the class and the keyword arguments by which the pool makes its connections."""
    arguments = {
        name: value
        for name, value in pool.connection_kwargs.items()
        # redis-py 8 marks an argument that was not given with an object() of its own, known by its identity.
        if name not in RUNTIME_ARGUMENTS and type(value) is not object
    }
    if DRIVER_ARGUMENTS.isdisjoint(arguments):
        arguments |= _driver_of(pool.connection_class)
    return pool.connection_class, arguments


def _driver_of(connection_class: type) -> dict[str, Any]:
    """Return the `driver_info` that the connection would build itself, as a keyword argument.

    Without it redis-py 7 and newer read their version from the package's metadata once more for each connection, which
    takes longer than all the rest of connecting.
    """
    package = package_of_connections(connection_class)
    if package is None or not are_original(connection_class, package, ('__init__',), {}):
        return {}
    driver = _own_driver(package)
    return {} if driver is None else {'driver_info': driver}


@cache
def _own_driver(package: str) -> Any:
    """Return the client package's DriverInfo of itself; None where it has no such thing."""
    try:
        return import_module(f'{package}.driver_info').DriverInfo()
    except (ImportError, AttributeError):
        return None


def _connections_in_use(pool: Any) -> set[Any] | list[Any] | None:
    """Return where the pool keeps the connections that it has handed out: a set, or a blocking pool's list.

    None for a pool that is not redis-py's, which may have no such place.
    """
    in_use = getattr(pool, _attribute_of_connections_in_use(pool), None)
    return in_use if isinstance(in_use, set | list) else None


def _attribute_of_connections_in_use(pool: Any) -> str:
    return '_connections' if getattr(pool, '_in_use_connections', None) is None else '_in_use_connections'


def _lock_of(pool: Any) -> AbstractContextManager[Any]:
    # The blocking pool of redis-py 5 has none.
    return getattr(pool, '_lock', None) or nullcontext()


def register(pool: Any, connection: Any) -> set[Any] | list[Any] | None:
    """Enter our connection among those in use, so that closing the client, or its pool, closes it too.

    Returns these, None where the pool keeps no such connections. It takes no slot of the pool: its cap counts what it
    made itself.
    """
    # In a forked child the pool's lock may be held by a thread that is not there: the pool makes itself anew.
    check_process = getattr(pool, '_checkpid', None)
    if check_process is None:
        return None
    check_process()
    with _lock_of(pool):
        in_use = _connections_in_use(pool)
        if isinstance(in_use, set):
            in_use.add(connection)
        elif in_use is not None:
            in_use.append(connection)
    return in_use


def unregister(pool: Any, connection: Any) -> None:
    """Take our connection out again, unless the pool has forgotten it already."""
    with _lock_of(pool):
        in_use = _connections_in_use(pool)
        if in_use is not None and connection in in_use:
            in_use.remove(connection)
