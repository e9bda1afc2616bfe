"""Objects that stand in for a client, a pipeline or a connection: of a derived class, with the same attributes.

In the derived class redis-py's innermost method has a Watch see what arrives there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .core_stand_in import CoreConnection, named_as
from .errors import is_job_timeout

# By which method of redis-py a command arrives.
SINGLE, PIPELINE, TRANSACTION = 'single', 'pipeline', 'transaction'


class CommandChangedError(Exception):
    """A command did not arrive as it was given, and was not sent; or the reply to a read was changed."""


def stand_in_for(make_class: Callable[[type], type], found: Any, watch: Any, **own: Any) -> Any:
    """Return an object that stands in for `found`. Raises CommandChangedError if the class of `found` allows none."""
    try:
        return _make_stand_in(make_class, found, _rqreg_watch=watch, **own)
    except Exception as error:
        if is_job_timeout(error):
            raise
        watch.raise_changed()


def _make_stand_in(make_class: Callable[[type], type], found: Any, **own: Any) -> Any:
    """Return an object of a class derived from the class of `found`, which shares its attributes.

    own: what else it has, in the slots of its class.
    """
    key = (make_class, type(found))
    derived = _derived.get(key)
    if derived is None:
        if len(_derived) >= _MOST_DERIVED:
            _derived.clear()
        derived = _derived[key] = named_as(type(found), make_class(type(found)))
    stand_in: Any = object.__new__(derived)
    # The client's class may define __setattr__().
    for name, value in {'__dict__': found.__dict__, **own}.items():
        object.__setattr__(stand_in, name, value)
    return stand_in


_MOST_DERIVED = 24
_derived: dict[tuple[Any, type], type] = {}


class _Watched:
    """The common base of the stand-ins of clients and pipelines; it comes before the client's class in the MRO."""

    __slots__ = ()
    _rqreg_watch: Any

    def _send_command_parse_response(self, conn: Any, command_name: Any, *args: Any, **options: Any) -> Any:
        send = super()._send_command_parse_response  # type: ignore[misc]
        return self._rqreg_watch.pass_on(
            self, SINGLE, [args], conn, lambda to_use: send(to_use, command_name, *args, **options)
        )

    def __del__(self) -> None:
        # The client's own closes its connections, and a pipeline's gives its connection back.
        pass


def client_stand_in(client_class: Any) -> type:
    class StandIn(_Watched, client_class):  # type: ignore[misc]
        __slots__ = ('_rqreg_watch',)
        # Replies as they come.
        response_callbacks = property(lambda self: {}, lambda self, value: None)

    return StandIn


def pipeline_stand_in(pipeline_class: Any) -> type:
    class StandIn(_Watched, pipeline_class):  # type: ignore[misc]
        __slots__ = ('_rqreg_watch',)

        def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
            send = super()._execute_pipeline
            return self._rqreg_watch.pass_on(
                self,
                PIPELINE,
                [args for args, _ in commands],
                connection,
                lambda to_use: send(to_use, commands, raise_on_error),
            )

        def _execute_transaction(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
            send = super()._execute_transaction
            return self._rqreg_watch.pass_on(
                self,
                TRANSACTION,
                [args for args, _ in commands],
                connection,
                lambda to_use: send(to_use, commands, raise_on_error),
            )

    return StandIn


def client_on_core(client_class: Any) -> type:
    class StandIn(client_stand_in(client_class)):  # type: ignore[misc]
        __slots__ = ()
        # redis-py's own method asks for a connection, and measures how long it has it.
        connection = property(lambda self: CoreConnection(self), lambda self, value: None)

    return StandIn


def pipeline_on_core(pipeline_class: Any) -> type:
    class StandIn(pipeline_stand_in(pipeline_class)):  # type: ignore[misc]
        __slots__ = ()
        connection = property(lambda self: CoreConnection(self), lambda self, value: None)

        def reset(self) -> None:
            # There is no connection to give back.
            self.__dict__['command_stack'] = []

    return StandIn


def connection_stand_in(connection_class: Any) -> type:
    class StandIn(connection_class):  # type: ignore[misc]
        __slots__ = ('_rqreg_is_trial', '_rqreg_unsent', '_rqreg_watch')

        @property
        def _sock(self) -> Any:
            sock = self.__dict__['_sock']
            return None if sock is None else _WatchedSocket(sock, self)

        @_sock.setter
        def _sock(self, value: Any) -> None:
            self.__dict__['_sock'] = value

        def __del__(self) -> None:
            pass

    return StandIn


class _WatchedSocket:
    """A connection's socket, which sends only what is expected."""

    def __init__(self, sock: Any, connection: Any) -> None:
        self._sock = sock
        self._connection = connection

    def sendall(self, octets: Any) -> None:
        """Send what is expected next. Raises CommandChangedError for anything else."""
        unsent = self._connection._rqreg_unsent
        if not unsent.startswith(bytes(octets)):
            self._connection._rqreg_watch.raise_changed()
        object.__setattr__(self._connection, '_rqreg_unsent', unsent[len(octets) :])
        if not self._connection._rqreg_is_trial:
            self._sock.sendall(octets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
