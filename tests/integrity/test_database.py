"""check() of a database."""

from __future__ import annotations

import time

import pytest
from private_redis import PrivateRedis
from rq.job import Job, JobStatus

import rqreg_ext
from rqreg_ext import Queue
from rqreg_ext._integrity import queued_jobs
from rqreg_ext._integrity.check import check_everything
from rqreg_ext._integrity.problems import ProblemKind
from rqreg_ext.executions import ExecutionRegistry

from . import jobs, states


def populate(queue: Queue, name: str = '') -> None:
    """Put a job into every registry, and into the queue."""
    states.failed(queue, f'{name}failed')
    states.finished(queue, f'{name}finished')
    states.canceled(queue, f'{name}canceled')
    parent = states.scheduled(queue, f'{name}scheduled')
    states.deferred(queue, f'{name}deferred', parent)
    states.started(queue, f'{name}started')
    queue.enqueue(jobs.succeed, job_id=f'{name}queued')


def test_consistent_database_has_no_problems(queue: Queue) -> None:
    populate(queue)
    populate(Queue('other', connection=queue.connection), 'other-')
    Job.create(jobs.succeed, id='created', connection=queue.connection).save()
    report = check_everything(queue.connection, settle=0)
    assert list(report) == []
    # A deferred job is an entry that is looked at once.
    assert (report.entries, report.jobs) == (14, 15)


def test_empty_database_has_no_problems(queue: Queue) -> None:
    assert not check_everything(queue.connection)


def test_every_registry_is_checked(queue: Queue) -> None:
    populate(queue)
    names = ('failed', 'finished', 'canceled', 'scheduled', 'started')
    queue.connection.delete(*(f'rq:job:{name}' for name in (*names, 'queued')))
    report = check_everything(queue.connection, settle=0).of('missing_job')
    assert {problem.job_id: problem.key for problem in report} == {
        **{name: getattr(queue, f'{name}_job_registry').key for name in names},
        'queued': queue.key,
    }


def test_only_selected_queues_are_checked(queue: Queue) -> None:
    """Keys that belong to no queue are left out then."""
    other = Queue('other', connection=queue.connection)
    for some in (queue, other):
        states.failed(some, f'lost-{some.name}')
        some.connection.zadd(some.failed_job_registry.key, {'gone': '+inf'})
        some.connection.zrem(some.failed_job_registry.key, f'lost-{some.name}')
        some.connection.sadd('rq:workers:' + some.name, 'rq:worker:gone')
    queue.connection.sadd('rq:job:nobody:dependents', 'x')
    for queues in (['q'], [queue]):
        report = rqreg_ext.check(queue.connection, queues, settle=0)
        assert {(problem.kind.value, problem.job_id) for problem in report} == {
            ('orphan', 'lost-q'),
            ('missing_job', 'gone'),
            ('missing_worker', None),
        }
    assert len(check_everything(queue.connection, settle=0)) == 7
    assert not check_everything(queue.connection, [], settle=0)


def test_unlisted_queue_is_problem_and_checked(queue: Queue) -> None:
    populate(queue)
    queue.connection.zadd(queue.failed_job_registry.key, {'gone': '+inf'})
    queue.connection.srem('rq:queues', queue.key)
    report = check_everything(queue.connection, settle=0)
    assert {(problem.kind.value, problem.key) for problem in report} == {
        ('unknown_queue', 'rq:queues'),
        ('missing_job', queue.failed_job_registry.key),
    }


def test_registry_of_unlisted_queue_is_problem_and_checked(queue: Queue) -> None:
    queue.connection.zadd('rq:finished:nobodys', {'gone': '+inf'})
    report = check_everything(queue.connection, settle=0)
    assert [problem.kind.value for problem in report] == ['unknown_queue', 'missing_job']


