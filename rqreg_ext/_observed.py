"""Clients that somebody observes: commands go through his wrappers, and are seen to arrive unchanged behind them.

An observed client's outermost methods are called for an object that stands in for the client: its class is derived from
the client's, and it has the same attributes. In that class redis-py's innermost method compares what arrives with what
was given, before it is sent. The same with pipelines, and with connections that do not write as redis-py's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from . import _core
from ._by_methods import SENT_BY_RQ, Words, answer_of, by_methods
from ._clients import ClientKind, writes_as_redis_py

# Commands of RQ that change nothing, by which an observed client is tried, of a key that does not exist.
PROBES: tuple[Words, ...] = (
    ('ZCARD', 'rq:rqreg_ext'),
    ('ZSCORE', 'rq:rqreg_ext', '0'),
    ('ZRANGE', 'rq:rqreg_ext', 0, 0),
    ('HGET', 'rq:rqreg_ext', '0'),
    ('HGETALL', 'rq:rqreg_ext'),
    ('LLEN', 'rq:rqreg_ext'),
    ('SMEMBERS', 'rq:rqreg_ext'),
    ('EXISTS', 'rq:rqreg_ext'),
)
_PROBED = frozenset(words[0] for words in PROBES)


def by_pipeline(pipeline: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the replies of a pipeline that was just made, as they came."""
    try:
        # What came, as our own connections give it.
        pipeline.response_callbacks = {}
        for words in commands:
            pipeline.execute_command(*words)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    finally:
        pipeline.reset()
    return replies


class _Changed(Exception):
    """A command did not arrive as it was given; it was not sent."""


class _Watch:
    """What arrives where redis-py sends it, of commands that are given to a client.

    expected: the commands as they were given.
    """

    def __init__(self, expected: Sequence[Words]) -> None:
        self.has_arrived = False
        self.is_changed = False
        self._expected = [tuple(words) for words in expected]

    def arrive(self, commands: Sequence[Words], connection: Any) -> Any:
        """Take note of what is to be sent on a connection, and return what to send it on. Raises _Changed."""
        self.has_arrived = True
        if [tuple(words) for words in commands] != self._expected:
            self.change()
        return connection if writes_as_redis_py(connection) else self._watched(connection)

    def change(self) -> None:
        """Take note that something else would be sent. Raises _Changed."""
        self.is_changed = True
        raise _Changed

    def _watched(self, connection: Any) -> Any:
        """Return what writes as the connection does, through its methods, and sends nothing that is not expected."""
        encoder: Any = getattr(connection, 'encoder', None)
        if not isinstance(getattr(encoder, 'encoding', None), str) or '_sock' not in vars(connection):
            self.change()
        # Both send something of their own where that is due.
        connection.connect()
        connection.check_health()
        octets = b''.join(_packed(words, encoder.encoding) for words in self._expected)
        return _beside(_connection_stand_in, connection, _rqreg_watch=self, _rqreg_unsent=octets)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Have whatever was raised, or returned, because something has changed, raise _Changed."""
        try:
            yield
        except Exception:
            if self.is_changed:
                raise _Changed from None
            raise
        if self.is_changed:
            raise _Changed


def send(client: Any, kind: Any, commands: Sequence[Words]) -> list[Any]:
    """Send commands through an observed client, or by its methods as soon as it turns out to be none."""
    seen = _seen(kind)
    are_rqs = all(words[0] in SENT_BY_RQ for words in commands)
    if not are_rqs and not seen >= _PROBED and not is_transparent(client, kind, PROBES[-1]):
        return by_methods(client, commands)
    replies: list[Any] = []
    try:
        for words in commands[: _alone(commands, seen)]:
            reply, has_arrived = _by_execute_command(client, kind, words)
            replies.append(reply)
            if not has_arrived:
                raise _Changed
        if len(replies) < len(commands):
            replies += _by_watched_pipeline(client, commands[len(replies) :])
    except _Changed:
        replies += by_methods(client, commands[len(replies) :])
    return replies


def _alone(commands: Sequence[Words], seen: set[str]) -> int:
    """Return how many of the commands go by themselves, not in a pipeline, which may be wrapped in another way.

    The first one, and as many as it takes to see one of each name: it may be that only some are changed.
    """
    first = {words[0]: place for place, words in reversed(list(enumerate(commands)))}
    return 1 + max((place for name, place in first.items() if name not in seen), default=0)


def is_transparent(client: Any, kind: Any, probe: Words) -> bool:
    """Tell whether a command arrives as it is given, both by itself and in a pipeline."""
    # It may be that some commands are changed only.
    unseen = [words for words in PROBES if words[0] not in _seen(kind)]
    try:
        for words in (*unseen, probe):
            if not _by_execute_command(client, kind, words)[1]:
                return False
        _by_watched_pipeline(client, [probe])
    except _Changed:
        return False
    return True


def _by_execute_command(client: Any, kind: Any, words: Words) -> tuple[Any, bool]:
    """Return the reply to a command, and whether it was seen to arrive. Raises _Changed where another one does."""
    watch = _Watch([words])
    stand_in = _beside(_client_stand_in, client, _rqreg_watch=watch)
    with watch.judging():
        reply = answer_of(stand_in.execute_command, *words)
    if watch.has_arrived:
        _seen(kind).add(words[0])
    return reply, watch.has_arrived


def _by_watched_pipeline(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the replies. Raises _Changed where other commands would be sent."""
    pipeline = _pipeline_of(client)
    try:
        watch = _Watch(commands)
        stand_in = _beside(_pipeline_stand_in, pipeline, _rqreg_watch=watch)
        with watch.judging():
            replies = by_pipeline(stand_in, commands)
        if not watch.has_arrived:
            raise _Changed
    finally:
        pipeline.reset()
    return replies


