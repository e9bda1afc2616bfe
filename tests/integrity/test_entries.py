"""check() of a registry's entries: each state is one that RQ leaves, and what is in order is not reported."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from rq.job import Job, JobStatus

from rqreg_ext import Queue
from rqreg_ext._fastpath import releases
from rqreg_ext._integrity.problems import ProblemKind

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
def test_consistent_registry_has_no_problems(queue: Queue, name: str) -> None:
    populate(queue)
    report = registry_of(queue, name).check()
    assert list(report) == []
    assert (report.entries, report.jobs, report.stopped) == (2 if name == 'scheduled' else 1, 7, False)


def test_empty_registry_has_no_problems(queue: Queue) -> None:
    for name in ALL:
        assert len(registry_of(queue, name).check()) == 0


@pytest.mark.parametrize('name', ALL)
def test_entry_of_missing_job_is_problem_with_repair(queue: Queue, name: str) -> None:
    job = populate(queue)[name]
    queue.connection.delete(job.key)
    registry = registry_of(queue, name)
    (problem,) = registry.check(settle=0)
    assert (problem.kind, problem.job_id, problem.key) == (ProblemKind.MISSING_JOB, job.id, registry.key)
    assert problem.repair == 'drop the entry'
    # Of these, RQ drops those that no worker runs any more within minutes.
    assert problem.repaired_by_rq is (name == 'started')


@pytest.mark.parametrize('name', ['failed', 'finished'])
def test_expired_entry_is_problem_until_cleanup(queue: Queue, name: str) -> None:
    """RQ removes it at its next cleanup, whether its job exists or not."""
    job = populate(queue)[name]
    registry = registry_of(queue, name)
    queue.connection.zadd(registry.key, {job.id: time.time() - 5, 'gone': 5})
    report = registry.check(settle=0, orphans=False)
    assert states.kinds(report) == {job.id: 'expired', 'gone': 'expired'}
    assert all(problem.repaired_by_rq for problem in report)
    assert list(report.lasting) == []
    registry.cleanup()
    assert list(registry.check(settle=0, orphans=False)) == []


def test_entry_about_to_expire_is_no_problem(queue: Queue) -> None:
    """The hash expires by the server's clock, the entry by ours."""
    registry = queue.finished_job_registry
    queue.connection.zadd(registry.key, {'going': time.time() + 30, 'staying': time.time() + 300, 'for ever': '+inf'})
    assert states.kinds(registry.check(settle=0)) == {'staying': 'missing_job', 'for ever': 'missing_job'}


@pytest.mark.parametrize('score', [-1, '+inf'])
def test_entry_that_never_expires_is_no_problem(queue: Queue, score: Any) -> None:
    job = states.failed(queue, 'f', failure_ttl=-1)
    queue.connection.zadd(queue.failed_job_registry.key, {job.id: score})
    assert list(queue.failed_job_registry.check()) == []


@pytest.mark.parametrize('name', ['scheduled', 'canceled'])
def test_score_that_is_no_expiry_is_no_problem(queue: Queue, name: str) -> None:
    job = populate(queue)[name]
    registry = registry_of(queue, name)
    queue.connection.zadd(registry.key, {job.id: 5})
    assert list(registry.check(settle=0)) == []


def test_failed_job_enqueued_again_is_problem_until_it_fails(queue: Queue) -> None:
    """Without requeue(), which would remove it from the registry."""
    job = states.failed(queue, 'again')
    queue.enqueue_job(job)
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.WRONG_STATUS, 'again', 'drop the entry here')
    states.work(queue)
    assert list(queue.failed_job_registry.check()) == []


@pytest.mark.parametrize('then', ['finished', 'canceled', 'scheduled'])
def test_failed_job_moved_elsewhere_is_problem(queue: Queue, then: str) -> None:
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
    assert (problem.kind, problem.repair) == (ProblemKind.WRONG_STATUS, 'drop the entry here')
    assert registry_of(queue, then).key in problem.detail


def test_status_written_by_older_job_object_is_problem_without_repair(queue: Queue) -> None:
    """The data does not show whether the entry or the status is right, so nothing is repaired."""
    before = queue.enqueue(jobs.fail, job_id='overwritten')
    states.work(queue)
    before.save()
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert (problem.kind, problem.repair, problem.repair_step) == (ProblemKind.WRONG_STATUS, None, None)
    assert 'Job.save()' in problem.detail


def test_job_of_another_queue_is_problem(queue: Queue) -> None:
    states.failed(Queue('other', connection=queue.connection), 'elsewhere')
    unknown = states.failed(queue, 'nowhere')
    queue.connection.hset(unknown.key, 'origin', 'third')
    queue.connection.zadd(queue.failed_job_registry.key, {'elsewhere': time.time() + 1000})
    problems = {problem.job_id: problem for problem in queue.failed_job_registry.check(settle=0)}
    assert {problem.kind for problem in problems.values()} == {ProblemKind.WRONG_QUEUE}
    assert problems['elsewhere'].repair == 'drop the entry here'
    assert problems['nowhere'].repair is None