def test_missing_worker_is_problem_in_each_set(queue: Queue) -> None:
    queue.connection.sadd('rq:workers', 'rq:worker:here', 'rq:worker:gone')
    queue.connection.sadd('rq:workers:q', 'rq:worker:gone')
    queue.connection.hset('rq:worker:here', 'state', 'idle')
    queue.enqueue(jobs.succeed)
    report = check_everything(queue.connection, settle=0)
    assert [(problem.kind.value, problem.key) for problem in report] == [
        ('missing_worker', 'rq:workers'),
        ('missing_worker', 'rq:workers:q'),
    ]
    assert all('rq:worker:gone' in problem.detail and problem.repaired_by_rq for problem in report)


def test_job_deleted_while_running_is_problem(queue: Queue) -> None:
    entry = states.started(queue, 's')
    queue.connection.delete('rq:job:s')
    (problem,) = check_everything(queue.connection, settle=0).of(ProblemKind.EXECUTION_WITHOUT_JOB)
    assert (problem.job_id, problem.key, problem.repaired_by_rq) == ('s', 'rq:executions:s', True)
    queue.connection.persist('rq:executions:s')
    (problem,) = check_everything(queue.connection, settle=0).of(ProblemKind.EXECUTION_WITHOUT_JOB)
    assert (problem.repaired_by_rq, problem.repair) == (False, 'delete rq:executions:s')
    # As a heartbeat leaves it.
    queue.connection.delete('rq:executions:s')
    (problem,) = check_everything(queue.connection, settle=0).of(ProblemKind.EXECUTION_WITHOUT_JOB)
    assert problem.key == f'rq:execution:{entry}'


def test_missing_execution_of_finished_job_is_problem(queue: Queue) -> None:
    """RQ can neither read the job's executions nor delete the job."""
    entry = states.started(queue, 's')
    queue.connection.delete(f'rq:execution:{entry}')
    job = queue.fetch_job('s')
    assert job is not None
    with pytest.raises(ValueError, match='not found'):
        job.delete()
    registry = ExecutionRegistry('s', connection=queue.connection)
    for report in (registry.check(settle=0), check_everything(queue.connection, settle=0).of('missing_execution')):
        problem = next(problem for problem in report if problem.key == registry.key)
        assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.MISSING_EXECUTION, 's', 'drop the entry')
    queue.connection.zadd(registry.key, {entry.partition(':')[2]: 5})
    (problem,) = registry.check(settle=0)
    assert (problem.kind, problem.repaired_by_rq) == (ProblemKind.EXPIRED, True)


def test_executions_of_running_job_are_no_problem(queue: Queue) -> None:
    states.started(queue, 's')
    assert not ExecutionRegistry('s', connection=queue.connection).check(settle=0)
    assert not ExecutionRegistry('no such', connection=queue.connection).check(settle=0)


def test_stale_set_is_problem_unless_it_expires(queue: Queue) -> None:
    parent = states.scheduled(queue, 'parent')
    states.deferred(queue, 'child', parent)
    queue.connection.delete('rq:job:child', queue.deferred_job_registry.key)
    (problem,) = check_everything(queue.connection, settle=0)
    assert (problem.kind, problem.job_id, problem.key) == (ProblemKind.STALE_KEY, 'child', 'rq:job::child:dependencies')
    queue.connection.expire(problem.key, 100)
    assert not check_everything(queue.connection, settle=0)


def test_job_that_rq_cannot_load_is_problem(queue: Queue) -> None:
    job = queue.enqueue(jobs.succeed, job_id='j')
    queue.connection.hset(job.key, 'status', 'no such')
    queue.connection.hset('rq:job:half', 'last_heartbeat', 'x')
    queue.connection.set('rq:job:text', 'x')
    report = check_everything(queue.connection, settle=0)
    assert states.kinds(report) == {'j': 'unreadable_job', 'half': 'unreadable_job', 'text': 'unreadable_job'}
    assert {problem.key for problem in report} == {'rq:job:j', 'rq:job:half', 'rq:job:text'}


