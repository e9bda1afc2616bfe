"""move_many() of registries: what is left of a job whose queue was changed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
import rq
from rq.job import Job, JobStatus

import rqreg_ext
from bulk.bulk_jobs import fill
from rqreg_ext import FailedJobRegistry, StartedJobRegistry

TIMES = (b'created_at', b'enqueued_at')


def state(connection: Any) -> dict[bytes, Any]:
    """Return all keys, without times, and their times to live in hundreds of seconds."""
    found: dict[bytes, Any] = {}
    for key in connection.scan_iter():
        kind = connection.type(key)
        if kind == b'hash':
            value: Any = {name: text for name, text in connection.hgetall(key).items() if name not in TIMES}
        elif kind == b'list':
            value = connection.lrange(key, 0, -1)
        elif kind == b'zset':
            value = sorted(connection.zrange(key, 0, -1, withscores=True))
        elif kind == b'set':
            value = sorted(connection.smembers(key))
        else:
            value = connection.dump(key)
        found[key] = kind, value, round(connection.ttl(key), -2)
    return found


def snapshot_of(connection: Any) -> dict[bytes, Any]:
    return {key: (connection.dump(key), max(connection.pttl(key), 0)) for key in connection.scan_iter()}


def restore(connection: Any, copy: dict[bytes, Any]) -> None:
    connection.flushdb()
    for key, (value, ttl) in copy.items():
        connection.restore(key, ttl, value)


def requeue_by_hand(registry: Any, job_id: str, at_front: bool = False) -> None:
    job = Job.fetch(job_id, connection=registry.connection)
    job.origin = 'low'
    registry.connection.sadd('rq:queues', 'rq:queue:low')
    registry.requeue(job, at_front=at_front)


def move_by_hand(registry: Any, job_id: str) -> None:
    connection = registry.connection
    job = Job.fetch(job_id, connection=connection)
    score = connection.zscore(registry.key, job_id)
    registry.remove(job)
    job.origin = 'low'
    job.save()
    connection.zadd(type(registry)('low', connection=connection).key, {job_id: score})
    connection.sadd('rq:queues', 'rq:queue:low')


@pytest.mark.parametrize('at_front', [False, True])
def test_moved_failed_jobs_are_left_as_rq_requeues_them(connection: redis.Redis, at_front: bool) -> None:
    ids = fill(connection, 36)
    copy = snapshot_of(connection)
    for job_id in ids:
        requeue_by_hand(rq.registry.FailedJobRegistry('q', connection=connection), job_id, at_front)
    expected = state(connection)
    restore(connection, copy)
    result = FailedJobRegistry('q', connection=connection).move_many(ids, 'low', at_front)
    assert (result.done, result.failed, result.by_rq) == (36, [], 3)
    assert state(connection) == expected


REGISTRIES = {
    'finished': 'finished',
    'canceled': 'canceled',
    'deferred': 'deferred',
    'scheduled': 'scheduled',
    **({'ready': 'ready_to_enqueue'} if hasattr(rq.registry, 'ReadyJobRegistry') else {}),
}


def registry_with_jobs(connection: Any, name: str, count: int = 20) -> Any:
    queue = rqreg_ext.Queue('q', connection=connection)
    registry = getattr(queue, f'{name}_job_registry')
    for number in range(count):
        job = queue.create_job(
            'len', ('x',), job_id=f'job-{number:02}', meta={'n': number}, ttl=500 if number == 3 else None
        )
        job.set_status(JobStatus(REGISTRIES[name]))
        job.save()
        connection.zadd(registry.key, {job.id: 4e9 + number})
    connection.expire('rq:job:job-03', 500)
    return registry


@pytest.mark.parametrize('name', REGISTRIES)
@pytest.mark.parametrize('denied', [(), ('eval', 'evalsha'), ('eval', 'evalsha', 'watch')])
def test_moved_jobs_come_into_the_same_registry_of_other_queue(
    name: str, denied: tuple[str, ...], connection: redis.Redis, client_without: Any
) -> None:
    registry = registry_with_jobs(connection, name)
    ids = registry.get_job_ids(cleanup=False)
    copy = snapshot_of(connection)
    for job_id in ids:
        move_by_hand(registry, job_id)
    expected = state(connection)
    restore(connection, copy)
    ours = type(registry)('q', connection=client_without(*denied))
    result = ours.move_many(ids, 'low')
    assert (result.done, result.failed, result.by_rq) == (20, [], 20 if denied else 0)
    assert state(connection) == expected


def test_moved_deferred_job_is_enqueued_on_new_queue(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    first = queue.enqueue('os.getpid', job_id='first')
    queue.enqueue('os.getpid', depends_on=first, job_id='second')
    assert queue.deferred_job_registry.move_many(['second'], 'low').done == 1
    rq.SimpleWorker([queue], connection=connection).work(burst=True)
    assert connection.lrange('rq:queue:low', 0, -1) == [b'second']
    assert Job.fetch('second', connection=connection).is_queued


def test_moved_scheduled_job_is_enqueued_on_new_queue(connection: redis.Redis) -> None:
    from datetime import timedelta

    from rq.scheduler import RQScheduler

    queue = rqreg_ext.Queue('q', connection=connection)
    queue.enqueue_in(timedelta(seconds=-5), 'os.getpid', job_id='late')
    assert queue.scheduled_job_registry.move_many(['late'], to=rq.Queue('low', connection=connection)).done == 1
    scheduler = RQScheduler([rq.Queue('q', connection=connection), rq.Queue('low', connection=connection)], connection)
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    assert (connection.lrange('rq:queue:low', 0, -1), queue.count) == ([b'late'], 0)


@pytest.mark.parametrize('name', ['failed', 'scheduled'])
def test_jobs_not_moved_are_counted_with_reason(name: str, connection: redis.Redis) -> None:
    if name == 'failed':
        fill(connection, 5)
        registry: Any = FailedJobRegistry('q', connection=connection)
        ids = registry.get_job_ids()
    else:
        registry = registry_with_jobs(connection, name, 5)
        ids = registry.get_job_ids()
        connection.hset(f'rq:job:{ids[3]}', 'status', 'started')
    connection.delete(f'rq:job:{ids[1]}')
    connection.hset(f'rq:job:{ids[4]}', 'created_at', 'yesterday')
    before = state(connection)
    expected = {'failed': (3, [ids[4]]), 'scheduled': (3, [ids[3]])}[name]
    dry = registry.move_many([*ids, 'nothing'], 'low', dry_run=True)
    assert state(connection) == before
    result = registry.move_many([*ids, 'nothing', ids[0]], 'low')
    for found, missing in ((dry, 1), (result, 2)):
        assert (found.done, [job_id for job_id, _ in found.failed]) == expected
        assert (found.missing, found.skipped) == (missing, {'no such job': 1})
    assert connection.zscore(registry.key, ids[1]) is not None


def test_move_many_reports_progress_after_each_chunk(connection: redis.Redis) -> None:
    ids = fill(connection, 24)
    registry = FailedJobRegistry('q', connection=connection)
    reports: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> bool:
        reports.append((done, total))
        return len(reports) < 2

    result = registry.move_many(ids, 'low', chunk_size=5, progress=stop)
    assert (len(reports), result.stopped) == (2, True)
    assert 0 < result.done == reports[-1][0] < 24
    assert registry.move_many(ids, 'low').done == 24 - result.done
    assert connection.lrange('rq:queue:low', 0, -1) == [job_id.encode() for job_id in ids]


def test_moved_rate_limited_jobs_wait_on_the_other_queue(connection: redis.Redis) -> None:
    rate_limit = pytest.importorskip('rq.rate_limit')
    queue = rqreg_ext.Queue('q', connection=connection)
    for number in range(3):
        job = queue.enqueue('len', job_id=f'job-{number}', rate_limit=rate_limit.RateLimit('mails', 1))
        queue.remove(job)
        connection.hset(job.key, 'status', 'failed')
        rate_limit.RateLimitRegistry.from_job(job).cancel(job.id)
        connection.zadd('rq:failed:q', {job.id: 4e9 + number})
    copy = snapshot_of(connection)
    for number in range(3):
        requeue_by_hand(rq.registry.FailedJobRegistry('q', connection=connection), f'job-{number}')
    expected = state(connection)
    restore(connection, copy)
    result = queue.failed_job_registry.move_many([f'job-{number}' for number in range(3)], 'low')
    found = state(connection)
    assert (result.done, found[b'rq:queue:low']) == (3, expected[b'rq:queue:low'])
    assert [found[f'rq:job:job-{n}'.encode()] for n in range(3)] == [
        expected[f'rq:job:job-{n}'.encode()] for n in range(3)
    ]


@pytest.mark.parametrize(
    ('call', 'error', 'words'),
    [
        (lambda c: FailedJobRegistry('q', connection=c).move_many([], 'q'), ValueError, 'is the queue that the jobs'),
        (lambda c: FailedJobRegistry('q', connection=c).move_many([], ''), ValueError, "to='' names no queue"),
        (lambda c: FailedJobRegistry('q', connection=c).move_many([], 5), TypeError, 'to=5 names no queue'),
        (
            lambda c: FailedJobRegistry('q', connection=c).move_many([], FailedJobRegistry('p', connection=c)),
            TypeError,
            'names no queue',
        ),
        (
            lambda c: FailedJobRegistry('q', connection=c).move_many(
                [], rq.Queue('low', connection=redis.Redis(port=1))
            ),
            ValueError,
            'is in another Redis',
        ),
        (
            lambda c: rqreg_ext.ScheduledJobRegistry('q', connection=c).move_many([], 'low', at_front=True),
            ValueError,
            'at_front=True is for jobs',
        ),
        (lambda c: StartedJobRegistry('q', connection=c).move_many([], 'low'), NotImplementedError, 'stop jobs with'),
        (
            lambda c: rqreg_ext.BaseRegistry('q', connection=c).move_many([], 'low'),
            NotImplementedError,
            'it is not known which jobs belong there',
        ),
        (lambda c: FailedJobRegistry('q', connection=c).move_many('abc', 'low'), TypeError, 'not a collection'),
    ],
)
def test_wrong_arguments_of_move_many_raise(
    call: Callable[[Any], Any], error: type[Exception], words: str, connection: redis.Redis
) -> None:
    with pytest.raises(error, match=words):
        call(connection)


def test_job_moves_to_queue_whose_name_is_not_ascii(connection: redis.Redis) -> None:
    ids = fill(connection, 5)
    assert FailedJobRegistry('q', connection=connection).move_many(ids, 'späte').by_rq == 0
    assert Job.fetch(ids[0], connection=connection).origin == 'späte'
    assert rq.Queue('späte', connection=connection).job_ids == ids
    assert rq.Queue('späte', connection=connection) in rq.Queue.all(connection=connection)
