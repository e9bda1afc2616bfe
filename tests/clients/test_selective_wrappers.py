"""Wrapped clients that change, refuse or send elsewhere some commands only, some keys, or some replies.

Each call leaves in the databases what RQ's loop leaves there, made by the same client.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import rq.registry
from private_redis import PrivateRedis
from redis.client import Pipeline
from rq.job import Job

import rqreg_ext
from rqreg_ext import FailedJobRegistry
from rqreg_ext._fastpath.clients.support import sends_unchanged

from .observing import Observed, fill_failed

WRITES = {
    'DEL', 'EXPIRE', 'HDEL', 'HSET', 'LPUSH', 'LREM', 'PERSIST', 'RPUSH', 'SADD', 'SREM', 'UNLINK', 'ZADD', 'ZREM',
    'ZREMRANGEBYSCORE',
}  # fmt: skip
TIMES = {b'created_at', b'enqueued_at', b'last_heartbeat'}


def contents(connection: Any) -> dict[bytes, Any]:
    """Return what a database holds, without times."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b'hash': lambda key: {name: value for name, value in connection.hgetall(key).items() if name not in TIMES},
        b'zset': lambda key: connection.zrange(key, 0, -1),
        b'list': lambda key: connection.lrange(key, 0, -1),
        b'set': lambda key: connection.smembers(key),
    }
    return {key: read[connection.type(key)](key) for key in sorted(connection.keys('*'))}


@pytest.fixture(scope='module')
def other_server() -> Iterator[PrivateRedis]:
    with PrivateRedis() as server:
        yield server


# ---- Clients


class PipelineOf(Pipeline):
    """Does in pipelines what its client does."""

    change: Callable[..., Any]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*self.change(*args), **options)


class Changing(redis.Redis):
    """Gives each command to change(), also those in pipelines."""

    def change(self, *args: Any) -> tuple[Any, ...]:
        raise NotImplementedError

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*self.change(*args), **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pipeline = PipelineOf(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.change = self.change
        return pipeline


class Guarded(Changing):
    def change(self, *args: Any) -> tuple[Any, ...]:
        if args[0] in WRITES:
            raise PermissionError(args[0])
        return args


class GuardedHashes(Changing):
    def change(self, *args: Any) -> tuple[Any, ...]:
        if args[0] in ('DEL', 'HSET'):
            raise PermissionError(args[0])
        return args


class PrefixingJobs(Changing):
    def change(self, *args: Any) -> tuple[Any, ...]:
        return tuple(f'app1:{word}' if str(word).startswith('rq:job:') else word for word in args)


class PrefixingWrites(Changing):
    def change(self, *args: Any) -> tuple[Any, ...]:
        return (args[0], f'app1:{args[1]}', *args[2:]) if args[0] in WRITES else args


class PrefixingOneQueue(Changing):
    """Changes the keys of one queue, in commands that change a registry or a list."""

    def change(self, *args: Any) -> tuple[Any, ...]:
        is_of_queue = len(args) > 1 and str(args[1]).endswith(':q')
        return (args[0], f'app1:{args[1]}', *args[2:]) if is_of_queue and args[0] in WRITES else args


class Splitting(redis.Redis):
    """Sends what changes something to another server."""

    other: redis.Redis

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] in WRITES:
            return self.other.execute_command(*args, **options)
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return self.other.pipeline(transaction, shard_hint)


class SplittingCommands(Splitting):
    """The same, but for pipelines."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return redis.Redis.pipeline(self, transaction, shard_hint)


class Hiding(redis.Redis):
    """Hides an id where all of a registry is read."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        reply = super().execute_command(*args, **options)
        return [each for each in reply if each != b'job-0'] if args[0] in ('ZRANGE', 'ZRANGEBYSCORE') else reply


