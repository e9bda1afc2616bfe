"""check() of a registry's entries: each state is one that RQ leaves, and what is in order is not reported."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from rq.job import Job, JobStatus

from rqreg_ext import Queue, _installed_rq
from rqreg_ext.whole.truth.problems import Kind

from . import jobs, states

ALL = ('failed', 'finished', 'started', 'deferred', 'scheduled', 'canceled')


def registry_of(queue: Queue, name: str) -> Any:
    return getattr(queue, f'{name}_job_registry')


def populate(queue: Queue) -> dict[str, Job]:
    """Return a job in each registry."""
    running = queue.enqueue(jobs.succeed, job_id='started')
    states.die(states.LeavingWorker, queue)
    return {
        'failed': states.failed(queue, 'failed'),
        'finished': states.finished(queue, 'finished'),
        'started': running,
        'deferred': states.deferred(queue, 'deferred', states.scheduled(queue, 'parent')),
        'scheduled': states.scheduled(queue, 'scheduled'),
        'canceled': states.canceled(queue, 'canceled'),
    }


@pytest.mark.parametrize('name', ALL)
def test_nothing_is_wrong(queue: Queue, name: str) -> None:
    populate(queue)
    report = registry_of(queue, name).check()
    assert list(report) == []
    assert (report.entries, report.jobs, report.stopped) == (2 if name == 'scheduled' else 1, 7, False)


def test_nothing_is_there(queue: Queue) -> None:
    for name in ALL:
        assert len(registry_of(queue, name).check()) == 0


@pytest.mark.parametrize('name', ALL)
def test_the_job_is_gone(queue: Queue, name: str) -> None:
    job = populate(queue)[name]
    queue.connection.delete(job.key)
    registry = registry_of(queue, name)
    (problem,) = registry.check(settle=0)
    assert (problem.kind, problem.job_id, problem.key) == (Kind.MISSING_JOB, job.id, registry.key)
    assert problem.repair == 'drop the entry'
    # Of these, RQ drops those that nobody runs any more within minutes.
    assert problem.mended_by_rq is (name == 'started')


@pytest.mark.parametrize('name', ['failed', 'finished'])
def test_an_entry_that_expired(queue: Queue, name: str) -> None:
    """RQ drops it at its next clean-up, whether its job is there or not."""
    job = populate(queue)[name]
    registry = registry_of(queue, name)
    queue.connection.zadd(registry.key, {job.id: time.time() - 5, 'gone': 5})
    report = registry.check(settle=0, orphans=False)
    assert states.kinds(report) == {job.id: 'expired', 'gone': 'expired'}
    assert all(problem.mended_by_rq for problem in report)
    assert list(report.lasting) == []
    registry.cleanup()
    assert list(registry.check(settle=0, orphans=False)) == []


def test_an_entry_that_is_about_to_expire(queue: Queue) -> None:
    """The hash goes by the server's clock, the entry by ours."""
    registry = queue.finished_job_registry
    queue.connection.zadd(registry.key, {'going': time.time() + 30, 'staying': time.time() + 300, 'for ever': '+inf'})
    assert states.kinds(registry.check(settle=0)) == {'staying': 'missing_job', 'for ever': 'missing_job'}


@pytest.mark.parametrize('score', [-1, '+inf'])
def test_an_entry_that_never_expires(queue: Queue, score: Any) -> None:
    job = states.failed(queue, 'f', failure_ttl=-1)
    queue.connection.zadd(queue.failed_job_registry.key, {job.id: score})
    assert list(queue.failed_job_registry.check()) == []


@pytest.mark.parametrize('name', ['scheduled', 'canceled'])
def test_a_score_that_is_no_expiry(queue: Queue, name: str) -> None:
    job = populate(queue)[name]
    registry = registry_of(queue, name)
    queue.connection.zadd(registry.key, {job.id: 5})
    assert list(registry.check(settle=0)) == []


