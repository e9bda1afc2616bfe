"""Limits of connections, of the client and of the server: above them, the fallback or RQ's error."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from host.patience import eventually
from private_redis import PrivateRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .connections import beside
from .outcomes import outcome_of

if TYPE_CHECKING:
    from types import ModuleType

NEVER = 4_000_000_000
IDS = [f'job-{number:05}' for number in range(20_000)]
CALLS = 30


@pytest.fixture
def filled(redis_server: PrivateRedis, connection: redis.Redis) -> PrivateRedis:
    """The server, with a registry that takes a while to read."""
    connection.zadd('rq:failed:capped', {job_id: NEVER + rank for rank, job_id in enumerate(IDS)})
    return redis_server


@pytest.fixture
def name() -> str:
    """A client name that no other test's connections have, should some of those still be open."""
    return f'capped-{uuid.uuid4()}'


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """Make the call CALLS times in each of several threads that begin together; return all results."""
    barrier = threading.Barrier(count)

    def run() -> list[Any]:
        barrier.wait()
        return [call() for _ in range(CALLS)]

    with ThreadPoolExecutor(count) as executor:
        return [result for future in [executor.submit(run) for _ in range(count)] for result in future.result()]


def named(observer: redis.Redis, name: str) -> int:
    """Return how many connections of this client name the server has."""
    return sum(entry['name'] == name for entry in observer.client_list())


def test_pool_of_one_connection_stays_free_for_client(filled: PrivateRedis, connection: redis.Redis, name: str) -> None:
    """The client's one connection stays free for the client, whatever the registry does."""
    client = filled.client(max_connections=1, client_name=name)
    registry = FailedJobRegistry('capped', connection=client)
    for _ in range(3):
        assert registry.count == len(IDS)
        assert client.ping()
    assert named(connection, name) == 2


@pytest.mark.parametrize('threads', [1, 3])
def test_as_many_threads_as_connections_are_all_answered(
    filled: PrivateRedis, connection: redis.Redis, name: str, threads: int
) -> None:
    """No thread is refused, as with RQ."""
    client = filled.client(max_connections=threads, client_name=name)
    registry = FailedJobRegistry('capped', connection=client)
    assert in_threads(threads, registry.get_job_ids) == [IDS] * threads * CALLS
    assert 1 <= named(connection, name) <= 2 * threads


def test_twice_as_many_threads_as_connections_are_mostly_answered(
    filled: PrivateRedis, connection: redis.Redis, name: str
) -> None:
    """Half of them find a connection of ours, the other half one of the client's.

    While one of ours is compared with a new one of redis-py's, both are in use: a fourth thread may be refused then.
    RQ refuses the third.
    """
    client = filled.client(max_connections=2, client_name=name)
    registry = FailedJobRegistry('capped', connection=client)
    outcomes = in_threads(4, lambda: outcome_of('ids', registry.get_job_ids))
    right = [outcome for outcome in outcomes if outcome.value == (list, [(str, job_id) for job_id in IDS])]
    refused = [outcome for outcome in outcomes if outcome.error and issubclass(outcome.error, redis.ConnectionError)]
    assert len(right) + len(refused) == 4 * CALLS
    assert len(right) > len(refused)
    # Both paths were needed, unless the threads never met.
    assert 1 <= named(connection, name) <= 4


def test_more_threads_than_both_pools_raise_redis_pys_error_only(
    filled: PrivateRedis, connection: redis.Redis, name: str
) -> None:
    """Then redis-py's error is raised, and no answer is wrong; afterwards all calls work again."""
    client = filled.client(max_connections=1, client_name=name)
    registry = FailedJobRegistry('capped', connection=client)
    for outcome in in_threads(8, lambda: outcome_of('ids', registry.get_job_ids)):
        assert outcome.error is not None or outcome.value == (list, [(str, job_id) for job_id in IDS])
        assert outcome.error is None or issubclass(outcome.error, redis.ConnectionError)
    assert named(connection, name) <= 2
    assert registry.count == len(IDS)
    assert client.ping()


class SlowToTell(redis.ConnectionPool):
    """A pool that is slow to return its connection arguments, so that other threads run before it does."""

    @property
    def connection_class(self) -> type[redis.Connection]:
        time.sleep(0.05)
        return redis.Connection

    @connection_class.setter
    def connection_class(self, value: Any) -> None:
        pass


def test_limit_holds_while_a_connection_opens(filled: PrivateRedis, connection: redis.Redis, name: str) -> None:
    pool = SlowToTell(host='127.0.0.1', port=filled.port, max_connections=1, client_name=name)
    registry = FailedJobRegistry('capped', connection=redis.Redis(connection_pool=pool))
    in_threads(8, lambda: outcome_of('ids', registry.get_job_ids))
    assert named(connection, name) <= 2
    assert registry.count == len(IDS)
    pool.disconnect()


