"""Clients that put a prefix before each key, each in its own way; two applications share a database by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import redis
from redis.client import Pipeline

PREFIX = b'app1:'
_ALL_ARE_KEYS = {'DEL', 'UNLINK', 'EXISTS', 'WATCH'}
_NO_KEYS = {'INFO', 'PING', 'TIME', 'MULTI', 'EXEC', 'UNWATCH', 'SCRIPT LOAD', 'DISCARD'}


def prefixed(key: Any) -> bytes:
    """Return a key as such a client sends it."""
    return PREFIX + (key if isinstance(key, bytes) else str(key).encode())


def changed(name: str, *words: Any) -> tuple[Any, ...]:
    """Return a command as such a client sends it."""
    rest = list(words)
    if name in ('EVAL', 'EVALSHA'):
        last = 2 + int(rest[1])
        rest[2:last] = map(prefixed, rest[2:last])
    elif name in _ALL_ARE_KEYS:
        rest = list(map(prefixed, rest))
    elif name not in _NO_KEYS:
        rest[0] = prefixed(rest[0])
    return (name, *rest)


class PrefixingPipeline(Pipeline):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*changed(*args), **options)


class Prefixing(redis.Redis):
    """As most of them are: all commands, also those in pipelines."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*changed(*args), **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return PrefixingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class PrefixingOnExecute(Pipeline):
    def execute(self, raise_on_error: bool = True) -> Any:
        self.command_stack = [(changed(*args), options) for args, options in self.command_stack]
        return super().execute(raise_on_error)


class PrefixingLate(Prefixing):
    """Changes what is in a pipeline when that is executed."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return PrefixingOnExecute(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class PrefixingSome(redis.Redis):
    """Changes the commands that it knows to have keys, and lets all others pass."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = changed(*args) if args[0] in ('ZCARD', 'ZRANGE', 'ZREM', 'ZSCORE', 'ZADD', 'HGETALL', 'HGET') else args
        return super().execute_command(*words, **options)


# What a connection says of itself.
_OF_CONNECTIONS = ('AUTH', 'CLIENT', 'HELLO', 'SELECT')


class PrefixingConnection(redis.Connection):
    """Changes what is sent on a connection; EXEC and the like come packed."""

    def send_command(self, *args: Any, **options: Any) -> Any:
        return super().send_command(*(args if args[0] in _OF_CONNECTIONS else changed(*args)), **options)

    def pack_commands(self, commands: Any) -> Any:
        return super().pack_commands([changed(*args) for args in commands])


class PrefixingPacker:
    """Turns commands into bytes, as redis-py's packer does, with a prefix before each key."""

    def __init__(self, packer: Any) -> None:
        self._packer = packer

    def pack(self, *args: Any) -> Any:
        return self._packer.pack(*(args if args[0].split()[0] in _OF_CONNECTIONS else changed(*args)))


class PackingConnection(redis.Connection):
    """A connection whose class is redis-py's in all methods but the one that makes it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._command_packer: Any = PrefixingPacker(self._command_packer)


class Inside(redis.Redis):
    """Has another client do it."""

    inside: redis.Redis

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self.inside.execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return self.inside.pipeline(transaction, shard_hint)


class InsideButPipelines(redis.Redis):
    """Has another client do single commands."""

    inside: redis.Redis

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self.inside.execute_command(*args, **options)


# The commands of RQ whose first argument is a key; of the second ones all are.
_METHODS = (
    'expire', 'hdel', 'hexists', 'hget', 'hgetall', 'hincrby', 'hset', 'llen', 'lpos', 'lpush', 'lrange', 'lrem',
    'persist', 'rpush', 'sadd', 'scard', 'smembers', 'srem', 'xadd', 'xrevrange', 'zadd', 'zcard', 'zrange',
    'zrangebyscore', 'zrem', 'zremrangebyscore', 'zscore',
)  # fmt: skip
_METHODS_OF_KEYS = ('delete', 'exists', 'watch')


class Wrapper:
    """Not a redis.Redis at all: an object around one, with the same methods."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in _METHODS_OF_KEYS:
            return lambda *keys: found(*map(prefixed, keys))
        if name in _METHODS:
            return lambda key, *args, **options: found(prefixed(key), *args, **options)
        if name == 'pipeline':
            return lambda *args, **options: Wrapper(found(*args, **options))
        return found

    def __enter__(self) -> Wrapper:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.reset()


def _method(name: str) -> Any:
    def method(self: Any, key: Any, *args: Any, **options: Any) -> Any:
        rest = map(prefixed, args) if name in _METHODS_OF_KEYS else args
        return getattr(redis.Redis, name)(self, prefixed(key), *rest, **options)

    return method


PrefixingMethods: Any = type(
    'PrefixingMethods', (redis.Redis,), {name: _method(name) for name in (*_METHODS, 'delete', 'exists')}
)


def _by_attribute(**arguments: Any) -> redis.Redis:
    client = redis.Redis(**arguments)
    original = client.execute_command
    client.execute_command = lambda *args, **options: original(*changed(*args), **options)  # type: ignore[method-assign]
    return client


def _by_attributes(**arguments: Any) -> redis.Redis:
    client: Any = redis.Redis(**arguments)
    for name in (*_METHODS, 'delete', 'exists'):
        setattr(client, name, partial(_method(name), client))
    return client  # type: ignore[no-any-return]


def _by_connection(**arguments: Any) -> redis.Redis:
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=PrefixingConnection, **arguments))


def _by_packer(**arguments: Any) -> redis.Redis:
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=PackingConnection, **arguments))


def _by_connect_function(**arguments: Any) -> redis.Redis:
    def connected(connection: Any) -> None:
        connection.on_connect()
        if not isinstance(connection._command_packer, PrefixingPacker):
            connection._command_packer = PrefixingPacker(connection._command_packer)

    return redis.Redis(connection_pool=redis.ConnectionPool(redis_connect_func=connected, **arguments))


def _around(client_class: Any) -> Callable[..., Any]:
    def make(**arguments: Any) -> Any:
        client = client_class(**arguments)
        client.inside = Prefixing(**arguments)
        return client

    return make


@contextmanager
def _patched() -> Iterator[None]:
    original = redis.Redis.execute_command

    def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        return original(self, *changed(*args), **options)

    with mock.patch.object(redis.Redis, 'execute_command', execute_command):
        yield


@contextmanager
def _unpatched() -> Iterator[None]:
    yield


# How such a client is made, and what must be so while it is used.
Form = tuple[Callable[..., Any], Callable[[], Any]]
FORMS: dict[str, Form] = {
    'class': (Prefixing, _unpatched),
    'class, pipelines late': (PrefixingLate, _unpatched),
    'class, some commands': (PrefixingSome, _unpatched),
    'class around a client': (_around(Inside), _unpatched),
    'class around a client, pipelines not': (_around(InsideButPipelines), _unpatched),
    'methods of a class': (PrefixingMethods, _unpatched),
    'attribute': (_by_attribute, _unpatched),
    'attributes': (_by_attributes, _unpatched),
    'wrapper': (lambda **arguments: Wrapper(redis.Redis(**arguments)), _unpatched),
    'connection class': (_by_connection, _unpatched),
    'packer of a connection': (_by_packer, _unpatched),
    'connect function': (_by_connect_function, _unpatched),
    'patch': (redis.Redis, _patched),
}
# Those that put it before each key of all commands, also in pipelines: RQ by them touches no other application's keys.
COMPLETE = (
    'class',
    'class, pipelines late',
    'class around a client',
    'wrapper',
    'connection class',
    'packer of a connection',
    'connect function',
)
