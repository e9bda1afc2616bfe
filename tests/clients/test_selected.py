"""SELECT, AUTH and the like, sent over redis-py's own connection: RQ's calls have that state, and so do ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from rq import Queue

import rqreg_ext
import rqreg_ext.registry
from rqreg_ext import _core

from .connections import kill_all

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

SELECTED = 3
READER = 'selected-reader'
JOBS = {0: 3, SELECTED: 2}


@pytest.fixture
def databases(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[dict[int, redis.Redis]]:
    """Two databases with failed jobs."""
    clients = {number: redis_server.client(db=number) for number in JOBS}
    for number, client in clients.items():
        client.flushdb()
        queue = Queue('selected', connection=client)
        for index in range(JOBS[number]):
            job = queue.enqueue('os.getpid', job_id=f'job-{index}')
            job.set_status('failed')
            client.lrem(queue.key, 0, job.id)
            client.zadd('rq:failed:selected', {job.id: 4_000_000_000})
    yield clients
    for client in clients.values():
        client.flushdb()
        client.close()


def pool_of(server: PrivateRedis, kind: str, **arguments: Any) -> redis.ConnectionPool:
    made: Any = {
        'plain': redis.ConnectionPool,
        'single': lambda **given: redis.ConnectionPool(max_connections=1, **given),
        'blocking': redis.BlockingConnectionPool,
    }[kind]
    return made(host='127.0.0.1', port=server.port, **arguments)  # type: ignore[no-any-return]


def ids_in(client: redis.Redis) -> int:
    return client.zcard('rq:failed:selected')  # type: ignore[return-value]


def jobs_in(client: redis.Redis) -> int:
    return len(client.keys('rq:job:*'))  # type: ignore[arg-type]


def all_queues(registry: Any) -> Any:
    return rqreg_ext.purge(registry.connection, queues=['selected'])


# How many entries and jobs are left in the selected database.
CALLS: dict[str, tuple[Callable[[Any], object], tuple[int, int]]] = {
    'remove': (lambda registry: registry.remove('job-0', delete_job=True), (1, 1)),
    'requeue': (lambda registry: registry.requeue('job-0'), (1, 2)),
    'purge': (lambda registry: registry.purge(), (0, 0)),
    'requeue_all': (lambda registry: registry.requeue_all(), (0, 2)),
    'remove_many': (lambda registry: registry.remove_many(['job-0'], delete_job=True), (1, 1)),
    'all_queues': (all_queues, (0, 0)),
}


@pytest.mark.parametrize('kind', ['plain', 'single', 'blocking'])
@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
def test_reads_are_of_selected_database(
    redis_server: PrivateRedis, databases: dict[int, redis.Redis], namespace: ModuleType, protocol: int, kind: str
) -> None:
    client = redis.Redis(connection_pool=pool_of(redis_server, kind, protocol=protocol))
    client.select(SELECTED)
    registry = namespace.FailedJobRegistry('selected', connection=client)
    assert [registry.count, len(registry.get_job_ids()), 'job-2' in registry] == [2, 2, False]
    client.close()


@pytest.mark.parametrize('kind', ['plain', 'single', 'blocking'])
@pytest.mark.parametrize('call', CALLS)
def test_changes_are_in_selected_database(
    redis_server: PrivateRedis, databases: dict[int, redis.Redis], call: str, kind: str
) -> None:
    client = redis.Redis(connection_pool=pool_of(redis_server, kind))
    client.select(SELECTED)
    change, left = CALLS[call]
    change(rqreg_ext.registry.FailedJobRegistry('selected', connection=client))
    selected = databases[SELECTED]
    assert (ids_in(selected), jobs_in(selected)) == left
    assert (ids_in(databases[0]), jobs_in(databases[0])) == (3, 3)
    client.close()


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
def test_select_on_first_connection_of_client_is_followed_after_our_call(
    redis_server: PrivateRedis, databases: dict[int, redis.Redis], namespace: ModuleType
) -> None:
    """Ours is open by then, and redis-py's is not."""
    client = redis_server.client()
    assert rqreg_ext.registry.FailedJobRegistry('selected', connection=client).count == 3
    client.select(SELECTED)
    assert namespace.FailedJobRegistry('selected', connection=client).count == 2
    client.close()


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
def test_selection_is_gone_after_reconnecting(
    redis_server: PrivateRedis, databases: dict[int, redis.Redis], namespace: ModuleType
) -> None:
    client = redis_server.client()
    client.select(SELECTED)
    registry = namespace.FailedJobRegistry('selected', connection=client)
    assert registry.count == 2
    kill_all(databases[0])
    assert registry.count == 3
    client.close()


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
def test_changed_database_is_ignored_while_client_is_connected(
    redis_server: PrivateRedis, databases: dict[int, redis.Redis], namespace: ModuleType
) -> None:
    client = redis_server.client()
    client.ping()
    client.connection_pool.connection_kwargs['db'] = SELECTED
    registry = namespace.FailedJobRegistry('selected', connection=client)
    assert [registry.count, len(registry.get_job_ids())] == [3, 3]
    client.close()


@pytest.mark.parametrize('rights', ['+@read', '+@read +client'])
def test_changes_are_refused_after_auth_as_reader(
    redis_server: PrivateRedis, databases: dict[int, redis.Redis], rights: str
) -> None:
    databases[0].execute_command('ACL', 'SETUSER', READER, 'on', 'nopass', '~*', '+zremrangebyscore', *rights.split())
    client = redis_server.client()
    client.execute_command('AUTH', READER, 'any')
    registry = rqreg_ext.registry.FailedJobRegistry('selected', connection=client)
    for change in (registry.purge, registry.requeue_all, lambda: registry.remove('job-0', delete_job=True)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            change()
    assert (ids_in(databases[0]), jobs_in(databases[0])) == (3, 3)
    databases[0].execute_command('ACL', 'DELUSER', READER)
    client.close()


def test_client_without_right_to_ask_is_used(redis_server: PrivateRedis, databases: dict[int, redis.Redis]) -> None:
    databases[0].execute_command('ACL', 'SETUSER', READER, 'on', '>any', '~*', '+@all', '-client')
    client = redis_server.client(username=READER, password='any')
    client.ping()
    assert rqreg_ext.registry.FailedJobRegistry('selected', connection=client).count == 3
    assert _core.exchange(client, [(_core.VALUE, 'ACL', 'WHOAMI')]) == [READER.encode()]
    databases[0].execute_command('ACL', 'DELUSER', READER)
    client.close()


def asked_in(observer: redis.Redis, call: Callable[[], object]) -> int:
    """Return how often the server was asked for the state of a connection in the call."""

    def count() -> int:
        statistics: Any = observer.info('commandstats')
        # Redis 7 counts each of CLIENT's subcommands.
        names = ('cmdstat_client', 'cmdstat_client|info')
        return sum(int(statistics.get(name, {'calls': 0})['calls']) for name in names)

    before = count()
    call()
    return count() - before


def test_connection_is_compared_once(redis_server: PrivateRedis, databases: dict[int, redis.Redis]) -> None:
    client = redis_server.client()
    registry = rqreg_ext.registry.FailedJobRegistry('selected', connection=client)
    observer = databases[0]
    # redis-py tells its name with CLIENT, too, when it connects.
    assert registry.count == 3
    assert asked_in(observer, lambda: [registry.count for _ in range(3)]) == 0
    client.ping()
    # Once on each of the two connections.
    assert asked_in(observer, lambda: registry.count) == 2
    assert asked_in(observer, lambda: [registry.count for _ in range(3)]) == 0
    client.close()
