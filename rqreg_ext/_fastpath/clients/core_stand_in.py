"""The Python part of sending the commands of wrapped clients on connections of the core's.

src/stand_in.c and src/wrapped_call.c call most of it. The connection that redis-py's own methods are given then, and
the way back to a connection of the client's, are also those of stand_ins.py and watching.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq import registry

from ... import _core
from .by_methods import Words, call_or_error
from .core_connections import connection_arguments
from .errors import is_broken_connection, is_job_timeout, retry_of
from .kinds import Observations, is_measured
from .session import get_connection


def make_stand_in_class(client: Any, observations: Observations) -> type | None:
    """Return the class of objects that stand in for such a client, and send by the core; None if there can be none."""
    try:
        make = _as_rq if observations.is_as_rq else _core_stand_in
        observations.stand_in_class = make(type(client))
    except MemoryError:
        raise
    except Exception as error:
        if is_job_timeout(error):
            raise
        observations.is_opaque = True
    return observations.stand_in_class


class CoreConnection:
    """Passed to redis-py's own method as the connection of a stand-in whose commands the core sends.

    It makes one attempt, since the core asks the client's Retry, and measures it as one to the client's server.
    """

    def __init__(self, stand_in: Any) -> None:
        self.stand_in = stand_in
        pool = stand_in.connection_pool
        arguments = pool.connection_kwargs
        configured = arguments.get('host', 'localhost'), arguments.get('port')
        address: Any = getattr(pool, 'master_address', None) or configured
        is_socket = 'path' in arguments
        self.db = arguments.get('db') or 0
        self.retry = self
        self.host = None if is_socket else address[0]
        self.port = None if is_socket else int(address[1] or 6379)

    def call_with_retry(self, attempt: Callable[[], Any], on_failure: object, **options: Any) -> Any:
        """Make the one attempt."""
        return attempt()

    def should_reconnect(self) -> bool:
        """Tell redis-py that there is nothing to do for it."""
        return False


def _core_stand_in(client_class: Any) -> type:
    namespace: dict[str, Any] = {}
    innermost = getattr(client_class, '_execute_command', None)
    if innermost is None or is_measured(client_class):
        # redis-py's own method asks for a connection, and measures how long it has it.
        namespace = {'connection': property(CoreConnection)}
        if innermost is not None:
            namespace['_execute_command'] = innermost
    return named_as(client_class, type(client_class)(client_class.__name__, (_core.StandIn, client_class), namespace))


def _as_rq(client_class: Any) -> type:
    """Return the class of objects by which each command goes as by the client itself, but for who sends it."""
    if any(vars(base).get('__slots__') for base in client_class.__mro__):
        raise TypeError(f'{client_class} has attributes that an object in its place would not share')
    namespace: dict[str, Any] = {
        'execute_command': _core.StandIn._rqreg_ext_execute,
        # The client's own, among its attributes.
        'response_callbacks': None,
    }
    innermost = getattr(client_class, '_execute_command', None)
    if innermost is None:
        namespace |= {'connection': property(CoreConnection), '_rqreg_ext_send': _send_by_client}
    else:
        send = client_class._send_command_parse_response
        namespace |= {'_rqreg_ext_send': innermost, '_send_command_parse_response': send}
    return named_as(client_class, type(client_class)(client_class.__name__, (_core.StandIn, client_class), namespace))


def _send_by_client(stand_in: Any, connection: Any, name: Any, *words: Any, **options: Any) -> Any:
    """Send what arrived as redis-py's own method does: on a connection of the client's, if it has been given none."""
    send = super(_core.StandIn, stand_in)._send_command_parse_response
    if not isinstance(connection, CoreConnection):
        return send(connection, name, *words, **options)
    return by_own_connection(stand_in.connection_pool, name, lambda found: send(found, name, *words, **options))


# What RQ's methods make of entries that a client returned, whatever these are.
_names_of_rq = vars(registry)


def job_ids_by_rq(of_registry: Any, entries: Any) -> list[Any]:
    """Return the job ids, as a registry of RQ's."""
    parse = getattr(of_registry, 'parse_job_id', None) or _names_of_rq['as_text']
    return [parse(entry) for entry in entries]


