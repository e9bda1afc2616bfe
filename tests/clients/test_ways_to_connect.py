"""Every way to connect that redis-py has: RQ's answers on the same client, and the same kind of connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext
from rqreg_ext._fastpath.clients import core_connections
from rqreg_ext.executions import ExecutionRegistry
from rqreg_ext.registry import FailedJobRegistry

from .connections import beside, opened_by
from .tour import assert_same_tour, assert_went_well

if TYPE_CHECKING:
    from private_redis import PrivateRedis


class NamedConnection(redis.Connection):
    """An application's connections, which have a say in what they call themselves."""

    def __init__(self, **arguments: Any) -> None:
        assert 'driver_info' not in arguments
        super().__init__(**arguments, client_name='named')


def by_pool(server: PrivateRedis, **arguments: Any) -> redis.Redis:
    """Return a client with a BlockingConnectionPool."""
    pool = redis.BlockingConnectionPool(host='127.0.0.1', port=server.port, timeout=10, **arguments)
    return redis.Redis(connection_pool=pool)


def from_pool_with_two_clients(server: PrivateRedis) -> redis.Redis:
    """Return the second client of a pool."""
    pool = redis.ConnectionPool.from_url(server.url)
    redis.Redis(connection_pool=pool).ping()
    return redis.Redis(connection_pool=pool)


WAYS: dict[str, Callable[[PrivateRedis], redis.Redis]] = {
    'tcp': lambda server: server.client(),
    'host name': lambda server: server.client(host='localhost'),
    'unix socket': lambda server: server.client(unix_socket_path=server.socket_path),
    'from_url': lambda server: redis.Redis.from_url(server.url),
    'from_url unix': lambda server: redis.Redis.from_url(f'unix://{server.socket_path}?db=0'),
    'from_pool': lambda server: redis.Redis.from_pool(redis.ConnectionPool.from_url(server.url)),
    'StrictRedis': lambda server: redis.StrictRedis(host='127.0.0.1', port=server.port),
    'shared pool': from_pool_with_two_clients,
    'protocol 2': lambda server: server.client(protocol=2),
    'protocol 3': lambda server: server.client(protocol=3),
    'BlockingConnectionPool': by_pool,
    'BlockingConnectionPool of 1': lambda server: by_pool(server, max_connections=1),
    'max_connections=1': lambda server: server.client(max_connections=1),
    'single_connection_client': lambda server: server.client(single_connection_client=True),
    'socket_timeout': lambda server: server.client(socket_timeout=5),
    'socket_timeout=None': lambda server: server.client(socket_timeout=None),
    'socket_keepalive': lambda server: server.client(socket_keepalive=True),
    'no retry': lambda server: server.client(retry=None),
    'retry': lambda server: server.client(retry=Retry(NoBackoff(), 3)),
    'health_check_interval': lambda server: server.client(health_check_interval=1),
    'encoding utf_8': lambda server: server.client(encoding='UTF_8'),
}


@pytest.mark.parametrize('way', WAYS)
def test_same_answers_as_rq(redis_server: PrivateRedis, connection: redis.Redis, way: str) -> None:
    assert_went_well(assert_same_tour(lambda: WAYS[way](redis_server), connection))


@pytest.mark.parametrize('way', WAYS)
def test_fast_path_is_used(redis_server: PrivateRedis, connection: redis.Redis, way: str) -> None:
    # A connection of the client's own has a state of its own.
    expected = 0 if way == 'single_connection_client' else 1
    assert len(beside(WAYS[way](redis_server), connection)) == expected


def decoding(server: PrivateRedis) -> redis.Redis:
    """Return a client that returns str for every reply, which RQ's own job code is not made for."""
    client: redis.Redis = server.client(decode_responses=True)
    return client


def latin(server: PrivateRedis) -> redis.Redis:
    """Return a client that writes keys and ids in another encoding than RQ reads them."""
    client: redis.Redis = server.client(encoding='latin-1')
    return client


def forgiving(server: PrivateRedis) -> redis.Redis:
    """Return a client that does not refuse what it cannot encode."""
    client: redis.Redis = server.client(encoding_errors='replace')
    return client


@pytest.mark.parametrize('make', [decoding, latin, forgiving])
def test_encodings_answer_as_with_rq(
    redis_server: PrivateRedis, connection: redis.Redis, make: Callable[[PrivateRedis], redis.Redis]
) -> None:
    """RQ does not support all of these. Where it fails, we fail with the same error and message."""
    assert_same_tour(lambda: make(redis_server), connection)


