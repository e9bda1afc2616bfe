"""What the core must know of a redis-py (or valkey-py) client before it uses connections of its own.

Called by the core once per client type, pool or connection, never per call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any

# The commands that RQ's registries send. A client class with its own version of one is asked, not bypassed.
COMMANDS = (
    'parse_response',
    'pipeline',
    'eval',
    'evalsha',
    'zcard',
    'zrange',
    'zrangebyscore',
    'zrem',
    'zremrangebyscore',
    'zrevrange',
    'zscore',
)
# How a connection sends and reads. A connection class with its own way of it is asked, not bypassed.
EXCHANGES = ('send_packed_command', 'read_response')
PACKAGES = ('redis', 'valkey')

# What belongs to the running pool of redis-py 8, not to the way to connect (rq.connections says the same).
RUNTIME_ARGUMENTS = (
    'event_dispatcher',
    'himport_registry',
    'maint_notifications_config',
    'maint_notifications_pool_handler',
    'orig_host_address',
    'orig_socket_connect_timeout',
    'orig_socket_timeout',
)

# What a connection calls itself to the server.
DRIVER_ARGUMENTS = frozenset({'driver_info', 'lib_name', 'lib_version'})

_clients_by_url: dict[str, Any] = {}


def _package_of(function: Any) -> str | None:
    """Return the client package that the function was defined in, whatever its __module__ claims."""
    if type(function) is not FunctionType:
        return None
    package: str = function.__globals__.get('__name__', '').partition('.')[0]
    return package if package in PACKAGES else None


def sends_plainly(client: Any) -> bool:
    """Tell whether the client sends the registries' commands as redis-py's own client class does.

    Not if its class, or somebody who instruments it, put something of theirs in the way.
    """
    if any(name in vars(client) for name in COMMANDS):
        return False
    function = client.execute_command.__func__
    package = _package_of(function)
    if package is None or function.__qualname__ not in ('Redis.execute_command', 'Valkey.execute_command'):
        return False
    return all(_package_of(getattr(type(client), name, None)) == package for name in COMMANDS)


def _package_of_connections(connection_class: type) -> str | None:
    """Return the client package that a connection class comes from, by the base that all of them share."""
    packages = [c.__module__.partition('.')[0] for c in connection_class.__mro__ if c.__name__ == 'AbstractConnection']
    return packages[0] if packages and packages[0] in PACKAGES else None


def admit(pool: Any) -> tuple[str, bool] | None:
    """Return the name of the pool's exceptions module and whether it decodes replies.

    None for a pool whose connections we cannot take over.
    """
    connection_class = pool.connection_class
    package = _package_of_connections(connection_class)
    if package is None:
        return None
    if not all(_package_of(getattr(connection_class, name, None)) == package for name in EXCHANGES):
        return None
    arguments = pool.connection_kwargs
    encoding = str(arguments.get('encoding') or 'utf-8').lower().replace('_', '-')
    if encoding not in ('utf-8', 'utf8') or (arguments.get('encoding_errors') or 'strict') != 'strict':
        return None
    # Client-side caching answers from memory what we would ask the server.
    if getattr(pool, 'cache', None) is not None:
        return None
    if arguments.get('socket_timeout') == 0:
        return None
    # The client wants answers of the server retried, not only broken connections.
    exceptions = import_module(f'{package}.exceptions')
    broken = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
    if not all(issubclass(error, broken) for error in arguments.get('retry_on_error') or ()):
        return None
    return f'{package}.exceptions', bool(arguments.get('decode_responses'))


def connection_arguments(pool: Any) -> tuple[type, dict[str, Any]]:
    """Return the class and the keyword arguments by which the pool makes its connections."""
    arguments = {
        name: value
        for name, value in pool.connection_kwargs.items()
        # redis-py 8 marks what was not given with an object() of its own, known by its identity.
        if name not in RUNTIME_ARGUMENTS and type(value) is not object
    }
    if DRIVER_ARGUMENTS.isdisjoint(arguments):
        arguments |= _driver_of(pool.connection_class)
    return pool.connection_class, arguments


def _driver_of(connection_class: type) -> dict[str, Any]:
    """Return the argument by which a connection calls itself to the server what it would call itself anyway.

    Without it redis-py 7 and newer read their version from the package's metadata once more for each connection, which
    takes longer than all the rest of connecting.
    """
    package = _package_of_connections(connection_class)
    if package is None or _package_of(connection_class.__init__) != package:  # type: ignore[misc]
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


def _connections_in_use(pool: Any) -> Any:
    """Return where the pool keeps the connections that it has handed out: a set, or a blocking pool's list."""
    in_use = getattr(pool, '_in_use_connections', None)
    return getattr(pool, '_connections', None) if in_use is None else in_use