def test_a_failed_job_that_was_enqueued_again(queue: Queue) -> None:
    """Not by requeue(), which takes it out of the registry."""
    job = states.failed(queue, 'again')
    queue.enqueue_job(job)
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.WRONG_STATUS, 'again', 'drop the entry here')
    states.work(queue)
    assert list(queue.failed_job_registry.check()) == []


@pytest.mark.parametrize('then', ['finished', 'canceled', 'scheduled'])
def test_a_failed_job_that_went_elsewhere(queue: Queue, then: str) -> None:
    job = states.failed(queue, 'moved')
    score = queue.connection.zscore(queue.failed_job_registry.key, job.id)
    if then == 'finished':
        queue.connection.hset(job.key, 'data', Job.create(jobs.succeed, connection=queue.connection).data)
        queue.failed_job_registry.requeue(job.id)
        states.work(queue)
    elif then == 'canceled':
        job.cancel()
    else:
        queue.schedule_job(queue.fetch_job(job.id), jobs.NEXT_YEAR)
        # RQ 2.6 leaves that to the caller.
        job.set_status(JobStatus.SCHEDULED)
    queue.connection.zadd(queue.failed_job_registry.key, {job.id: score})
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert (problem.kind, problem.repair) == (Kind.WRONG_STATUS, 'drop the entry here')
    assert registry_of(queue, then).key in problem.detail


def test_a_status_that_an_older_object_wrote(queue: Queue) -> None:
    """What is right cannot be told from the data, so nothing is mended."""
    before = queue.enqueue(jobs.fail, job_id='overwritten')
    states.work(queue)
    before.save()
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert (problem.kind, problem.repair, problem.mend) == (Kind.WRONG_STATUS, None, None)
    assert 'Job.save()' in problem.detail


def test_a_job_of_another_queue(queue: Queue) -> None:
    states.failed(Queue('other', connection=queue.connection), 'elsewhere')
    unknown = states.failed(queue, 'nowhere')
    queue.connection.hset(unknown.key, 'origin', 'third')
    queue.connection.zadd(queue.failed_job_registry.key, {'elsewhere': time.time() + 1000})
    problems = {problem.job_id: problem for problem in queue.failed_job_registry.check(settle=0)}
    assert {problem.kind for problem in problems.values()} == {Kind.WRONG_QUEUE}
    assert problems['elsewhere'].repair == 'drop the entry here'
    assert problems['nowhere'].repair is None


def test_a_repeated_job_stays_in_the_finished_registry(queue: Queue) -> None:
    from rq import Repeat

    job = queue.enqueue(jobs.succeed, job_id='repeated', repeat=Repeat(times=2, interval=1000))
    states.work(queue)
    # RQ 2.6 leaves it with the status of the run before.
    assert queue.connection.hget(job.key, 'status') in (b'scheduled', b'finished')
    assert job in queue.finished_job_registry
    assert job in queue.scheduled_job_registry
    assert list(queue.finished_job_registry.check(settle=0)) == []
    assert list(queue.scheduled_job_registry.check(settle=0)) == []


def test_a_stopped_job_is_in_the_failed_registry(queue: Queue) -> None:
    job = states.failed(queue, 'stopped')
    job.set_status('stopped')
    assert list(queue.failed_job_registry.check(settle=0)) == []


@pytest.mark.parametrize('name', ALL)
def test_a_job_that_rq_cannot_load(queue: Queue, name: str) -> None:
    job = populate(queue)[name]
    if name == 'started':
        queue.connection.hset(job.key, 'status', 'no such')
    else:
        # As a heartbeat leaves it that comes after the job was deleted.
        queue.connection.delete(job.key)
        queue.connection.hset(job.key, 'last_heartbeat', '2024-01-01T00:00:00.000000Z')
    (problem,) = registry_of(queue, name).check(settle=0)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.UNREADABLE_JOB, job.id, None)
    with pytest.raises(Exception, match=r'Unexpected job format|no such'):
        Job.fetch(job.id, connection=queue.connection)


def test_a_key_of_another_type_in_the_place_of_a_job(queue: Queue) -> None:
    job = states.failed(queue, 'list')
    queue.connection.delete(job.key)
    queue.connection.rpush(job.key, 'x')
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert problem.kind is Kind.UNREADABLE_JOB