def _pipeline_of(client: Any) -> Any:
    """Return a pipeline of the client. Raises _Changed where it makes something else, or nothing."""
    try:
        pipeline = client.pipeline(transaction=False)
        kind = _core.check_client(pipeline)
    except Exception:
        # Nothing was sent.
        raise _Changed from None
    if not isinstance(kind, ClientKind) or not kind.is_pipeline:
        raise _Changed
    return pipeline


def _seen(kind: Any) -> set[str]:
    """Return the names of the commands that were seen to arrive from clients of a kind."""
    notes = kind.notes if isinstance(kind, ClientKind) else _notes_of_plain
    names: set[str] = notes.setdefault('seen', set())
    return names


# Of clients that are plain, and whose connections are not.
_notes_of_plain: dict[str, Any] = {}


# ---- What stands in for an object, with the same attributes


def _beside(make_class: Callable[[type], type], found: Any, **own: Any) -> Any:
    """Return an object of a class that is derived from that of `found`, and shares its attributes.

    own: what it has besides, in the slots of its class.
    """
    key = (make_class, type(found))
    derived = _derived.get(key)
    if derived is None:
        if len(_derived) >= _MOST_DERIVED:
            _derived.clear()
        derived = _derived[key] = make_class(type(found))
        for name in ('__name__', '__qualname__', '__module__'):
            setattr(derived, name, getattr(type(found), name))
    stand_in: Any = object.__new__(derived)
    # Somebody's class may have its own way to set attributes.
    for name, value in {'__dict__': found.__dict__, **own}.items():
        object.__setattr__(stand_in, name, value)
    return stand_in


_MOST_DERIVED = 24
_derived: dict[tuple[Any, type], type] = {}


def _client_stand_in(client_class: Any) -> type:
    class StandIn(client_class):  # type: ignore[misc]
        __slots__ = ('_rqreg_watch',)
        # Replies as they come.
        response_callbacks = property(lambda self: {}, lambda self, value: None)

        def _send_command_parse_response(self, conn: Any, command_name: Any, *args: Any, **options: Any) -> Any:
            conn = self._rqreg_watch.arrive([args], conn)
            return super()._send_command_parse_response(conn, command_name, *args, **options)

        def __del__(self) -> None:
            # The client's closes its connections.
            pass

    return StandIn


def _pipeline_stand_in(pipeline_class: Any) -> type:
    class StandIn(pipeline_class):  # type: ignore[misc]
        __slots__ = ('_rqreg_watch',)

        def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
            connection = self._rqreg_watch.arrive([args for args, _ in commands], connection)
            return super()._execute_pipeline(connection, commands, raise_on_error)

        def _execute_transaction(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
            # It was none.
            self._rqreg_watch.change()

        def _send_command_parse_response(self, conn: Any, command_name: Any, *args: Any, **options: Any) -> Any:
            # It was to wait for execute().
            self._rqreg_watch.change()

        def __del__(self) -> None:
            pass

    return StandIn


def _connection_stand_in(connection_class: Any) -> type:
    class StandIn(connection_class):  # type: ignore[misc]
        __slots__ = ('_rqreg_unsent', '_rqreg_watch')

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
        """Send what is expected next. Raises _Changed for anything else."""
        unsent = self._connection._rqreg_unsent
        if not unsent.startswith(bytes(octets)):
            self._connection._rqreg_watch.change()
        object.__setattr__(self._connection, '_rqreg_unsent', unsent[len(octets) :])
        self._sock.sendall(octets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _packed(words: Words, encoding: str) -> bytes:
    """Return a command in Redis's protocol."""
    octets = [_encoded(word, encoding) for word in words]
    return b'*%d\r\n' % len(octets) + b''.join(b'$%d\r\n%s\r\n' % (len(each), each) for each in octets)


def _encoded(word: Any, encoding: str) -> bytes:
    # Not by the connection's encoder, which may be somebody's.
    if isinstance(word, (bytes, memoryview)):
        return bytes(word)
    return (word if isinstance(word, str) else repr(word)).encode(encoding)
