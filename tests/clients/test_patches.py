"""Patches of redis-py, made and removed at any time, are called as often as by RQ's own calls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import redis.client
import redis.connection
import rq.registry

import rqreg_ext.registry
from rqreg_ext import FailedJobRegistry, _core

from .outcomes import outcome_of

if TYPE_CHECKING:
    from private_redis import PrivateRedis

JOBS = {'a': 4_000_000_000, 'b': 4_000_000_001, 'expired': 1}
PLACES = [
    *((redis.Redis, name) for name in ('execute_command', 'parse_response', '_send_command_parse_response')),
    *((redis.Redis, name) for name in ('zcard', 'zrange', 'zrem', 'zremrangebyscore', 'zscore', 'zrangebyscore')),
    *((redis.connection.AbstractConnection, name) for name in ('connect', 'read_response', 'can_read')),
    *((redis.connection.AbstractConnection, name) for name in ('send_packed_command', 'send_command')),
    *((redis.ConnectionPool, name) for name in ('get_connection', 'release', 'make_connection')),
]
IDS = [f'{owner.__name__}.{name}' for owner, name in PLACES]


@pytest.fixture
def client(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


def calls_on(registry: Any) -> list[Any]:
    return [
        outcome_of('count', lambda: registry.count),
        outcome_of('ids', registry.get_job_ids),
        outcome_of('in', lambda: 'a' in registry),
        outcome_of('expired', lambda: registry.get_expired_job_ids(1)),
        outcome_of('remove', lambda: registry.remove('a')),
    ]


def made(namespace: Any, client: redis.Redis) -> Any:
    client.zadd('rq:failed:q', JOBS)
    return namespace.FailedJobRegistry('q', connection=client)


@contextmanager
def counting(owner: type, name: str) -> Iterator[list[Any]]:
    """Patch a method by one that records each call."""
    original, calls = getattr(owner, name), []

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(args)
        return original(self, *args, **options)

    with mock.patch.object(owner, name, counted):
        yield calls


def heard(namespace: Any, client: redis.Redis, owner: type, name: str) -> tuple[list[Any], int]:
    registry = made(namespace, client)
    with counting(owner, name) as calls:
        return calls_on(registry), len(calls)


@pytest.mark.parametrize(('owner', 'name'), PLACES, ids=IDS)
def test_patch_after_first_call_is_called_as_by_rq(
    redis_server: PrivateRedis, client: redis.Redis, owner: type, name: str
) -> None:
    with redis_server.client() as other:
        for each, namespace in ((client, rqreg_ext.registry), (other, rq.registry)):
            assert made(namespace, each).count == 2
        assert heard(rqreg_ext.registry, client, owner, name) == heard(rq.registry, other, owner, name)
    assert_is_fast(client)


@pytest.mark.parametrize(('owner', 'name'), PLACES, ids=IDS)
def test_patch_before_first_call_is_called_as_by_rq(
    redis_server: PrivateRedis, connection: redis.Redis, owner: type, name: str
) -> None:
    found = []
    for namespace in (rqreg_ext.registry, rq.registry):
        made(namespace, connection)
        with redis_server.client() as client, counting(owner, name) as calls:
            found.append((calls_on(namespace.FailedJobRegistry('q', connection=client)), len(calls)))
        with redis_server.client() as client:
            assert_is_fast(client)
    assert found[0] == found[1]
    assert found[0][1] > 0


def assert_is_fast(client: redis.Redis) -> None:
    """Check that our connections are used, and that the answers are right."""
    assert _core.is_direct(client)
    client.delete('rq:failed:q')
    client.zadd('rq:failed:q', JOBS)
    assert FailedJobRegistry('q', connection=client).count == 2


BEFORE_IMPORT = """
import sys, redis
calls = []
original = redis.Redis.zcard
redis.Redis.zcard = lambda self, key: calls.append(key) or original(self, key)
import rqreg_ext
client = redis.Redis(unix_socket_path=sys.argv[1])
registry = rqreg_ext.FailedJobRegistry('q', connection=client)
registry.count
heard = len(calls)
redis.Redis.zcard = original
registry.count
from rqreg_ext import _core
print(heard, len(calls), _core.is_direct(client))
"""


def test_patch_before_import_is_called_until_removed(redis_server: PrivateRedis) -> None:
    command = [sys.executable, '-c', BEFORE_IMPORT, redis_server.socket_path]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ['1', '1', 'True']


def test_replaced_code_is_called(client: redis.Redis) -> None:
    """As tracing tools do that replace the code of the existing function."""
    registry = made(rqreg_ext.registry, client)
    assert registry.count == 2
    function: Any = redis.Redis.zcard
    code = function.__code__

    def zcard(self: Any, name: Any) -> Any:
        return 42

    try:
        function.__code__ = zcard.__code__
        assert registry.count == 42
    finally:
        function.__code__ = code
    assert_is_fast(client)


@pytest.mark.parametrize('name', ['zcard', 'execute_command'])
def test_method_of_one_client_is_called_only_for_it(redis_server: PrivateRedis, client: redis.Redis, name: str) -> None:
    registry = made(rqreg_ext.registry, client)
    for number in range(2):
        client.tag = 'mine'  # type: ignore[attr-defined]
        assert registry.count == 2
        with redis_server.client() as other:
            setattr(other, name, lambda *args, **options: 42)
            assert FailedJobRegistry('q', connection=other).get_job_count(cleanup=False) == 42
            delattr(other, name)
            other.tag = number  # type: ignore[attr-defined]
            assert FailedJobRegistry('q', connection=other).count == 2
        del client.tag  # type: ignore[attr-defined]


def test_method_added_to_base_class_is_called(redis_server: PrivateRedis, client: redis.Redis) -> None:
    class Base(redis.Redis):
        pass

    class Own(Base):
        pass

    own = Own(host='127.0.0.1', port=redis_server.port)
    registry = made(rqreg_ext.registry, own)
    assert registry.count == 2
    Base.zcard = lambda self, name: 42  # type: ignore[method-assign]
    assert registry.count == 42
    del Base.zcard
    assert_is_fast(own)
    own.close()


def test_changed_class_of_client_is_used(client: redis.Redis) -> None:
    class Own(redis.Redis):
        def zcard(self, name: Any) -> Any:
            return 42

    registry = made(rqreg_ext.registry, client)
    assert registry.count == 2
    client.__class__ = Own
    assert registry.count == 42
    client.__class__ = redis.Redis
    assert_is_fast(client)


@pytest.mark.parametrize('name', ['get_connection', 'release', 'make_connection'])
def test_method_of_one_pool_is_called(redis_server: PrivateRedis, client: redis.Redis, name: str) -> None:
    found = []
    for namespace in (rqreg_ext.registry, rq.registry):
        with redis_server.client() as own:
            registry = made(namespace, own)
            assert registry.count == 2
            original = getattr(own.connection_pool, name)
            with mock.patch.object(own.connection_pool, name, side_effect=original) as patched:
                found.append((calls_on(registry), patched.call_count))
            assert_is_fast(own)
    assert found[0] == found[1]


def test_changed_connection_class_of_pool_is_used(redis_server: PrivateRedis, client: redis.Redis) -> None:
    sent: list[bytes] = []

    class Own(redis.Connection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
            sent.extend(command)
            return super().send_packed_command(command, check_health)

    with redis_server.client() as own:
        registry = made(rqreg_ext.registry, own)
        assert registry.count == 2
        own.connection_pool.connection_class = Own
        own.connection_pool.disconnect()
        own.connection_pool.reset()
        assert registry.count == 2
        assert any(b'ZCARD' in block for block in sent)


def test_custom_pipeline_is_used_where_rq_uses_it(client: redis.Redis) -> None:
    class Own(redis.client.Pipeline):
        executed = 0

        def execute(self, raise_on_error: bool = True) -> Any:
            Own.executed += 1
            return super().execute(raise_on_error)

    def requeue(namespace: Any) -> int:
        fill(client)
        Own.executed = 0
        with mock.patch.object(redis.client, 'Pipeline', Own):
            namespace.FailedJobRegistry('q', connection=client).requeue('job-0')
        return Own.executed

    assert_is_fast(client)
    assert requeue(rqreg_ext.registry) == requeue(rq.registry) > 0
    assert_is_fast(client)


def test_custom_parser_uses_fallback(redis_server: PrivateRedis, client: redis.Redis) -> None:
    used: list[Any] = []
    connection = client.connection_pool.make_connection()
    connection.connect()
    base: Any = type(connection._parser)
    connection.disconnect()

    class Own(base):  # type: ignore[misc]
        def read_response(self, *args: Any, **options: Any) -> Any:
            used.append(args)
            return super().read_response(*args, **options)

    pool = redis.ConnectionPool(host='127.0.0.1', port=redis_server.port, parser_class=Own)
    with redis.Redis(connection_pool=pool) as own:
        registry = made(rqreg_ext.registry, own)
        # Connecting reads too.
        assert registry.count == 2
        used.clear()
        assert registry.count == 2
        assert used


def test_custom_packer_uses_fallback(redis_server: PrivateRedis, client: redis.Redis) -> None:
    packed: list[Any] = []

    class Packer:
        def pack(self, *args: Any) -> Any:
            packed.append(args[0])
            return client.connection_pool.make_connection().pack_command(*args)

    pool = redis.ConnectionPool(host='127.0.0.1', port=redis_server.port, command_packer=Packer())
    with redis.Redis(connection_pool=pool) as own:
        assert made(rqreg_ext.registry, own).count == 2
    assert 'ZCARD' in packed


# ---- Bulk calls


BULK: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    'purge': (
        lambda registry: registry.purge(),
        lambda registry: [registry.remove(job_id, delete_job=True) for job_id in registry.get_job_ids()],
    ),
    'requeue_all': (
        lambda registry: registry.requeue_all(),
        lambda registry: [registry.requeue(job_id) for job_id in registry.get_job_ids()],
    ),
}


@pytest.mark.parametrize('name', ['zrange', 'zrem', 'hgetall'])
@pytest.mark.parametrize('call', BULK)
def test_bulk_call_uses_patched_command_as_rq_does(
    redis_server: PrivateRedis, client: redis.Redis, call: str, name: str
) -> None:
    """On a client that was used before, and with scripts again when the patch is gone."""
    ours, loop = BULK[call]
    found = []
    for namespace, make in ((rqreg_ext.registry, ours), (rq.registry, loop)):
        fill(client)
        with counting(redis.Redis, name) as calls:
            make(namespace.FailedJobRegistry('q', connection=client))
            found.append({args[0] for args in calls})
    assert found[0] >= found[1] > set()
    fill(client)
    result = ours(FailedJobRegistry('q', connection=client))
    assert (result.done, result.by_rq) == (3, 0)


def fill(client: redis.Redis) -> None:
    client.flushdb()
    queue = rq.Queue('q', connection=client)
    for number in range(3):
        job = queue.enqueue('os.getpid', job_id=f'job-{number}')
        queue.remove(job)
        client.hset(job.key, 'status', 'failed')
        client.zadd('rq:failed:q', {job.id: 4_000_000_000})


def test_inspected_names_exist_in_every_supported_release() -> None:
    """If redis-py dropped a name, no client would be supported any more."""
    from rqreg_ext._fastpath.clients import kinds, pools

    for name in (*kinds.COMMANDS, *kinds.CLIENT_OUTER):
        assert type(getattr(redis.Redis, name)) is FunctionType, name
    for name in (*pools.WRITING, *pools.READING):
        assert type(getattr(redis.Connection, name)) is FunctionType, name
