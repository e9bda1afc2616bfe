"""Custom pools, and clients with their own connection: where we cannot do the same, the fallback is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq.registry

import rqreg_ext
import rqreg_ext.registry
from rqreg_ext import _core
from rqreg_ext._fastpath.clients import core_connections
from rqreg_ext.registry import FailedJobRegistry

from .connections import beside

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

NAMESPACES = [rq.registry, rqreg_ext.registry]


class PublicMethods:
    """The public methods and attributes of redis-py's pools, and nothing else."""

    __slots__ = ()

    def __init__(self, **connection_kwargs: Any) -> None:
        self.connection_class = redis.Connection
        self.connection_kwargs = connection_kwargs
        self.max_connections = 10
        self.idle: list[Any] = []
        self.lent = 0

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        self.lent += 1
        connection = self.idle.pop() if self.idle else self.connection_class(**self.connection_kwargs)
        connection.connect()
        return connection

    def release(self, connection: Any) -> None:
        self.idle.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        for connection in self.idle:
            connection.disconnect()

    close = disconnect

    def get_encoder(self) -> Any:
        return redis.ConnectionPool().get_encoder()

    def get_protocol(self) -> Any:
        return self.connection_kwargs.get('protocol')

    def set_retry(self, retry: Any) -> None:
        self.connection_kwargs['retry'] = retry

    def reset(self) -> None:
        self.idle = []


class PublicPool(PublicMethods):
    """A pool with these."""


class UnreferencedPool(PublicMethods):
    """One to which there can be no weak reference."""

    __slots__ = ('__dict__',)


class SlottedPool(PublicMethods):
    """One that has no place for anything else."""

    __slots__ = ('connection_class', 'connection_kwargs', 'idle', 'lent', 'max_connections')


@pytest.fixture
def filled(redis_server: PrivateRedis, connection: redis.Redis) -> PrivateRedis:
    connection.zadd('rq:failed:own', {'a': 4_000_000_000})
    return redis_server


def client_of(pool: Any) -> Any:
    return redis.Redis(connection_pool=pool)


@pytest.mark.parametrize('pool_class', [PublicPool, UnreferencedPool, SlottedPool])
@pytest.mark.parametrize('namespace', NAMESPACES)
def test_pool_with_public_methods_only_is_used(
    filled: PrivateRedis, connection: redis.Redis, namespace: ModuleType, pool_class: Any
) -> None:
    pool = pool_class(host='127.0.0.1', port=filled.port)
    registry = namespace.FailedJobRegistry('own', connection=redis.Redis(connection_pool=pool))
    assert registry.get_job_ids(cleanup=False) == ['a']
    assert registry.remove('a') == 1
    assert registry.get_job_count(cleanup=False) == 0
    assert pool.lent == 3
    assert beside(redis.Redis(connection_pool=pool), connection) == []
    pool.disconnect()


def test_exchange_does_not_support_pool_with_public_methods(filled: PrivateRedis) -> None:
    for pool_class in (PublicPool, UnreferencedPool, SlottedPool):
        client = redis.Redis(connection_pool=pool_class(host='127.0.0.1', port=filled.port))
        assert _core.exchange(client, [(_core.VALUE, 'PING')]) is None


def test_pool_that_keeps_no_connections_is_used(filled: PrivateRedis, connection: redis.Redis) -> None:
    """It could keep them when it was first inspected."""
    client = filled.client()
    registry = FailedJobRegistry('own', connection=client)
    with mock.patch.object(core_connections, 'register', return_value=None) as register:
        assert len(beside(client, connection)) == 0
        assert registry.get_job_ids(cleanup=False) == ['a']
    assert register.call_count == 1
    assert beside(client, connection) == []
    client.close()


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_pool_with_own_connection_methods_is_used(filled: PrivateRedis, namespace: ModuleType) -> None:
    class Counting(redis.ConnectionPool):
        lent = made = 0

        def get_connection(self, *args: Any, **options: Any) -> Any:
            self.lent += 1
            return super().get_connection(*args, **options)

        def make_connection(self) -> Any:
            self.made += 1
            return super().make_connection()

    pool = Counting(host='127.0.0.1', port=filled.port)
    registry = namespace.FailedJobRegistry('own', connection=redis.Redis(connection_pool=pool))
    assert [registry.get_job_count(cleanup=False) for _ in range(3)] == [1] * 3
    assert (pool.lent, pool.made) == (3, 1)
    pool.disconnect()


