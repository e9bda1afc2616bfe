"""rate= and limit=: how fast jobs are changed, and how many. What is done is counted, and no time is asserted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import rq

import rqreg_ext
from rqreg_ext._bulk import operation
from rqreg_ext._bulk.result import BulkResult
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .bulk_jobs import call, fill

METHODS = ('purge', 'requeue_all', 'remove_many', 'requeue_many', 'cancel_many')
COUNT = 24


def change(registry: Any, method: str, **options: Any) -> BulkResult:
    """Make a call on all jobs of the registry."""
    if method in ('remove_many', 'requeue_many'):
        return getattr(registry, method)(registry.get_job_ids(), **options)  # type: ignore[no-any-return]
    return call(method, registry, **options)


def put(client: Any, queue_name: str, count: int, **options: Any) -> FailedJobRegistry:
    """Store failed jobs, which scripts can do; those with the lowest numbers have the lowest scores."""
    queue = rq.Queue(queue_name, connection=client)
    for number in range(count):
        job = queue.create_job('len', job_id=f'{queue_name}-{number:03}', **options)
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        client.zadd(f'rq:failed:{queue_name}', {job.id: 4_000_000_000 + number})
    client.sadd('rq:queues', queue.key)
    return FailedJobRegistry(queue_name, connection=client)


class Clock:
    """A progress() that checks at each call that no more was done until now than the rate allows."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.chunks: list[int] = []
        self._done = 0
        self._start = time.monotonic()

    def __call__(self, processed: int, total: Any) -> None:
        assert processed <= self.allowed()
        self.chunks.append(processed - self._done)
        self._done = processed

    def allowed(self) -> float:
        """Return how many jobs may have been changed until now."""
        return self.rate * (time.monotonic() - self._start) + 1


# ---- The limit


@pytest.mark.parametrize('method', METHODS)
def test_limit_changes_the_first_jobs(connection: redis.Redis, method: str) -> None:
    registry = put(connection, 'q', COUNT)
    ids = registry.get_job_ids()
    would = change(registry, method, limit=7, dry_run=True)
    assert (would.done, would.remaining, registry.count) == (7, COUNT - 7, COUNT)
    result = change(registry, method, limit=7)
    assert (result.done, result.total, result.remaining, result.stopped) == (7, 7, COUNT - 7, False)
    assert registry.get_job_ids() == ids[7:]
    assert f', {COUNT - 7} remaining; ' in str(result)
    assert result.to_dict()['remaining'] == COUNT - 7
    result = change(registry, method, limit=COUNT - 7)
    assert (result.done, result.remaining, registry.count) == (COUNT - 7, 0, 0)
    assert 'remaining' not in str(result)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('chunk_size', [None, 1, 5])
def test_limit_holds_for_jobs_of_every_kind(connection: redis.Redis, method: str, chunk_size: int | None) -> None:
    fill(connection, COUNT)
    registry = FailedJobRegistry('q', connection=connection)
    done = 0
    while registry.count:
        result = change(registry, method, limit=5, chunk_size=chunk_size)
        done += result.done
        assert result.done == min(5, COUNT - done + result.done)
        assert result.remaining == registry.count
    assert done == COUNT


def test_jobs_that_are_not_changed_do_not_count(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 6)
    connection.delete('rq:job:q-001')
    connection.hset('rq:job:q-002', 'created_at', 'soon')
    result = registry.requeue_many(['gone', *registry.get_job_ids(), 'gone-2'], limit=3)
    assert (result.done, result.missing, result.skipped, len(result.failed)) == (3, 1, {'no such job': 1}, 1)
    assert (result.remaining, registry.get_job_ids()) == (2, ['q-001', 'q-002', 'q-005'])


def test_limit_counts_only_jobs_that_match(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 6, description='odd one')
    for number in (0, 2, 4):
        connection.hset(f'rq:job:q-{number:03}', 'description', 'even one')
    result = registry.purge(description='odd*', limit=2)
    # Those that do not match were looked at too.
    assert (result.done, result.remaining) == (2, 1)
    assert registry.get_job_ids() == ['q-000', 'q-002', 'q-004', 'q-005']
    result = registry.purge(description='odd*', limit=2)
    assert (result.done, result.remaining) == (1, 0)


