"""Which path serves clients with an encoding, decoding or caching of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry
from rqreg_ext._clients import admit
from rqreg_ext.registry import DeferredJobRegistry, FailedJobRegistry

from .connections import beside
from .outcomes import outcome_of

if TYPE_CHECKING:
    from private_redis import PrivateRedis

NEVER = 4_000_000_000


@pytest.mark.parametrize('protocol', [2, 3])
def test_a_decoding_client_is_taken_over(redis_server: PrivateRedis, connection: redis.Redis, protocol: int) -> None:
    connection.zadd('rq:failed:decoded', {'é': NEVER, 'b': NEVER + 1})
    client = redis_server.client(decode_responses=True, protocol=protocol)
    assert len(beside(client, connection)) == 1
    registry = FailedJobRegistry('decoded', connection=client)
    assert registry.get_job_ids(desc=True) == ['b', 'é']
    assert 'é' in registry


REFUSED: dict[str, dict[str, Any]] = {
    'latin-1': {'encoding': 'latin-1'},
    'utf-16': {'encoding': 'utf-16'},
    'ascii': {'encoding': 'ascii'},
    'encoding_errors': {'encoding_errors': 'replace'},
    'decoding latin-1': {'encoding': 'latin-1', 'decode_responses': True},
}


@pytest.mark.parametrize('name', REFUSED)
def test_another_encoding_is_not_taken_over(redis_server: PrivateRedis, connection: redis.Redis, name: str) -> None:
    assert beside(redis_server.client(**REFUSED[name]), connection) == []


@pytest.mark.parametrize('name', REFUSED)
def test_another_encoding_writes_what_rq_writes(redis_server: PrivateRedis, connection: redis.Redis, name: str) -> None:
    """The key and the id go out in the client's encoding: an entry stored by such a client is found by it."""
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        connection.flushdb()
        client = redis_server.client(**REFUSED[name])
        registry = namespace.FailedJobRegistry('q é', connection=client)
        outcome_of('add', lambda: client.zadd(registry.key, {'job é': NEVER}))  # noqa: B023
        calls = {
            'in': lambda: 'job é' in registry,  # noqa: B023
            'count': lambda: registry.count,  # noqa: B023
            'ids': registry.get_job_ids,
            'surrogate': lambda: registry.remove('a\udc80'),  # noqa: B023
            'remove': lambda: registry.remove('job é'),  # noqa: B023
        }
        found.append([outcome_of(call, make) for call, make in calls.items()] + connection.keys('*'))
    assert found[1] == found[0]


@pytest.fixture
def cached(redis_server: PrivateRedis, connection: redis.Redis) -> redis.Redis:
    """A client that answers from memory what it has read before."""
    cache = pytest.importorskip('redis.cache', reason='this redis-py has no client-side cache')
    client: redis.Redis = redis_server.client(protocol=3, cache_config=cache.CacheConfig())
    return client


@pytest.fixture
def caching(cached: redis.Redis) -> redis.Redis:
    """The same, with a server that redis-py takes for it."""
    try:
        cached.ping()
    except redis.ConnectionError as error:
        pytest.skip(str(error))
    return cached


def test_client_side_caching_is_not_admitted(cached: redis.Redis, redis_server: PrivateRedis) -> None:
    assert admit(cached.connection_pool) is None
    assert admit(redis_server.client(protocol=3).connection_pool) == ('redis.exceptions', False)


def test_client_side_caching_is_not_taken_over(caching: redis.Redis, connection: redis.Redis) -> None:
    """The registry answers from the client's cache what RQ would, and its reads fill the cache as RQ's do."""
    assert beside(caching, connection) == []
    connection.zadd('rq:deferred:cached', {'a': NEVER})
    registry = DeferredJobRegistry('cached', connection=caching)
    assert registry.get_job_ids() == ['a']
    assert caching.get_cache().size == 1


def test_a_cache_hears_of_what_we_remove(
    caching: redis.Redis, connection: redis.Redis, redis_server: PrivateRedis
) -> None:
    connection.zadd('rq:deferred:cached', {'a': NEVER, 'b': NEVER})
    assert caching.zrange('rq:deferred:cached', 0, -1) == [b'a', b'b']
    assert DeferredJobRegistry('cached', connection=redis_server.client()).remove('a') == 1
    assert DeferredJobRegistry('cached', connection=caching).get_job_ids() == ['b']