def test_threads_wait_for_blocking_pool(filled: PrivateRedis, connection: redis.Redis, name: str) -> None:
    pool = redis.BlockingConnectionPool(
        host='127.0.0.1', port=filled.port, max_connections=2, timeout=60, client_name=name
    )
    registry = FailedJobRegistry('capped', connection=redis.Redis(connection_pool=pool))
    assert in_threads(8, registry.get_job_ids) == [IDS] * 8 * CALLS
    assert 1 <= named(connection, name) <= 4


def test_single_connection_client_uses_its_own_connection(
    filled: PrivateRedis, connection: redis.Redis, name: str
) -> None:
    """Its connection may have its own state, so the fallback uses it."""
    client = filled.client(single_connection_client=True, client_name=name)
    registry = FailedJobRegistry('capped', connection=client)
    for _ in range(3):
        assert registry.count == len(IDS)
        assert client.ping()
    assert named(connection, name) == 1


@pytest.mark.parametrize('closing', ['client', 'pool', 'inuse'])
def test_closed_client_closes_our_connections_and_reopens(
    filled: PrivateRedis, connection: redis.Redis, name: str, closing: str
) -> None:
    client = filled.client(client_name=name)
    registry = FailedJobRegistry('capped', connection=client)
    close = {
        'client': client.close,
        'pool': client.connection_pool.disconnect,
        'inuse': lambda: client.connection_pool.disconnect(inuse_connections=True),
    }[closing]
    for _ in range(3):
        assert registry.count == len(IDS)
        assert named(connection, name) >= 1
        close()
        assert eventually(lambda: named(connection, name) == 0)


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
def test_pool_without_max_connections_uses_fallback(filled: PrivateRedis, namespace: ModuleType) -> None:
    """A custom pool without max_connections: RQ does not need it, so the fallback is used."""

    class Uncapped(redis.ConnectionPool):
        def __getattribute__(self, name: str) -> Any:
            if name == 'max_connections' and given == ['away']:
                raise AttributeError(name)
            return super().__getattribute__(name)

    given: list[str] = []
    client = redis.Redis(connection_pool=Uncapped(host='127.0.0.1', port=filled.port))
    client.ping()
    given.append('away')
    registry = namespace.FailedJobRegistry('capped', connection=client)
    assert registry.get_job_ids() == IDS
    given.clear()
    assert registry.get_job_ids() == IDS
    client.close()


# ---- A server that takes no more -------------------------------------------------------------------

CAPACITY = 8


@pytest.fixture
def small_server() -> Iterator[PrivateRedis]:
    """A server that takes CAPACITY connections."""
    with PrivateRedis(maxclients=CAPACITY) as server:
        yield server


def fill_up(server: PrivateRedis, admin: redis.Redis) -> list[socket.socket]:
    """Open connections until the server takes no more."""
    taken = []
    while len(admin.client_list()) < CAPACITY:
        taken.append(socket.create_connection(('127.0.0.1', server.port)))
        taken[-1].sendall(b'PING\r\n')
        assert taken[-1].recv(64) == b'+PONG\r\n'
    return taken


def on_a_full_server(namespace: ModuleType, server: PrivateRedis, prepare: Callable[[Any], Any]) -> Any:
    """Fill the server up after `prepare(registry)`, count, let go, and count again; return both outcomes."""
    admin = server.client()
    admin.zadd('rq:failed:full', {'a': NEVER})
    client = server.client(retry=Retry(NoBackoff(), 0))
    registry = namespace.FailedJobRegistry('full', connection=client)
    prepare(registry)
    taken = fill_up(server, admin)
    full = outcome_of('count', lambda: registry.count)
    for end in taken:
        end.close()
    assert eventually(lambda: len(admin.client_list()) <= CAPACITY - len(taken))
    after = outcome_of('count', lambda: registry.count)
    for used in (client, admin):
        used.close()
    return full, after


def test_full_server_refuses_new_client(small_server: PrivateRedis) -> None:
    theirs, ours = (
        on_a_full_server(namespace, small_server, lambda registry: None)
        for namespace in (rq.registry, rqreg_ext.registry)
    )
    assert ours[1].value == (int, 1)
    assert issubclass(ours[0].error, redis.ConnectionError)
    assert ours == theirs


def test_full_server_still_serves_our_connection(small_server: PrivateRedis) -> None:
    full, after = on_a_full_server(rqreg_ext.registry, small_server, lambda registry: registry.count)
    assert full.value == after.value == (int, 1)


def test_full_server_still_serves_connection_of_client(small_server: PrivateRedis) -> None:
    """Our connection cannot be opened, so the fallback uses the one that the client has."""
    theirs, ours = (
        on_a_full_server(namespace, small_server, lambda registry: registry.connection.ping())
        for namespace in (rq.registry, rqreg_ext.registry)
    )
    assert theirs[0].value == (int, 1)
    assert ours == theirs


def test_limit_that_is_no_integer_is_no_limit(filled: PrivateRedis, connection: redis.Redis) -> None:
    client = filled.client()
    client.connection_pool.max_connections = float('inf')
    assert len(beside(client, connection)) == 1
