"""Registries used by many threads: every call gets its own answer."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from rqreg_ext import Queue, _core
from rqreg_ext._fastpath.clients import core_connections
from rqreg_ext.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

from .filling import NEVER, fill, job_ids
from .patience import PATIENCE

if TYPE_CHECKING:
    from private_redis import PrivateRedis

THREADS = 16
ROUNDS = 25


def in_threads(work: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """Run `work(number)` in that many threads, begun together, and return their results in order."""
    together = threading.Barrier(threads)

    def begin(number: int) -> Any:
        together.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        futures: list[Future[Any]] = [pool.submit(begin, number) for number in range(threads)]
        return [future.result(PATIENCE) for future in futures]


def ask_everything(registry: FailedJobRegistry, own: list[str], foreign: str) -> None:
    """Make every reading call on a registry whose content is `own`."""
    assert registry.count == len(own)
    assert registry.get_job_count(cleanup=False) == len(own)
    assert len(registry) == len(own)
    assert registry.get_job_ids() == own
    assert registry.get_job_ids(1, 2, desc=True) == own[::-1][1:3]
    assert own[-1] in registry
    assert foreign not in registry
    assert registry.get_expired_job_ids() == []


def own_content(connection: redis.Redis, number: int) -> list[str]:
    """Fill the registry of thread `number` with ids and a size that no other thread's has."""
    ids = job_ids(number + 3, prefix=f'thread-{number}')
    fill(connection, FailedJobRegistry(f'queue-{number}', connection=connection), ids)
    return ids


def test_threads_with_shared_client_get_own_answers(connection: redis.Redis) -> None:
    contents = [own_content(connection, number) for number in range(THREADS)]
    registries = [FailedJobRegistry(f'queue-{number}', connection=connection) for number in range(THREADS)]

    def work(number: int) -> int:
        for _ in range(ROUNDS):
            ask_everything(registries[number], contents[number], contents[number - 1][0])
        return number

    assert in_threads(work) == list(range(THREADS))


