"""How a client may be used, decided for every call of the package by what stands there at the time of the call.

Directly: the client, its pool and its connections are redis-py's own. Commands go over connections of ours. The core
decides that (client_check.c); what is here is for all other clients.

Observed: somebody wraps execute_command() or Pipeline.execute() and passes on what he is given, as tracing tools do.
Commands go through the client. That each arrives unchanged is seen in redis-py's own method that sends it, before it
is sent.

By methods: whatever else there is, like a client that puts a prefix before each key, a wrapper, or a mock. Only what RQ
sends is sent, by the methods that RQ calls, one by one. No scripts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from . import _core
from ._clients import WRITES, WRITING, ClientKind, are_of_one_database, are_original, is_set_on

# (name, *arguments)
Words = tuple[Any, ...]

# Changes nothing, and RQ sends it too.
_PROBE = ('EXISTS', 'rq:queues')


class NotSent(NotImplementedError):
    """A command that only a client of redis-py's own may send; nothing was sent."""


def send(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the reply to each command, mostly as the server gave it; its error for one is an exception in its place.

    One round trip by a client that is not wrapped. By an observed one a second one, in which the first command goes by
    itself. One for each command on a cluster, and by methods.
    Raises NotSent for a command that RQ does not send, if the client is used by its methods.
    """
    if is_cluster(client):
        return [_answer(client.execute_command, *words) for words in commands]
    kind = _kind_of(client)
    if kind is None:
        return _by_methods(client, commands)
    if not _is_wrapped(client, kind):
        return _by_pipeline(client.pipeline(transaction=False), commands)
    return _observed(client, kind, commands)


def sends_unchanged(client: Any, probe: Words = _PROBE) -> bool:
    """Tell whether all commands may be sent by this client, scripts above all, since it sends what it is given.

    probe: a command that changes nothing, by which an observed client is tried: two round trips.
    """
    if _core.is_direct(client):
        return True
    kind = None if is_cluster(client) else _kind_of(client)
    return kind is not None and (not _is_wrapped(client, kind) or _is_transparent(client, kind, probe))


def require_unchanged(client: Any, call: str) -> None:
    """Raise NotImplementedError, before anything is changed, for a client by which a call cannot be made.

    A cluster is the caller's own matter.
    """
    if not is_cluster(client) and not sends_unchanged(client):
        raise _refusal(client, call)


def share_keys(client: Any, other: Any) -> bool:
    """Tell whether two clients mean the same by a key: they talk to one database, and neither changes what is sent."""
    if client is other:
        return True
    return are_of_one_database(client, other) and all(map(_leaves_keys_alone, (client, other)))


def _leaves_keys_alone(client: Any) -> bool:
    return is_cluster(client) or sends_unchanged(client)


def is_cluster(client: Any) -> bool:
    """Tell whether the client keeps keys on several servers, whose pipelines and scripts take some commands only."""
    return hasattr(type(client), 'get_node_from_key') or is_set_on(client, 'get_node_from_key')


def _refusal(client: Any, what: str) -> NotSent:
    client_class = f'{type(client).__module__}.{type(client).__qualname__}'
    return NotSent(
        f'{what} cannot be done by a {client_class}, which may send something else than it is given, as a client does '
        'that puts a prefix before its keys: give a plain redis.Redis'
    )


def _kind_of(client: Any) -> Any:
    """Return the kind of a client that goes through redis-py's methods in the end; True for a plain one, or None."""
    try:
        kind = _core.check_client(client)
    except AttributeError:
        # It has no attributes at all.
        return None
    return None if isinstance(kind, ClientKind) and kind.is_pipeline else kind


def _is_wrapped(client: Any, kind: Any) -> bool:
    """Tell whether something else than redis-py's own has a say in what is sent."""
    if isinstance(kind, ClientKind) and kind.is_wrapped:
        return True
    return _core.check_pool(client.connection_pool) not in (True, WRITES)


def _answer(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the call returns, or the error that the server answered."""
    try:
        return call(*arguments, **options)
    except Exception as error:
        # Of whichever package the client is.
        if any(owner.__name__ == 'ResponseError' for owner in type(error).__mro__):
            return error
        raise


def _by_pipeline(pipeline: Any, commands: Sequence[Words]) -> list[Any]:
    try:
        # What came, as our own connections give it.
        pipeline.response_callbacks = {}
        for words in commands:
            pipeline.execute_command(*words)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    finally:
        pipeline.reset()
    return replies


# ---- An observed client


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
        if are_original(type(connection), _package_of(connection), WRITING, {}) and not is_set_on(connection, *WRITING):
            return connection
        return self._watched(connection)

    def change(self) -> None:
        """Take note that something else would be sent. Raises _Changed."""
        self.is_changed = True
        raise _Changed

    def _watched(self, connection: Any) -> Any:
        """Return what writes as the connection does, through its methods, and sends nothing that is not expected."""
        encoder: Any = getattr(connection, 'encoder', None)
        if encoder is None or '_sock' not in vars(connection):
            self.change()
        # Both send something of their own where that is due.
        connection.connect()
        connection.check_health()
        stand_in = _beside(_connection_stand_in, connection)
        stand_in._rqreg_unsent = b''.join(_packed(words, encoder.encode) for words in self._expected)
        stand_in._rqreg_watch = self
        return stand_in

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


def _observed(client: Any, kind: Any, commands: Sequence[Words]) -> list[Any]:
    """Send commands through an observed client, or by its methods as soon as it turns out to be none."""
    seen = _seen(kind)
    if commands[0][0] not in _METHODS and not seen and not _is_transparent(client, kind, _PROBE):
        return _by_methods(client, commands)
    replies: list[Any] = []
    is_seen_through = True
    try:
        # By themselves the first one, and what it takes to see one of each name: it may be that only some are changed.
        while len(replies) < len(commands) and is_seen_through:
            rest = commands[len(replies) :]
            if replies and all(words[0] in seen for words in rest):
                return replies + _by_watched_pipeline(client, rest)
            reply, is_seen_through = _by_execute_command(client, kind, rest[0])
            replies.append(reply)
    except _Changed:
        pass
    return replies + _by_methods(client, commands[len(replies) :])


def _is_transparent(client: Any, kind: Any, probe: Words) -> bool:
    """Tell whether a command arrives as it is given, both by itself and in a pipeline."""
    try:
        if not _by_execute_command(client, kind, probe)[1]:
            return False
        _by_watched_pipeline(client, [probe])
    except _Changed:
        return False
    return True


def _by_execute_command(client: Any, kind: Any, words: Words) -> tuple[Any, bool]:
    """Return the reply to a command, and whether it was seen to arrive. Raises _Changed where another one does."""
    watch = _Watch([words])
    stand_in = _beside(_client_stand_in, client)
    stand_in._rqreg_watch = watch
    with watch.judging():
        reply = _answer(stand_in.execute_command, *words)
    if watch.has_arrived:
        _seen(kind).add(words[0])
    return reply, watch.has_arrived


def _by_watched_pipeline(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the replies. Raises _Changed where other commands would be sent."""
    pipeline = client.pipeline(transaction=False)
    try:
        kind = _core.check_client(pipeline)
        if not isinstance(kind, ClientKind) or not kind.is_pipeline:
            raise _Changed
        watch = _Watch(commands)
        stand_in = _beside(_pipeline_stand_in, pipeline)
        stand_in._rqreg_watch = watch
        with watch.judging():
            replies = _by_pipeline(stand_in, commands)
        if not watch.has_arrived:
            raise _Changed
    finally:
        pipeline.reset()
    return replies


def _seen(kind: Any) -> set[str]:
    """Return the names of the commands that were seen to arrive from clients of a kind."""
    notes = kind.notes if isinstance(kind, ClientKind) else _notes_of_plain
    names: set[str] = notes.setdefault('seen', set())
    return names


# Of clients that are plain, and whose connections are not.
_notes_of_plain: dict[str, Any] = {}


def _package_of(connection: Any) -> str:
    return next(
        (c.__module__.partition('.')[0] for c in type(connection).__mro__ if c.__name__ == 'AbstractConnection'), ''
    )


# ---- What stands in for an object, with the same attributes


def _beside(make_class: Callable[[type], type], found: Any) -> Any:
    """Return an object of a class that is derived from that of `found`, which shares its attributes."""
    key = (make_class, type(found))
    derived = _derived.get(key)
    if derived is None:
        if len(_derived) >= _MOST_DERIVED:
            _derived.clear()
        derived = _derived[key] = make_class(type(found))
        for name in ('__name__', '__qualname__', '__module__'):
            setattr(derived, name, getattr(type(found), name))
    stand_in: Any = object.__new__(derived)
    stand_in.__dict__ = found.__dict__
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
        self._connection._rqreg_unsent = unsent[len(octets) :]
        self._sock.sendall(octets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _packed(words: Words, encode: Callable[[Any], bytes]) -> bytes:
    """Return a command in Redis's protocol."""
    octets = [bytes(encode(word)) for word in words]
    return b'*%d\r\n' % len(octets) + b''.join(b'$%d\r\n%s\r\n' % (len(each), each) for each in octets)


# ---- By the client's methods


def _by_methods(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the replies. Raises NotSent before the first command, if there is one that RQ does not send."""
    for name, *_ in commands:
        if name not in _METHODS:
            raise _refusal(client, f'the command {name}')
    return [_answer(_METHODS[words[0]], client, *words[1:]) for words in commands]


def _zrange(client: Any, key: str, first: int, last: int, *with_scores: str, desc: bool = False) -> Any:
    return client.zrange(key, first, last, desc=desc, **({'withscores': True} if with_scores else {}))


def _zrevrange(client: Any, key: str, first: int, last: int, *with_scores: str) -> Any:
    return _zrange(client, key, first, last, *with_scores, desc=True)


def _zrangebyscore(client: Any, key: str, low: Any, high: Any, *options: Any) -> Any:
    words: dict[str, Any] = {'withscores': True} if 'WITHSCORES' in options else {}
    if 'LIMIT' in options:
        place = options.index('LIMIT')
        words |= {'start': int(options[place + 1]), 'num': int(options[place + 2])}
    return client.zrangebyscore(key, low, high, **words)


def _zrevrangebyscore(client: Any, key: str, high: Any, low: Any, *options: Any) -> Any:
    found = client.zrangebyscore(key, low, high, **({'withscores': True} if 'WITHSCORES' in options else {}))
    start, count = 0, len(found)
    if 'LIMIT' in options:
        place = options.index('LIMIT')
        start, count = int(options[place + 1]), int(options[place + 2])
    return found[::-1][start : start + count]


def _zrank(client: Any, key: str, member: Any, desc: bool = False) -> int | None:
    members = [_octets(each) for each in client.zrange(key, 0, -1, desc=desc)]
    wanted = _octets(member)
    return members.index(wanted) if wanted in members else None


def _hmget(client: Any, key: str, *fields: Any) -> list[Any]:
    found = {_octets(name): value for name, value in client.hgetall(key).items()}
    return [found.get(_octets(field)) for field in fields]


def _hexists(client: Any, key: str, field: Any) -> int:
    return int(client.hget(key, field) is not None)


def _sismember(client: Any, key: str, member: Any) -> int:
    return int(_octets(member) in {_octets(each) for each in client.smembers(key)})


def _xrevrange(client: Any, key: str, last: Any, first: Any, *count: Any) -> Any:
    return client.xrevrange(key, last, first, **({'count': count[1]} if count else {}))


def _time(client: Any) -> list[int]:
    # RQ asks no server for it.
    seconds, fraction = divmod(time.time(), 1)
    return [int(seconds), int(fraction * 1e6)]


def _sort(client: Any, *words: Any) -> Exception:
    # As a server that denies it: what is wanted can be read in other ways.
    return _refusal(client, 'the command SORT')


def _octets(text: Any) -> Any:
    return text.encode() if isinstance(text, str) else text


# The commands that RQ sends, and what gives the reply of others by these.
_METHODS: dict[str, Callable[..., Any]] = {
    'EXISTS': lambda client, *keys: client.exists(*keys),
    'HEXISTS': _hexists,
    'HGET': lambda client, key, field: client.hget(key, field),
    'HGETALL': lambda client, key: client.hgetall(key),
    'HMGET': _hmget,
    'LLEN': lambda client, key: client.llen(key),
    'LRANGE': lambda client, key, first, last: client.lrange(key, first, last),
    'SISMEMBER': _sismember,
    'SMEMBERS': lambda client, key: client.smembers(key),
    'SORT': _sort,
    'TIME': _time,
    'XREVRANGE': _xrevrange,
    'ZCARD': lambda client, key: client.zcard(key),
    'ZCOUNT': lambda client, key, low, high: len(client.zrangebyscore(key, low, high)),
    'ZMSCORE': lambda client, key, *members: [client.zscore(key, member) for member in members],
    'ZRANGE': _zrange,
    'ZRANGEBYSCORE': _zrangebyscore,
    'ZRANK': _zrank,
    'ZREM': lambda client, key, *members: client.zrem(key, *members),
    'ZREMRANGEBYSCORE': lambda client, key, low, high: client.zremrangebyscore(key, low, high),
    'ZREVRANGE': _zrevrange,
    'ZREVRANGEBYSCORE': _zrevrangebyscore,
    'ZREVRANK': lambda client, key, member: _zrank(client, key, member, desc=True),
    'ZSCORE': lambda client, key, member: client.zscore(key, member),
}