def executions_by_rq(entries: Any) -> list[Any]:
    """Return the job ids and execution ids."""
    return [_names_of_rq['parse_composite_key'](_names_of_rq['as_text'](entry)) for entry in entries]


def has_job_by_rq(of_registry: Any, entries: Any, job_id: str) -> bool:
    """Tell whether the job is among them."""
    return job_id in job_ids_by_rq(of_registry, entries)


def named_as(original: type, derived: type) -> type:
    """Have a derived class bear the name of the class that it stands in for; return it."""
    for name in ('__name__', '__qualname__', '__module__'):
        setattr(derived, name, getattr(original, name))
    return derived


def send_on_own_connection(stand_in: Any, words: Words) -> Any:
    """Send a command on a connection of the client's pool; return the reply as the core reads it.

    The server's error is returned as an exception. What redis-py makes of a reply, before its callbacks, depends on the
    version of the protocol.
    """
    send = super(_core.StandIn, stand_in)._send_command_parse_response
    reply = call_or_error(
        by_own_connection, stand_in.connection_pool, words[0], lambda connection: send(connection, words[0], *words)
    )
    if isinstance(reply, dict):
        return [part for field in reply.items() for part in field]
    if words[0] == 'ZSCORE' and isinstance(reply, (str, bytes)):
        return float(reply)
    return reply


def by_own_connection(pool: Any, name: str, send: Callable[[Any], Any]) -> Any:
    """Return what `send` returns for a connection of a client's pool, as the connection's Retry says."""
    connection = get_connection(pool, name)
    policy, on_failure = retry_of(connection)

    def fail(error: Exception) -> None:
        connection.disconnect()
        on_failure(error)

    try:
        return policy.call_with_retry(lambda: send(connection), fail)
    finally:
        pool.release(connection)


def show_write(stand_in: Any, words: Words) -> None:
    """Give a command to the tracers around the methods by which a connection writes; nothing is written."""
    pool = stand_in.connection_pool
    shown = vars(pool).get(_SHOWN)
    if shown is None or shown[0] is not pool.connection_class:
        connection_class, arguments = connection_arguments(pool)
        shown = connection_class, _unwritten(connection_class)(**arguments)
        setattr(pool, _SHOWN, shown)
    # A Sentinel's, which is known once there is a connection.
    address = getattr(pool, 'master_address', None)
    if address is not None:
        shown[1].host, shown[1].port = address
    shown[1].send_command(*words)


_SHOWN = '_rqreg_ext_unwritten'


def _unwritten(connection_class: Any) -> type:
    """Return a class of connections that connect nowhere, and write nothing."""

    class Unwritten(connection_class):  # type: ignore[misc]
        _sock = property(lambda self: _Nowhere, lambda self, value: None)

        def check_health(self) -> None:
            pass

        def disconnect(self, *args: Any, **options: Any) -> None:
            pass

    return named_as(connection_class, Unwritten)


class _Nowhere:
    """A socket that sends nothing."""

    @staticmethod
    def sendall(octets: Any) -> None:
        """Send nothing."""


def should_fall_back(
    error: Exception, innermost_result: Any, has_arrived: bool, has_arrived_before: bool, is_repeatable: bool
) -> bool:
    """Tell whether RQ's method is to be called, instead of raising an error that came out of the wrappers.

    innermost_result: what the innermost method returned or raised. is_repeatable: it may be sent once more.
    """
    if is_job_timeout(error) or is_broken_connection(error) or isinstance(error, MemoryError):
        return False
    if not has_arrived:
        return not has_arrived_before
    return is_repeatable and not (isinstance(innermost_result, Exception) and is_broken_connection(innermost_result))