def test_client_side_caching_answers_as_with_rq(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    cache = pytest.importorskip('redis.cache', reason='this redis-py has no client-side cache')
    assert_same_tour(lambda: redis_server.client(protocol=3, cache_config=cache.CacheConfig()), connection)


def test_client_of_other_database_uses_own_connection(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    assert_went_well(assert_same_tour(lambda: redis_server.client(db=3), redis_server.client(db=3)))
    (ours,) = beside(redis_server.client(db=3), connection)
    assert ours['db'] == '3'


def test_connection_has_name_of_client(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    assert_went_well(assert_same_tour(lambda: redis_server.client(client_name='named'), connection))
    (ours,) = beside(redis_server.client(client_name='named'), connection)
    assert ours['name'] == 'named'


def test_protocol_of_client_is_used(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    for protocol in (2, 3):
        (ours,) = beside(redis_server.client(protocol=protocol), connection)
        # Redis 7.0 and newer tell.
        assert ours.get('resp', str(protocol)) == str(protocol)


def test_clients_of_several_databases_read_their_own(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    clients = [redis_server.client(db=db) for db in range(5)]
    for db, client in enumerate(clients):
        client.zadd('rq:failed:counted', {f'job-{number}': 4_000_000_000 for number in range(db + 1)})
    registries = [FailedJobRegistry('counted', connection=client) for client in clients]
    for _ in range(3):
        assert [registry.count for registry in registries] == [1, 2, 3, 4, 5]


def test_url_is_taken_for_client(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    url = redis_server.url
    connection.zadd('rq:failed:by url', {'a': 4_000_000_000})
    connection.zadd('rq:executions:job', {'one': 4_000_000_000})
    registry = FailedJobRegistry('by url', connection=url)
    assert isinstance(registry.connection, redis.Redis)
    assert registry.get_job_ids() == ['a']
    assert FailedJobRegistry('by url', url).count == 1
    assert ExecutionRegistry('job', connection=url).get_execution_ids() == ['one']
    assert rqreg_ext.Queue('by url', connection=url).failed_job_registry.get_job_ids() == ['a']


def test_url_with_other_database_reads_that_database(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    redis_server.client(db=4).zadd('rq:failed:by url', {'a': 4_000_000_000})
    assert FailedJobRegistry('by url', connection=redis_server.url.removesuffix('/0') + '/4').count == 1
    assert FailedJobRegistry('by url', connection=f'unix://{redis_server.socket_path}?db=4').get_job_ids() == ['a']
    assert FailedJobRegistry('by url', connection=redis_server.url).count == 0


def test_same_url_makes_one_client(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    url = f'{redis_server.url}?client_name=shared'
    first, second = (FailedJobRegistry(name, connection=url) for name in ('one', 'two'))
    assert first.connection is second.connection
    assert FailedJobRegistry('one', connection=f'{url}-not').connection is not first.connection


def test_registry_of_url_equals_rqs(redis_server: PrivateRedis) -> None:
    ours = FailedJobRegistry('same', connection=redis_server.url)
    assert ours == rq.registry.FailedJobRegistry('same', connection=redis.Redis.from_url(redis_server.url))


def test_calls_of_one_thread_use_one_connection(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    client = redis_server.client()
    client.ping()

    def call() -> None:
        for number in range(20):
            registry = FailedJobRegistry(f'queue-{number}', connection=client)
            assert (registry.count, registry.get_job_ids(), 'nobody' in registry) == (0, [], False)

    assert len(opened_by(connection, call)) == 1


def test_first_call_leaves_pool_of_client_free(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """A client with one connection can still use it, in the middle of a watched transaction too."""
    client = redis_server.client(max_connections=1)
    with client.pipeline() as pipeline:
        pipeline.watch('something')
        assert FailedJobRegistry('free', connection=client).count == 0
        pipeline.multi()
        pipeline.set('something', 'else')
        assert FailedJobRegistry('free', connection=client).get_job_ids() == []
        pipeline.execute()
    assert client.get('something') == b'else'


NAMES = {
    'by redis-py': {},
    'by the application': {'lib_name': 'app', 'lib_version': '1.0'},
    'by nothing': {'lib_name': None, 'lib_version': None},
}
POOLS: dict[str, Callable[..., redis.ConnectionPool]] = {
    'of a client': lambda server, **names: server.client(**names).connection_pool,
    'of a URL': lambda server, **names: redis.ConnectionPool.from_url(server.url, **names),
}


@pytest.mark.filterwarnings('ignore:Call to .*with deprecated usage of input argument')
@pytest.mark.parametrize('made', POOLS)
@pytest.mark.parametrize('named', NAMES)
def test_name_of_own_connection_is_that_of_pool(redis_server: PrivateRedis, made: str, named: str) -> None:
    pool = POOLS[made](redis_server, **NAMES[named])
    connection_class, arguments = core_connections.connection_arguments(pool)
    assert how_it_calls_itself(connection_class(**arguments)) == how_it_calls_itself(pool.make_connection())


def how_it_calls_itself(connection: Any) -> list[Any]:
    driver = getattr(connection, 'driver_info', None)
    if driver is not None:
        return [driver.formatted_name, driver.lib_version]
    return [getattr(connection, name, None) for name in ('lib_name', 'lib_version')]


def test_name_set_by_connection_class_is_kept(redis_server: PrivateRedis) -> None:
    pool = redis.ConnectionPool(connection_class=NamedConnection, host='127.0.0.1', port=redis_server.port)
    ours = beside(redis.Redis(connection_pool=pool), redis_server.client())
    assert [entry['name'] for entry in ours] == ['named']