def test_limit_holds_beside_keep_newest(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 6)
    for number in range(6):
        connection.hset(f'rq:job:q-{number:03}', 'ended_at', f'2026-01-01T00:00:0{number}.000000Z')
    assert registry.purge(keep_newest=2, limit=3).done == 3
    assert registry.get_job_ids() == ['q-003', 'q-004', 'q-005']
    assert registry.purge(keep_newest=2, limit=3).done == 1


def test_remaining_is_none_for_generator(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 6)
    ids = iter(registry.get_job_ids())
    result = registry.requeue_many(ids, limit=2)
    assert (result.done, result.remaining) == (2, None)
    assert registry.requeue_many(iter(registry.get_job_ids())).remaining == 0


def test_remaining_counts_what_stopped_or_interrupted_call_left(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 6)
    result = registry.purge(chunk_size=2, progress=lambda processed, total: False)
    assert (result.done, result.remaining, result.stopped) == (2, 4, True)

    def give_up(processed: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        registry.purge(chunk_size=2, progress=give_up)
    result = raised.value.result  # type: ignore[attr-defined]
    assert (result.done, result.remaining, result.interrupted) == (2, 2, True)
    assert (result + result).remaining == 4
    assert (result + BulkResult(remaining=None)).remaining is None
    connection.set('rq:failed:other', 'text')
    with pytest.raises(redis.ResponseError) as refused:
        FailedJobRegistry('other', connection=connection).purge()
    assert refused.value.result.remaining is None  # type: ignore[attr-defined]


def test_limit_0_changes_nothing(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 3)
    assert (registry.purge(limit=0).total, registry.purge(limit=0).remaining) == (0, 3)
    assert len(rqreg_ext.purge(connection, limit=0)) == 0
    assert rqreg_ext.purge(connection, limit=0).total.remaining == 3
    assert registry.count == 3


# ---- The rate


@pytest.mark.parametrize('method', METHODS)
def test_rate_is_kept_at_each_moment(connection: redis.Redis, method: str) -> None:
    registry = put(connection, 'q', COUNT)
    clock = Clock(100)
    result = change(registry, method, rate=clock.rate, progress=clock)
    assert (result.done, sum(clock.chunks)) == (COUNT, COUNT)
    assert max(clock.chunks) <= clock.rate / 10


@pytest.mark.parametrize('method', METHODS)
def test_rate_is_kept_with_jobs_of_every_kind(connection: redis.Redis, method: str) -> None:
    fill(connection, COUNT)
    clock = Clock(200)
    result = change(FailedJobRegistry('q', connection=connection), method, rate=clock.rate, progress=clock)
    assert result.done == COUNT


def test_rate_is_kept_with_a_long_queue(connection: redis.Redis) -> None:
    registry = put(connection, 'q', COUNT)
    connection.rpush('rq:queue:q', *(f'waits-{number}' for number in range(300)), *registry.get_job_ids())
    clock = Clock(200)
    assert registry.purge(rate=clock.rate, progress=clock).done == COUNT
    assert connection.llen('rq:queue:q') == 300


def test_rate_is_kept_with_a_started_registry(connection: redis.Redis) -> None:
    for number in range(10):
        connection.zadd('rq:wip:q', {f'job-{number}:run': 4_000_000_000})
    clock = Clock(100)
    registry = StartedJobRegistry('q', connection=connection)
    result = registry.remove_many([f'job-{number}' for number in range(10)], rate=clock.rate, limit=9, progress=clock)
    assert (result.done, result.remaining, registry.count) == (9, 1, 1)


@contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt after some time."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize('method', METHODS)
def test_interrupt_ends_call_that_sleeps(connection: redis.Redis, method: str) -> None:
    registry = put(connection, 'q', COUNT)
    # The third job would be due after 200 seconds.
    clock = Clock(0.01)
    with pytest.raises(KeyboardInterrupt) as raised, interrupt_after(1.0):
        change(registry, method, rate=clock.rate)
    allowed = clock.allowed()
    result = raised.value.result  # type: ignore[attr-defined]
    assert result.done <= allowed
    assert (result.done, result.remaining) == (COUNT - registry.count, registry.count)
    assert result.interrupted
    assert change(registry, method).done == COUNT - result.done


def test_rate_does_not_wait_for_jobs_that_are_not_changed(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 1)
    connection.zadd(registry.key, {f'gone-{number}': 4_000_000_000 for number in range(50)})
    # The second job would be due after three hours.
    result = registry.requeue_all(rate=0.0001)
    assert (result.done, result.skipped) == (1, {'no such job': 50})
    assert registry.requeue_many([f'missing-{number}' for number in range(50)], rate=0.0001).missing == 50


def test_dry_run_does_not_wait(connection: redis.Redis) -> None:
    registry = put(connection, 'q', COUNT)
    assert registry.purge(rate=0.0001, dry_run=True).done == COUNT
    assert rqreg_ext.purge(connection, rate=0.0001, dry_run=True).total.done == COUNT


def test_filters_are_asked_again_after_a_wait(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, '_FILTERS_ARE_VALID', -1.0)
    registry = put(connection, 'q', 4, description='old')

    def rename(processed: int, total: int) -> None:
        connection.hset('rq:job:q-002', 'description', 'new')

    result = registry.purge(description='old', rate=9, progress=rename)
    assert (result.done, result.total, registry.get_job_ids()) == (3, 3, ['q-002'])


def test_ids_of_a_generator_are_read_when_it_is_nearly_their_turn(connection: redis.Redis) -> None:
    registry = put(connection, 'q', 8, description='old')

    def rename(processed: int, total: int | None) -> None:
        for number in (6, 7):
            connection.hset(f'rq:job:q-{number:03}', 'description', 'new')

    result = registry.requeue_many(registry.find(description='old', chunk_size=1), rate=5, progress=rename)
    # The first five are read together, and the others after a second.
    assert (result.done, registry.get_job_ids()) == (6, ['q-006', 'q-007'])


# ---- Over all queues


def test_limit_is_for_all_queues_together(connection: redis.Redis) -> None:
    for name in ('a', 'b', 'c'):
        put(connection, name, 4)
    for dry_run in (True, False):
        result = rqreg_ext.requeue_all(connection, limit=6, dry_run=dry_run)
        assert {name: found.done for name, found in result.items()} == {'a': 4, 'b': 2}
        assert (result['b'].remaining, result.total.remaining) == (2, 6)
    assert connection.zcard('rq:failed:b') == 2
    result = rqreg_ext.purge(connection, limit=6)
    assert ({name: found.done for name, found in result.items()}, result.total.remaining) == (
        {'a': 0, 'b': 2, 'c': 4},
        0,
    )


def test_remaining_counts_entries_of_queues_not_begun(connection: redis.Redis) -> None:
    for name in ('a', 'b'):
        put(connection, name, 2)
    result = rqreg_ext.purge(connection, limit=1)
    assert result.total.remaining == 3
    stopped = rqreg_ext.purge(connection, progress=lambda processed, total: False, chunk_size=1)
    assert (stopped.stopped, stopped.total.remaining) == (True, 2)


def test_rate_is_for_all_queues_together(connection: redis.Redis) -> None:
    for number in range(20):
        put(connection, f'queue-{number:02}', 1)
    clock = Clock(100)
    result = rqreg_ext.purge(connection, rate=clock.rate, progress=clock)
    assert result.total.done == 20


# ---- Arguments


@pytest.mark.parametrize(
    ('given', 'error', 'words'),
    [
        ({'rate': 0}, ValueError, 'rate=0: give how many jobs to change per second, like 100 or 0.5'),
        ({'rate': -1.5}, ValueError, 'rate=-1.5: '),
        ({'rate': float('nan')}, ValueError, 'rate=nan: '),
        ({'rate': float('inf')}, ValueError, 'rate=inf: '),
        ({'rate': 10**400}, ValueError, 'rate=1000'),
        ({'rate': '5'}, TypeError, "rate='5' is not a number"),
        ({'rate': True}, TypeError, 'rate=True is not a number'),
        ({'limit': -1}, ValueError, 'limit=-1: give the most jobs to change'),
        ({'limit': '5'}, TypeError, "limit='5' is not an int"),
        ({'limit': True}, TypeError, 'limit=True is not an int'),
        ({'limit': 1.0}, TypeError, 'limit=1.0 is not an int'),
    ],
)
@pytest.mark.parametrize('dry_run', [False, True])
def test_wrong_rate_and_limit_are_refused(
    connection: redis.Redis, given: dict[str, Any], error: type[Exception], words: str, dry_run: bool
) -> None:
    registry = put(connection, 'q', 2)
    for method in METHODS:
        with pytest.raises(error, match=words):
            change(registry, method, dry_run=dry_run, **given)
    for function in (rqreg_ext.purge, rqreg_ext.requeue_all):
        with pytest.raises(error, match=words):
            function(connection, queues=[], dry_run=dry_run, **given)  # type: ignore[operator]
    assert registry.count == 2