@pytest.mark.skipif(not hasattr(JobStatus, 'RATE_LIMITED'), reason='this RQ has no rate limits')
def test_rate_limited_job_is_no_problem(queue: Queue) -> None:
    from rq.rate_limit import RateLimit

    limit = RateLimit('site', 1)
    queue.enqueue(jobs.succeed, job_id='first', rate_limit=limit)
    queue.enqueue(jobs.succeed, job_id='second', rate_limit=limit)
    assert not check_everything(queue.connection, settle=0)
    queue.connection.delete('rq:rl:site:rate_limited')
    (problem,) = check_everything(queue.connection, settle=0)
    assert (problem.kind, problem.job_id, problem.key) == (ProblemKind.ORPHAN, 'second', 'rq:rl:site:rate_limited')


def test_jobs_are_found_lost_if_queued_ids_are_read_in_groups(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued_jobs, 'MOST_REMEMBERED', 100)
    with queue.connection.pipeline() as pipe:
        for number in range(950):
            queue.enqueue(jobs.succeed, job_id=f'j{number}', pipeline=pipe)
        pipe.execute()
    lost = {f'j{number}' for number in range(0, 950, 7)}
    for job_id in lost:
        queue.connection.lrem(queue.key, 1, job_id)
    queue.push_job_id('j1')
    report = check_everything(queue.connection, settle=0)
    assert states.kinds(report) == {**dict.fromkeys(lost, 'orphan'), 'j1': 'queued_twice'}


def test_check_takes_url_as_connection(redis_server: PrivateRedis, queue: Queue) -> None:
    queue.connection.zadd('rq:failed:q', {'gone': '+inf'})
    assert len(rqreg_ext.check(redis_server.url, ['q'], settle=0)) == 1


def test_progress_is_called_and_stops_check(queue: Queue) -> None:
    populate(queue)
    seen: list[tuple[int, int]] = []
    report = check_everything(queue.connection, settle=0, progress=lambda *step: seen.append(step))
    assert seen == sorted(seen, key=lambda step: step[0])
    assert seen[-1] == (report.entries + report.jobs,) * 2
    assert all(count <= total for count, total in seen)


def test_report_counts_selects_and_adds_problems(queue: Queue) -> None:
    queue.connection.zadd('rq:failed:q', {'gone': '+inf', 'late': time.time() - 5})
    report = check_everything(queue.connection, ['q'], settle=0)
    assert report.counts == {ProblemKind.EXPIRED: 1, ProblemKind.MISSING_JOB: 1}
    assert report.counts['expired'] == 1
    assert [problem.job_id for problem in report.of('missing_job')] == ['gone']
    assert [problem.job_id for problem in report.lasting] == ['gone']
    assert [problem.job_id for problem in report[1:]] == ['gone']
    twice = report + report
    assert (len(twice), twice.entries) == (4, 2 * report.entries)
    text = str(report)
    assert text.startswith('2 problems in 2 entries and 0 jobs')
    assert 'missing_job: job gone is gone' in text
    assert str(check_everything(queue.connection, ['none'], settle=0)).startswith('no problems in 0 entries')
    as_dict = report.to_dict()
    assert as_dict['counts'] == {'expired': 1, 'missing_job': 1}
    assert as_dict['problems'][0]['kind'] == 'expired'
    with pytest.raises(ValueError, match="'nothing' is not a valid ProblemKind; the kinds are missing_job, expired"):
        report.of('nothing')


def test_hash_of_each_job_is_read_twice(queue: Queue) -> None:
    """As an entry, and in the scan of the keys."""
    count = 20
    for number in range(count):
        queue.failed_job_registry.add(queue.enqueue(jobs.succeed, job_id=f'j{number}'), ttl=100)
        queue.connection.hset(f'rq:job:j{number}', 'status', 'failed')
    queue.connection.delete(queue.key)
    queue.connection.config_resetstat()
    assert not check_everything(queue.connection, settle=0)
    assert queue.connection.info('commandstats')['cmdstat_hmget']['calls'] == 2 * count