def _lock_of(pool: Any) -> AbstractContextManager[Any]:
    # The blocking pool of redis-py 5 has none.
    return getattr(pool, '_lock', None) or nullcontext()


def register(pool: Any, connection: Any) -> None:
    """Enter our connection among those in use, so that closing the client, or its pool, closes it too.

    It takes no slot of the pool: its cap counts what it made itself.
    """
    # In a forked child the pool's lock may be held by a thread that is not there: the pool makes itself anew.
    pool._checkpid()
    with _lock_of(pool):
        in_use = _connections_in_use(pool)
        if isinstance(in_use, set):
            in_use.add(connection)
        elif isinstance(in_use, list):
            in_use.append(connection)


def unregister(pool: Any, connection: Any) -> None:
    """Take our connection out again, unless the pool has forgotten it already."""
    with _lock_of(pool):
        in_use = _connections_in_use(pool)
        if in_use is not None and connection in in_use:
            in_use.remove(connection)


def retry_of(connection: Any) -> tuple[Any, Callable[[Exception], None]]:
    """Return the Retry of a connection that failed, and what it is to call on each failure.

    redis-py 5 (and valkey-py) tries again only what `retry_on_error` names; redis-py 6 whatever its Retry takes.
    """
    package = import_module(_package_of_connections(type(connection)) or PACKAGES[0])
    client_class = getattr(package, 'Valkey', None) or package.Redis
    named = tuple(connection.retry_on_error or ()) if hasattr(client_class, '_disconnect_raise') else (Exception,)

    def on_failure(error: Exception) -> None:
        if not isinstance(error, named):
            raise error

    return connection.retry, on_failure


def reading_error(connection: Any, arguments: Any) -> str:
    """Return the client's words for an OSError of these arguments while reading; its parser has a say in them."""
    if type(connection._parser).__module__.endswith('.hiredis'):
        return f'Error while reading from socket: {arguments}'
    return f'Error while reading from {connection._host_error()} : {arguments}'


def is_demoted(connection: Any, error: Exception) -> bool:
    """Tell whether a read-only answer says that this connection's Sentinel master is one no more."""
    pool = getattr(connection, 'connection_pool', None)
    return type(error).__name__ == 'ReadOnlyError' and getattr(pool, 'is_master', False) is True


def client_of(url: str) -> Any:
    """Return the redis-py client of a URL, the same one for the same URL in this process."""
    client = _clients_by_url.get(url)
    if client is None:
        import redis

        try:
            client = redis.Redis.from_url(url)
        except ValueError as error:
            raise ValueError(
                f'connection={url!r} is no URL that redis-py takes ({error}); '
                'give one like redis://localhost:6379/0, or a client'
            ) from error
        client = _clients_by_url.setdefault(url, client)
    return client


def is_broken_connection(error: Exception) -> bool:
    """Tell whether this is a client's error of its connection, not the server's answer to one command."""
    return any(
        owner.__name__ in ('ConnectionError', 'TimeoutError') and owner.__module__.partition('.')[0] in PACKAGES
        for owner in type(error).__mro__
    )


def client_from(connection: Any) -> Any:
    """Return the client that a `connection` argument names: a client itself, or a URL."""
    if isinstance(connection, str):
        return client_of(connection)
    execute = getattr(connection, 'execute_command', None)
    if execute is None or iscoroutinefunction(execute):
        raise TypeError(
            f'connection={connection!r} is no client to ask: give one of redis-py (not of redis.asyncio), '
            'or a URL like redis://localhost:6379/0'
        )
    return connection


def are_of_one_database(client: Any, other: Any) -> bool:
    """Tell whether two clients talk to the same database, by what they are configured with."""
    if client is other:
        return True
    place = _place_of(client)
    return place is not None and place == _place_of(other)


def _place_of(client: Any) -> tuple[Any, ...] | None:
    pool = getattr(client, 'connection_pool', None)
    arguments = getattr(pool, 'connection_kwargs', None)
    if not isinstance(arguments, dict):
        return None
    path, host, port = (arguments.get(name) for name in ('path', 'host', 'port'))
    # A Sentinel's client has the name of a service instead of a host; a fake one may have a server of its own.
    service, server = getattr(pool, 'service_name', None), arguments.get('server')
    address = path or (host or 'localhost', int(port or 6379))
    return address, int(arguments.get('db') or 0), service, id(server) if server is not None else None
