"""Which path is used for clients with another encoding, with decoding or with caching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry
from rqreg_ext._fastpath.clients.core_connections import describe_pool
from rqreg_ext.registry import DeferredJobRegistry, FailedJobRegistry

from .connections import beside
from .outcomes import outcome_of

if TYPE_CHECKING:
    from private_redis import PrivateRedis

NEVER = 4_000_000_000


@pytest.mark.parametrize('protocol', [2, 3])
def test_decoding_client_uses_fast_path(redis_server: PrivateRedis, connection: redis.Redis, protocol: int) -> None:
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
def test_other_encoding_uses_fallback(redis_server: PrivateRedis, connection: redis.Redis, name: str) -> None:
    assert beside(redis_server.client(**REFUSED[name]), connection) == []


@pytest.mark.parametrize('name', REFUSED)
def test_other_encoding_writes_what_rq_writes(redis_server: PrivateRedis, connection: redis.Redis, name: str) -> None:
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
    """A client that answers repeated reads from memory."""
    cache = pytest.importorskip('redis.cache', reason='this redis-py has no client-side cache')
    client: redis.Redis = redis_server.client(protocol=3, cache_config=cache.CacheConfig())
    return client


@pytest.fixture
def caching(cached: redis.Redis) -> redis.Redis:
    """A caching client, with a server for which redis-py supports it."""
    try:
        cached.ping()
    except redis.ConnectionError as error:
        pytest.skip(str(error))
    return cached


def test_caching_client_is_not_supported(cached: redis.Redis, redis_server: PrivateRedis) -> None:
    assert describe_pool(cached.connection_pool) is None
    plain = redis_server.client(protocol=3).connection_pool
    assert describe_pool(plain) == ('redis.exceptions', False, '_in_use_connections')


def test_caching_client_uses_fallback(caching: redis.Redis, connection: redis.Redis) -> None:
    """Calls use the client's cache, and fill it, as RQ's calls do."""
    assert beside(caching, connection) == []
    connection.zadd('rq:deferred:cached', {'a': NEVER})
    registry = DeferredJobRegistry('cached', connection=caching)
    assert registry.get_job_ids() == ['a']
    assert caching.get_cache().size == 1


def test_cache_is_invalidated_by_our_removals(
    caching: redis.Redis, connection: redis.Redis, redis_server: PrivateRedis
) -> None:
    connection.zadd('rq:deferred:cached', {'a': NEVER, 'b': NEVER})
    assert caching.zrange('rq:deferred:cached', 0, -1) == [b'a', b'b']
    assert DeferredJobRegistry('cached', connection=redis_server.client()).remove('a') == 1
    assert DeferredJobRegistry('cached', connection=caching).get_job_ids() == ['b']