def test_threads_with_shared_registry_get_right_answers(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('shared', connection=connection)
    ids = job_ids(100)
    fill(connection, registry, ids)

    def work(number: int) -> int:
        for _ in range(ROUNDS):
            ask_everything(registry, ids, 'not there')
        return number

    assert in_threads(work) == list(range(THREADS))


def test_threads_with_own_clients_get_own_answers(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    contents = [own_content(connection, number) for number in range(THREADS)]

    def work(number: int) -> int:
        client = redis_server.client()
        registry = FailedJobRegistry(f'queue-{number}', connection=client)
        for _ in range(ROUNDS):
            ask_everything(registry, contents[number], contents[number - 1][0])
        client.close()
        return number

    assert in_threads(work) == list(range(THREADS))


def test_concurrent_first_calls_of_client_share_one_pool(
    redis_server: PrivateRedis, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both inspect the client at the same time, and still share one pool of connections."""
    both = threading.Barrier(2)
    describe_pool = core_connections.describe_pool

    def describe_together(pool: Any) -> Any:
        both.wait(PATIENCE)
        return describe_pool(pool)

    monkeypatch.setattr(core_connections, 'describe_pool', describe_together)
    client = redis_server.client(client_name='met')
    registry = FailedJobRegistry('met', connection=client)
    assert in_threads(lambda number: registry.get_job_count(cleanup=False), 2) == [0, 0]
    # Now both wait for an answer at the same time: two connections are enough, and two there are.
    connection.client_pause(500)
    assert in_threads(lambda number: registry.get_job_count(cleanup=False), 2) == [0, 0]
    assert sum(entry['name'] == 'met' for entry in connection.client_list()) <= 2
    client.close()


def test_threads_that_create_and_drop_clients_get_own_answers(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    contents = [own_content(connection, number) for number in range(THREADS)]

    def work(number: int) -> int:
        for _ in range(ROUNDS):
            registry = FailedJobRegistry(f'queue-{number}', connection=redis_server.client())
            ask_everything(registry, contents[number], contents[number - 1][0])
        return number

    assert in_threads(work) == list(range(THREADS))


@pytest.mark.parametrize('limit', [1, 4])
def test_more_threads_than_connections_in_pool_get_own_answers(
    redis_server: PrivateRedis, connection: redis.Redis, limit: int
) -> None:
    contents = [own_content(connection, number) for number in range(THREADS)]
    pool = redis.BlockingConnectionPool(
        host='127.0.0.1', port=redis_server.port, max_connections=limit, timeout=int(PATIENCE)
    )
    client = redis.Redis(connection_pool=pool)

    def work(number: int) -> int:
        registry = FailedJobRegistry(f'queue-{number}', connection=client)
        for _ in range(ROUNDS):
            ask_everything(registry, contents[number], contents[number - 1][0])
        return number

    assert in_threads(work) == list(range(THREADS))
    pool.disconnect()


def test_each_entry_is_removed_by_one_thread(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('shared', connection=connection)
    ids = job_ids(400)
    fill(connection, registry, ids)

    removed = in_threads(lambda number: [registry.remove(job_id) for job_id in ids])

    # Every thread tried every id; for each id exactly one call returned that it removed it.
    assert [sum(thread[index] for thread in removed) for index in range(len(ids))] == [1] * len(ids)
    assert registry.count == 0


def test_threads_with_shared_queue_requeue_and_delete_each_job_once(connection: redis.Redis) -> None:
    queue = Queue('shared', connection=connection)
    jobs = [queue.enqueue('jobs.fail').id for _ in range(160)]
    connection.delete(queue.key)
    connection.zadd(queue.failed_job_registry.key, dict.fromkeys(jobs, NEVER))
    kept, deleted = jobs[::2], jobs[1::2]

    def change(job_id: str) -> bool:
        registry = queue.failed_job_registry
        try:
            if job_id in kept:
                return registry.requeue(job_id).id == job_id
            return registry.remove(job_id, delete_job=True) == 1
        except (InvalidJobOperation, NoSuchJobError):
            return False

    changed = in_threads(lambda number: [change(job_id) for job_id in jobs])

    # Every thread tried every job; for each one exactly one call returned that it changed it.
    assert [sum(thread[index] for thread in changed) for index in range(len(jobs))] == [1] * len(jobs)
    assert sorted(queue.job_ids) == sorted(kept)
    assert queue.failed_job_registry.count == 0
    assert connection.exists(*(f'rq:job:{job_id}' for job_id in jobs)) == len(kept)
    assert connection.exists(*(f'rq:job:{job_id}' for job_id in deleted)) == 0


def test_threads_with_more_classes_than_are_remembered_get_own_answers(connection: redis.Redis) -> None:
    """What is known of a class is replaced by what is known of another one, while threads read it."""
    contents = [own_content(connection, number) for number in range(THREADS)]

    def work(number: int) -> int:
        for _ in range(ROUNDS):
            client_class = type('OwnRedis', (redis.Redis,), {})
            registry_class = type('OwnRegistry', (FailedJobRegistry,), {})
            client = client_class(connection_pool=connection.connection_pool)
            registry = registry_class(f'queue-{number}', connection=client)
            ask_everything(registry, contents[number], contents[number - 1][0])
        return number

    assert in_threads(work) == list(range(THREADS))


def test_guard_that_changes_while_threads_ask_it_answers_each() -> None:
    names: dict[str, object] = {'known': None}

    class Looked:
        pass

    def look() -> Any:
        return True, ((names, 'known', names['known']),), (Looked,), ()

    guard = _core.Guard(look)
    ended = threading.Event()

    def change() -> int:
        changed = 0
        while not ended.is_set():
            names['known'] = object()
            Looked.known = changed  # type: ignore[attr-defined]
            changed += 1
        return changed

    with ThreadPoolExecutor(1) as changer:
        changed = changer.submit(change)
        try:
            answers = in_threads(lambda number: [guard.holds() for _ in range(2_000)], threads=8)
        finally:
            ended.set()
        assert changed.result(PATIENCE) > 0
    assert answers == [[True] * 2_000] * 8


def read_while_writing(read: Callable[[int], None], write: Callable[[], None]) -> None:
    """Call one function in several threads, and the other one again and again until these have ended."""
    ended = threading.Event()

    def write_until_ended() -> int:
        rounds = 0
        while not ended.is_set():
            write()
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write_until_ended)
        try:
            in_threads(read)
        finally:
            ended.set()
        assert writing.result(PATIENCE) > 0


def test_reads_have_all_lasting_entries_while_others_change(connection: redis.Redis) -> None:
    registry = FinishedJobRegistry('busy', connection=connection)
    lasting = job_ids(50, prefix='lasting')
    passing = job_ids(50, prefix='passing')
    fill(connection, registry, lasting)

    def write() -> None:
        connection.zadd(registry.key, dict.fromkeys(passing, NEVER * 2))
        assert [registry.remove(job_id) for job_id in passing] == [1] * len(passing)

    def read(number: int) -> None:
        for _ in range(ROUNDS):
            assert len(lasting) <= registry.count <= len(lasting) + len(passing)
            answer = registry.get_job_ids()
            # Passing entries have higher scores: they follow, in order, and none comes twice.
            assert answer[: len(lasting)] == lasting
            rest = answer[len(lasting) :]
            assert rest == sorted(set(rest))
            assert set(rest) <= set(passing)
            assert lasting[number] in registry

    read_while_writing(read, write)
    assert registry.get_job_ids() == lasting


def test_started_jobs_stay_members_while_executions_change(connection: redis.Redis) -> None:
    registry = StartedJobRegistry('busy', connection=connection)
    lasting = job_ids(50, prefix='lasting')
    fill(connection, registry, [f'{job_id}:execution' for job_id in lasting])

    def write() -> None:
        connection.zadd(registry.key, {'passing:execution': NEVER * 2})
        connection.zrem(registry.key, 'passing:execution')

    def read(number: int) -> None:
        for _ in range(ROUNDS):
            assert registry.count in (50, 51)
            assert registry.get_job_ids()[:50] == lasting
            assert registry.get_job_and_execution_ids()[number] == (lasting[number], 'execution')
            assert lasting[number] in registry
            assert 'never' not in registry

    read_while_writing(read, write)


def change_registry(registry: FailedJobRegistry) -> None:
    registry.note = object()  # type: ignore[attr-defined]
    del registry.note  # type: ignore[attr-defined]


def change_class(registry: FailedJobRegistry) -> None:
    type(registry).note = object()  # type: ignore[attr-defined]


def change_client(registry: FailedJobRegistry) -> None:
    attributes = vars(registry.connection)
    attributes['note'] = object()
    del attributes['note']


def change_rq(registry: FailedJobRegistry) -> None:
    original = rq.registry.current_timestamp
    rq.registry.current_timestamp = lambda: original()  # type: ignore[attr-defined]
    rq.registry.current_timestamp = original  # type: ignore[attr-defined]


@pytest.mark.parametrize('change', [change_registry, change_class, change_client, change_rq])
def test_what_calls_depend_on_changes_while_threads_call(
    connection: redis.Redis, change: Callable[[FailedJobRegistry], None]
) -> None:
    class Own(FailedJobRegistry):
        pass

    registry = Own('shared', connection=connection)
    ids = job_ids(5)
    fill(connection, registry, ids)
    ended = threading.Event()

    def change_again_and_again() -> int:
        changed = 0
        while not ended.is_set():
            change(registry)
            changed += 1
        return changed

    def call(number: int) -> None:
        for _ in range(ROUNDS):
            ask_everything(registry, ids, 'not there')

    with ThreadPoolExecutor(1) as changer:
        changed = changer.submit(change_again_and_again)
        try:
            in_threads(call, threads=8)
        finally:
            ended.set()
        assert changed.result(PATIENCE) > 0


@pytest.mark.parametrize('close', ['client.close', 'pool.disconnect', 'pool.reset'])
def test_client_closed_while_threads_call_gives_no_wrong_answer(
    redis_server: PrivateRedis, connection: redis.Redis, close: str
) -> None:
    # redis-py can be left waiting on a descriptor that is another's by now: its own timeout ends that.
    client = redis_server.client(socket_timeout=1)
    closing = {
        'client.close': client.close,
        'pool.disconnect': client.connection_pool.disconnect,
        'pool.reset': client.connection_pool.reset,
    }[close]
    registry = DeferredJobRegistry('shared', connection=client)
    ids = job_ids(2_000)
    fill(connection, registry, ids)
    ended = threading.Event()

    def call(number: int) -> int:
        answers = 0
        for _ in range(ROUNDS):
            # The connection may be taken away in the middle of a call: then an error, never a wrong answer.
            try:
                answer = (registry.count, ids[number] in registry, registry.get_job_ids())
            except Exception as error:
                if not is_of_a_closed_connection(error):
                    raise
            else:
                assert answer == (len(ids), True, ids)
                answers += 1
        return answers

    def close_again_and_again() -> int:
        closed = 0
        while not ended.wait(0.002):
            closing()
            closed += 1
        return closed

    with ThreadPoolExecutor(1) as closer:
        closed = closer.submit(close_again_and_again)
        try:
            answers = in_threads(call, threads=8)
        finally:
            ended.set()
        assert closed.result(PATIENCE) > 0
    assert sum(answers) > 0
    # A closed client connects again.
    assert registry.get_job_ids() == ids
    assert registry.count == len(ids)
    client.close()


def is_of_a_closed_connection(error: Exception) -> bool:
    """Tell whether this is what redis-py has when another thread closes its socket: its errors, or a stumble.

    redis-py's reader stumbles over what close() sets to None (AttributeError, ValueError), in its own frames only.
    """
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return isinstance(error, AttributeError | ValueError) and frame.f_globals['__name__'].startswith('redis.')