def test_repeated_job_stays_in_finished_registry(queue: Queue) -> None:
    from rq import Repeat

    job = queue.enqueue(jobs.succeed, job_id='repeated', repeat=Repeat(times=2, interval=1000))
    states.work(queue)
    # RQ 2.6 leaves it with the status of the run before.
    assert queue.connection.hget(job.key, 'status') in (b'scheduled', b'finished')
    assert job in queue.finished_job_registry
    assert job in queue.scheduled_job_registry
    assert list(queue.finished_job_registry.check(settle=0)) == []
    assert list(queue.scheduled_job_registry.check(settle=0)) == []


def test_stopped_job_in_failed_registry_is_no_problem(queue: Queue) -> None:
    job = states.failed(queue, 'stopped')
    job.set_status('stopped')
    assert list(queue.failed_job_registry.check(settle=0)) == []


@pytest.mark.parametrize('name', ALL)
def test_job_that_rq_cannot_load_is_problem(queue: Queue, name: str) -> None:
    job = populate(queue)[name]
    if name == 'started':
        queue.connection.hset(job.key, 'status', 'no such')
    else:
        # As a heartbeat leaves it that comes after the job was deleted.
        queue.connection.delete(job.key)
        queue.connection.hset(job.key, 'last_heartbeat', '2024-01-01T00:00:00.000000Z')
    (problem,) = registry_of(queue, name).check(settle=0)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.UNREADABLE_JOB, job.id, None)
    with pytest.raises(Exception, match=r'Unexpected job format|no such'):
        Job.fetch(job.id, connection=queue.connection)


def test_job_key_of_wrong_type_is_problem(queue: Queue) -> None:
    job = states.failed(queue, 'list')
    queue.connection.delete(job.key)
    queue.connection.rpush(job.key, 'x')
    (problem,) = queue.failed_job_registry.check(settle=0)
    assert problem.kind is ProblemKind.UNREADABLE_JOB


def test_registry_key_of_wrong_type_raises(queue: Queue) -> None:
    queue.connection.set(queue.failed_job_registry.key, 'x')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        queue.failed_job_registry.check()


def test_expired_deferred_job_is_problem_if_rq_fails_it(queue: Queue) -> None:
    """RQ before 2.8 fails deferred jobs whose time to live is over; later ones score them otherwise."""
    states.deferred(queue, 'd', states.scheduled(queue, 'parent'), ttl=1000)
    queue.connection.zadd(queue.deferred_job_registry.key, {'d': 5})
    expires = releases.release is not None and releases.release.deferred_cleanup == 3
    report = queue.deferred_job_registry.check(settle=0)
    assert states.kinds(report) == ({'d': 'expired'} if expires else {})


def test_many_entries_are_all_checked_in_any_chunk_size(queue: Queue) -> None:
    scores = {f'gone-{i}': time.time() + 1000 + i for i in range(2500)}
    queue.connection.zadd(queue.failed_job_registry.key, scores)
    for chunk_size in (7, 1000, 5000):
        report = queue.failed_job_registry.check(settle=0, chunk_size=chunk_size)
        assert states.kinds(report) == dict.fromkeys(scores, 'missing_job')
        assert report.entries == 2500


def test_limit_stops_check(queue: Queue) -> None:
    queue.connection.zadd(queue.failed_job_registry.key, {f'gone-{i}': '+inf' for i in range(50)})
    report = queue.failed_job_registry.check(settle=0, limit=7)
    assert (len(report), report.stopped) == (7, True)
    report = queue.failed_job_registry.check(settle=0, limit=51)
    assert (len(report), report.stopped) == (50, False)


def test_progress_is_called_and_stops_check(queue: Queue) -> None:
    queue.connection.zadd(queue.failed_job_registry.key, {f'gone-{i}': i for i in range(-50, 0)})
    seen: list[tuple[int, int]] = []
    queue.failed_job_registry.check(settle=0, chunk_size=20, progress=lambda *step: seen.append(step))
    # The registry itself is a key that the scan comes by.
    assert seen == [(20, 51), (40, 51), (50, 51), (50, 51), (50, 50)]
    report = queue.failed_job_registry.check(settle=0, chunk_size=20, progress=lambda count, _: count < 40)
    assert report.stopped
    assert 20 <= len(report) <= 40


def test_check_changes_nothing(queue: Queue) -> None:
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
    handshake = {'hello', 'select', 'client', 'client|setinfo', 'client|setname', 'client|info'}
    assert sent <= readers | handshake | {'info', 'zrevrange'}


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({'settle': -1}, 'settle=-1 is not a number of seconds'),
        ({'settle': 'x'}, "settle='x' is not a number of seconds"),
        ({'settle': float('inf')}, 'settle=inf is not a number of seconds'),
        ({'limit': 0}, 'limit=0 is not a number of problems'),
        ({'limit': True}, 'limit=True is not a number of problems'),
        ({'chunk_size': 0}, 'chunk_size=0'),
    ],
)
def test_wrong_arguments_raise(queue: Queue, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        queue.failed_job_registry.check(**arguments)