class Locking(redis.Redis):
    """Refuses to read one job."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        reply = super().execute_command(*args, **options)
        if args[0] == 'HGETALL' and args[1] in ('rq:job:job-0', b'rq:job:job-0'):
            raise PermissionError('it is locked')
        return reply


class WritingConnection(redis.Connection):
    """Puts a prefix before the keys of commands that change something."""

    def send_command(self, *args: Any, **options: Any) -> Any:
        return super().send_command(*PrefixingWrites.change(self, *args), **options)  # type: ignore[arg-type]

    def pack_commands(self, commands: Any) -> Any:
        return super().pack_commands([PrefixingWrites.change(self, *args) for args in commands])  # type: ignore[arg-type]


def by_connection(**options: Any) -> redis.Redis:
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=WritingConnection, **options))


def by_connection_object(**options: Any) -> redis.Redis:
    """Change the methods of each connection that the pool hands out, not of its class."""
    client = redis.Redis(**options)
    pool: Any = client.connection_pool
    get_connection = pool.get_connection

    def handed_out(*args: Any, **options: Any) -> Any:
        connection = get_connection(*args, **options)
        if 'pack_commands' not in vars(connection):
            send_command, pack_commands = connection.send_command, connection.pack_commands
            connection.send_command = lambda *args, **options: send_command(
                *PrefixingWrites.change(client, *args),  # type: ignore[arg-type]
                **options,
            )
            connection.pack_commands = lambda commands: pack_commands(
                [PrefixingWrites.change(client, *args) for args in commands]  # type: ignore[arg-type]
            )
        return connection

    pool.get_connection = handed_out
    return client


CLIENTS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        Guarded, GuardedHashes, Hiding, Locking, PrefixingJobs, PrefixingOneQueue, PrefixingWrites, Splitting,
        SplittingCommands, by_connection, by_connection_object,
    )
}  # fmt: skip

# ---- Calls


def each_id(registry: Any, ids: list[str] | None, call: Callable[[Any, str], Any]) -> None:
    for job_id in registry.get_job_ids() if ids is None else ids:
        try:
            call(registry, job_id)
        except Exception:
            continue


def delete(registry: Any, job_id: str) -> None:
    registry.remove(job_id, delete_job=True)


CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    'purge': (lambda r: each_id(r, None, delete), lambda r: r.purge()),
    'requeue_all': (lambda r: each_id(r, None, lambda r, i: r.requeue(i)), lambda r: r.requeue_all()),
    'remove_many': (
        lambda r: each_id(r, ['job-1', 'job-0'], delete),
        lambda r: r.remove_many(['job-1', 'job-0'], delete_job=True),
    ),
    'cancel_many': (
        lambda r: each_id(r, ['job-0'], lambda r, i: Job.fetch(i, connection=r.connection).cancel()),
        lambda r: r.cancel_many(['job-0']),
    ),
    'purge of all queues': (
        lambda r: each_id(r, None, delete),
        lambda r: rqreg_ext.purge(r.connection, queues=['q']),
    ),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('name', CLIENTS)
def test_bulk_call_leaves_what_loop_leaves(
    redis_server: PrivateRedis, other_server: PrivateRedis, connection: redis.Redis, name: str, call: str
) -> None:
    by_rq, by_us = CALLS[call]
    left = []
    with other_server.client() as other:
        for registry_class, make_call in ((rq.registry.FailedJobRegistry, by_rq), (FailedJobRegistry, by_us)):
            for each in (connection, other):
                each.flushall()
                fill_failed(each)
            with CLIENTS[name](port=redis_server.port) as client:
                client.other = other
                try:
                    make_call(registry_class('q', connection=client))
                except PermissionError:
                    assert name == 'Guarded'
            left.append((contents(connection), contents(other)))
    assert left[1] == left[0]


@pytest.mark.parametrize('name', ['Splitting', 'SplittingCommands', 'PrefixingWrites'])
def test_trial_changes_nothing(
    redis_server: PrivateRedis, other_server: PrivateRedis, connection: redis.Redis, name: str
) -> None:
    with other_server.client() as other, CLIENTS[name](port=redis_server.port) as client:
        other.flushall()
        client.other = other
        assert not sends_unchanged(client, 'rq:failed:q')
        assert (contents(connection), contents(other)) == ({}, {})


def test_trial_sends_nothing(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    with Observed(port=redis_server.port) as client:
        client.ping()
        before = connection.info('commandstats')
        assert sends_unchanged(client)
        after = connection.info('commandstats')
        assert {name for name in after if after[name]['calls'] != before.get(name, {}).get('calls')} == {'cmdstat_info'}
        Observed.seen.clear()
        assert sends_unchanged(client)
        assert Observed.seen == []


# ---- Clients that bear no stand-in


class WithSlots(redis.Redis):
    __slots__ = ('tenant',)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        assert self.tenant == 'x'
        return super().execute_command(*args, **options)


class NeedsName(redis.Redis):
    def __init_subclass__(cls, *, name: str, **options: Any) -> None:
        super().__init_subclass__(**options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


class ByObject(redis.Redis):
    states: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        assert self.states[self]
        return super().execute_command(*args, **options)


class ById(redis.Redis):
    ids: set[int] = set()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if id(self) not in self.ids:
            raise LookupError
        return super().execute_command(*args, **options)


class Exact(redis.Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        assert type(self) is Exact
        return super().execute_command(*args, **options)


class Final(type(redis.Redis)):  # type: ignore[misc]
    def __new__(cls, name: str, bases: Any, namespace: Any, **options: Any) -> Any:
        if any(isinstance(base, Final) for base in bases):
            raise TypeError(f'{name} cannot be derived from')
        return super().__new__(cls, name, bases, namespace, **options)


class Sealed(redis.Redis, metaclass=Final):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


class SlottedPipeline(Pipeline):
    __slots__ = ('span',)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.span = 1

    def execute(self, raise_on_error: bool = True) -> Any:
        assert self.span
        return super().execute(raise_on_error)


class WithSlottedPipelines(redis.Redis):
    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return SlottedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


ALONE = (WithSlots, NeedsName, ByObject, ById, Exact, Sealed, WithSlottedPipelines)


@pytest.mark.parametrize('client_class', ALONE, ids=lambda each: each.__name__)
def test_client_without_stand_in_is_used_by_its_methods(
    redis_server: PrivateRedis, connection: redis.Redis, client_class: Any
) -> None:
    fill_failed(connection)
    with client_class(port=redis_server.port) as client:
        if client_class is WithSlots:
            client.tenant = 'x'
        ByObject.states[client] = 1
        ById.ids.add(id(client))
        registry = FailedJobRegistry('q', connection=client)
        assert list(registry.find()) == list(registry.get_page()) == ['job-0', 'job-1', 'job-2']
        assert rqreg_ext.snapshot(client)['q'].failed == 3
        assert registry.requeue_many(['job-0']).by_rq == 1
        assert registry.purge().by_rq == 2
    assert not connection.exists('rq:failed:q', 'rq:job:job-1')


class SlottedConnection(redis.Connection):
    __slots__ = ('tenant',)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tenant = 'x'

    def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
        assert self.tenant == 'x'
        return super().send_packed_command(command, check_health)


class ConnectionThatNeedsName(redis.Connection):
    def __init_subclass__(cls, *, name: str, **options: Any) -> None:
        super().__init_subclass__(**options)

    def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
        return super().send_packed_command(command, check_health)


@pytest.mark.parametrize('connection_class', [SlottedConnection, ConnectionThatNeedsName])
def test_connection_without_stand_in_is_used_by_its_clients_methods(
    redis_server: PrivateRedis, connection: redis.Redis, connection_class: Any
) -> None:
    fill_failed(connection)
    pool = redis.ConnectionPool(connection_class=connection_class, port=redis_server.port)
    with redis.Redis(connection_pool=pool) as client:
        registry = FailedJobRegistry('q', connection=client)
        assert list(registry.find()) == list(registry.get_page()) == ['job-0', 'job-1', 'job-2']
        assert rqreg_ext.snapshot(client)['q'].failed == 3
        assert registry.purge().by_rq == 3
