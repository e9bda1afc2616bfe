"""Connection arguments of a pool that change: existing connections keep those that they were made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from host.patience import eventually

import rqreg_ext.registry
from rqreg_ext import _core

from .connections import beside, connection_ids, kill_all

if TYPE_CHECKING:
    from private_redis import PrivateRedis

OLD, NEW = 0, 3
KINDS = [redis.ConnectionPool, redis.BlockingConnectionPool]


@pytest.fixture
def databases(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    """Two databases with one entry each, named after the database."""
    other = redis_server.client(db=NEW)
    for client, name in ((connection, 'old'), (other, 'new')):
        client.zadd('rq:failed:q', {name: 4_000_000_000})
    yield connection
    other.close()


def as_redis_py(client: redis.Redis) -> list[str]:
    """Return what a command of redis-py itself reads."""
    return [member.decode() for member in client.zrange('rq:failed:q', 0, -1)]


def as_rq(client: redis.Redis) -> list[str]:
    """Return what RQ reads."""
    return rq.registry.FailedJobRegistry('q', connection=client).get_job_ids()


def as_ours(client: redis.Redis) -> list[str]:
    """Return what our registry reads, on a connection of its own."""
    assert _core.is_direct(client)
    return rqreg_ext.registry.FailedJobRegistry('q', connection=client).get_job_ids()


def as_exchange(client: redis.Redis) -> list[str]:
    """Return what commands of the bulk calls read."""
    (ids,) = _core.exchange(client, [(_core.TEXTS, 'ZRANGE', 'rq:failed:q', 0, -1)])
    return ids


READINGS = [as_redis_py, as_rq, as_ours, as_exchange]


def change_arguments(client: Any) -> None:
    client.connection_pool.connection_kwargs['db'] = NEW


# What is done after that, and the database that is read then.
EVENTS: dict[str, tuple[Callable[[Any, Any], object], int]] = {
    'nothing': (lambda client, observer: None, OLD),
    'reset': (lambda client, observer: client.connection_pool.reset(), NEW),
    'disconnect': (lambda client, observer: client.connection_pool.disconnect(), OLD),
    'close': (lambda client, observer: client.close(), OLD),
    'disconnect_and_reset': (
        lambda client, observer: (client.connection_pool.disconnect(), client.connection_pool.reset()),
        NEW,
    ),
    'killed_by_server': (lambda client, observer: kill_all(observer), OLD),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize('read', READINGS)
@pytest.mark.parametrize('event', EVENTS)
@pytest.mark.parametrize('pool_class', KINDS)
def test_changed_arguments_reach_new_connections_only(
    redis_server: PrivateRedis, databases: redis.Redis, pool_class: Any, event: str, read: Callable[[Any], list[str]]
) -> None:
    pool = pool_class(host='127.0.0.1', port=redis_server.port, db=OLD)
    client = redis.Redis(connection_pool=pool)
    assert read(client) == ['old']
    change_arguments(client)
    act, database = EVENTS[event]
    act(client, databases)
    for _ in range(3):
        assert read(client) == (['old'] if database == OLD else ['new'])
    pool.disconnect()
    pool.reset()


def test_pool_opens_one_connection_at_a_time(redis_server: PrivateRedis, databases: redis.Redis) -> None:
    """No other connection stays open, neither after reset() nor after disconnect()."""
    client = redis_server.client()
    before = connection_ids(databases)
    for _ in range(3):
        as_ours(client)
        client.connection_pool.reset()
        as_ours(client)
        client.connection_pool.disconnect()
    as_ours(client)
    assert eventually(lambda: len(connection_ids(databases) - before) == 1)
    client.close()
    assert eventually(lambda: connection_ids(databases) <= before)


def test_reopened_connection_is_closed_with_its_pool(redis_server: PrivateRedis, databases: redis.Redis) -> None:
    client = redis_server.client()
    before = connection_ids(databases)
    for forget in (client.connection_pool.disconnect, client.connection_pool.reset):
        as_ours(client)
        forget()
        as_ours(client)
        client.connection_pool.disconnect()
        assert eventually(lambda: connection_ids(databases) <= before)


def test_connection_is_not_used_again_after_reset_during_call(
    redis_server: PrivateRedis, databases: redis.Redis
) -> None:
    """The connection that it uses is not used again."""
    client = redis_server.client()

    def finish(reply: object) -> object:
        change_arguments(client)
        client.connection_pool.reset()
        return reply

    assert _core.exchange(client, [(finish, 'ZCARD', 'rq:failed:q')]) == [1]
    assert as_ours(client) == ['new']
    assert len(beside(client, databases)) == 0
    client.close()