def test_a_registry_of_another_type(queue: Queue) -> None:
    queue.connection.set(queue.failed_job_registry.key, 'x')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        queue.failed_job_registry.check()


def test_an_expiring_deferred_job(queue: Queue) -> None:
    """RQ before 2.8 fails deferred jobs whose time to live is over; later ones score them otherwise."""
    states.deferred(queue, 'd', states.scheduled(queue, 'parent'), ttl=1000)
    queue.connection.zadd(queue.deferred_job_registry.key, {'d': 5})
    expires = _installed_rq.release is not None and _installed_rq.release.deferred_cleanup == 3
    report = queue.deferred_job_registry.check(settle=0)
    assert states.kinds(report) == ({'d': 'expired'} if expires else {})


def test_many_entries_in_chunks(queue: Queue) -> None:
    scores = {f'gone-{i}': time.time() + 1000 + i for i in range(2500)}
    queue.connection.zadd(queue.failed_job_registry.key, scores)
    for chunk_size in (7, 1000, 5000):
        report = queue.failed_job_registry.check(settle=0, chunk_size=chunk_size)
        assert states.kinds(report) == dict.fromkeys(scores, 'missing_job')
        assert report.entries == 2500


def test_a_limit(queue: Queue) -> None:
    queue.connection.zadd(queue.failed_job_registry.key, {f'gone-{i}': '+inf' for i in range(50)})
    report = queue.failed_job_registry.check(settle=0, limit=7)
    assert (len(report), report.stopped) == (7, True)
    report = queue.failed_job_registry.check(settle=0, limit=51)
    assert (len(report), report.stopped) == (50, False)


def test_progress(queue: Queue) -> None:
    queue.connection.zadd(queue.failed_job_registry.key, {f'gone-{i}': i for i in range(-50, 0)})
    seen: list[tuple[int, int]] = []
    queue.failed_job_registry.check(settle=0, chunk_size=20, progress=lambda *step: seen.append(step))
    # The registry itself is a key that the scan comes by.
    assert seen == [(20, 51), (40, 51), (50, 51), (50, 51), (50, 50)]
    report = queue.failed_job_registry.check(settle=0, chunk_size=20, progress=lambda count, _: count < 40)
    assert report.stopped
    assert 20 <= len(report) <= 40


def test_nothing_is_changed(queue: Queue) -> None:
    populate(queue)
    queue.connection.zadd(queue.failed_job_registry.key, {'gone': 5})
    before = {key: queue.connection.dump(key) for key in queue.connection.keys('*')}
    queue.connection.config_resetstat()
    for name in ALL:
        registry_of(queue, name).check(settle=0)
    assert {key: queue.connection.dump(key) for key in queue.connection.keys('*')} == before
    sent = {name.removeprefix('cmdstat_') for name in queue.connection.info('commandstats')}
    readers = {
        'zrange',
        'zrangebyscore',
        'zrevrangebyscore',
        'zcount',
        'zcard',
        'zscore',
        'zrank',
        'hmget',
        'hget',
        'smembers',
        'sismember',
    }
    readers |= {
        'exists',
        'hexists',
        'hlen',
        'pttl',
        'scan',
        'dbsize',
        'lrange',
        'keys',
        'dump',
        'config|resetstat',
        'config',
    }
    assert sent <= readers | {'info', 'hello', 'client', 'client|setinfo', 'client|setname', 'select', 'zrevrange'}


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({'settle': -1}, 'settle=-1 is no number of seconds'),
        ({'settle': 'x'}, "settle='x' is no number of seconds"),
        ({'settle': float('inf')}, 'settle=inf is no number of seconds'),
        ({'limit': 0}, 'limit=0 is no number of problems'),
        ({'limit': True}, 'limit=True is no number of problems'),
        ({'chunk_size': 0}, 'chunk_size=0'),
    ],
)
def test_bad_arguments(queue: Queue, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        queue.failed_job_registry.check(**arguments)