# ---- Connections of the client's own ---------------------------------------------------------------


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_database_selected_on_single_connection_is_used(
    redis_server: PrivateRedis, connection: redis.Redis, namespace: ModuleType
) -> None:
    other = redis_server.client(db=3)
    connection.zadd('rq:failed:own', {'zero': 4_000_000_000})
    other.zadd('rq:failed:own', {'three': 4_000_000_000})
    client = redis_server.client(single_connection_client=True)
    registry = namespace.FailedJobRegistry('own', connection=client)
    assert registry.get_job_ids(cleanup=False) == ['zero']
    client.execute_command('SELECT', 3)
    assert registry.get_job_ids(cleanup=False) == ['three']
    assert 'three' in registry
    assert registry.remove('three') == 1
    assert connection.zcard('rq:failed:own') == 1
    assert other.zcard('rq:failed:own') == 0
    client.close()
    other.close()


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_connection_set_on_client_later_is_used(
    redis_server: PrivateRedis, connection: redis.Redis, namespace: ModuleType
) -> None:
    client = redis_server.client()
    registry = namespace.FailedJobRegistry('own', connection=client)
    assert registry.get_job_ids(cleanup=False) == []
    client.connection = client.connection_pool.get_connection('SELECT')
    client.execute_command('SELECT', 3)
    client.zadd('rq:failed:own', {'three': 4_000_000_000})
    assert registry.get_job_ids(cleanup=False) == ['three']
    client.connection_pool.release(client.connection)
    client.connection = None
    client.connection_pool.disconnect()
    assert registry.get_job_ids(cleanup=False) == []
    client.close()


# ---- Mistakes of ours are raised ----------------------------------------------------------------------------


def test_own_type_error_is_raised(filled: PrivateRedis) -> None:
    """It does not mean that the client is unsupported."""
    client = filled.client()
    with (
        mock.patch.object(core_connections, 'describe_pool', side_effect=TypeError('a mistake')),
        pytest.raises(TypeError, match='a mistake'),
    ):
        FailedJobRegistry('own', connection=client).get_job_count(cleanup=False)
    with (
        mock.patch.object(core_connections, 'describe_pool', side_effect=TypeError('a mistake')),
        pytest.raises(TypeError, match='a mistake'),
    ):
        _core.exchange(client, [(_core.VALUE, 'PING')])
    assert FailedJobRegistry('own', connection=client).get_job_count(cleanup=False) == 1
    client.close()


class SlottedClient:
    """A client around another one, without a place for attributes."""

    __slots__ = ('_client',)

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_client_without_instance_attributes_is_used(filled: PrivateRedis, namespace: ModuleType) -> None:
    client = filled.client()
    registry = namespace.FailedJobRegistry('own', connection=SlottedClient(client))
    assert registry.get_job_ids(cleanup=False) == ['a']
    client.close()


@pytest.mark.parametrize('namespace', NAMESPACES)
@pytest.mark.parametrize('retried', [['no class'], [None, ValueError()]])
def test_errors_to_retry_on_that_are_no_classes_are_ignored(
    filled: PrivateRedis, namespace: ModuleType, retried: list[Any]
) -> None:
    client = filled.client()
    client.connection_pool.connection_kwargs['retry_on_error'] = retried
    registry = namespace.FailedJobRegistry('own', connection=client)
    assert registry.get_job_ids(cleanup=False) == ['a']
    client.close()


@pytest.mark.parametrize('call', ['purge', 'requeue_all', 'remove_many', 'cancel_many', 'find', 'snapshot'])
def test_own_connection_of_client_has_its_own_database(
    redis_server: PrivateRedis, connection: redis.Redis, call: str
) -> None:
    """RQ lists the database that was selected; its pipelines, and so its jobs, are those of the pool's."""
    client = redis.Redis(port=redis_server.port, single_connection_client=True)
    client.execute_command('SELECT', 3)
    other = redis_server.client(db=3)
    connection.zadd('rq:failed:q', {'job-0': 4_000_000_000, 'job-1': 4_000_000_000})
    other.zadd('rq:failed:q', {'job-9': 4_000_000_000})
    before = {key: connection.dump(key) for key in connection.scan_iter()}
    registry = rqreg_ext.registry.FailedJobRegistry('q', connection=client)
    assert registry.get_job_ids() == ['job-9']
    calls: dict[str, Callable[[], Any]] = {
        'purge': registry.purge,
        'requeue_all': registry.requeue_all,
        'remove_many': lambda: registry.remove_many(['job-0', 'job-9']),
        'cancel_many': lambda: registry.cancel_many(['job-0', 'job-9']),
        'find': lambda: list(registry.find()) == ['job-9'] or pytest.fail('of another database'),
        'snapshot': lambda: rqreg_ext.snapshot(client, queues=['q'])['q'].failed == 1 or pytest.fail('of another one'),
    }
    calls[call]()
    assert {key: connection.dump(key) for key in connection.scan_iter()} == before
    other.close()
    client.close()
