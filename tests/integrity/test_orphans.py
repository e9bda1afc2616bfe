"""Jobs with a status that no registry holds: RQ moves some jobs in two steps, and ended between them."""

from __future__ import annotations

import time
from typing import Any

import pytest
import rq.registry
from rq.job import Job, JobStatus

from rqreg_ext import Queue
from rqreg_ext._integrity.problems import Problem, ProblemKind

from . import jobs, states


def only_problem(registry: Any) -> Problem:
    (problem,) = registry.check(settle=0)
    assert (problem.kind, problem.key) == (ProblemKind.ORPHAN, registry.key)
    return problem


@pytest.mark.parametrize('name', ['failed', 'finished', 'canceled'])
def test_job_of_interrupted_requeue_is_orphan(queue: Queue, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ removes the job from the registry, and then enqueues it."""
    make = {'failed': states.failed, 'finished': states.finished, 'canceled': states.canceled}[name]
    job = make(queue, 'half')

    def end(*_: object, **__: object) -> None:
        raise states.Killed

    registry = getattr(queue, f'{name}_job_registry')
    monkeypatch.setattr(rq.registry.Queue, '_enqueue_job', end)
    with pytest.raises(states.Killed):
        rq.registry.BaseRegistry.requeue(registry, job.id)
    problem = only_problem(registry)
    assert (problem.job_id, problem.repair) == ('half', 'add the job to it')
    assert not registry.check(settle=0, orphans=False)


def test_stopped_job_without_registry_is_orphan(queue: Queue) -> None:
    job = states.failed(queue, 'stopped')
    job.set_status(JobStatus.STOPPED)
    queue.connection.delete(queue.failed_job_registry.key)
    assert only_problem(queue.failed_job_registry).job_id == 'stopped'


def test_scheduled_job_without_registry_is_orphan_without_repair(queue: Queue) -> None:
    """A job that returned a Retry: RQ sets its status first. Its time is not stored anywhere else."""
    states.scheduled(queue, 'lost')
    queue.connection.delete(queue.scheduled_job_registry.key)
    problem = only_problem(queue.scheduled_job_registry)
    assert (problem.job_id, problem.repair) == ('lost', None)
    assert 'when it was due' in problem.detail


def test_deferred_job_without_registry_is_orphan(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """enqueue_many() saves the jobs as deferred, and then adds them to the registry."""
    parent = states.scheduled(queue, 'parent')
    data = Queue.prepare_data(jobs.succeed, job_id='child', depends_on=parent)

    def end(*_: object, **__: object) -> None:
        raise states.Killed

    monkeypatch.setattr(Job, 'register_dependency', end)
    with pytest.raises(states.Killed):
        queue.enqueue_many([data])
    problem = only_problem(queue.deferred_job_registry)
    assert (problem.job_id, problem.repair) == ('child', 'add the job to it')


def test_started_job_without_registry_is_orphan_after_its_timeout(queue: Queue) -> None:
    """RQ's cleanup fails it in several steps, and removes it from the registry in the first."""
    job = queue.enqueue(jobs.succeed, job_id='s', job_timeout=180)
    states.die(states.LeavingWorker, queue)
    queue.connection.delete(queue.started_job_registry.key)
    # A worker may run it still.
    assert not queue.started_job_registry.check(settle=0)
    states.let_time_pass(queue.connection)
    assert not queue.started_job_registry.check(settle=0)
    long_ago = '2024-01-01T00:00:00.000000Z'
    fields = dict.fromkeys(['enqueued_at', 'started_at', 'last_heartbeat'], long_ago)
    queue.connection.hset(job.key, mapping=fields)
    problem = only_problem(queue.started_job_registry)
    assert (problem.job_id, problem.repair is None) == ('s', False)
    queue.connection.hset(job.key, 'timeout', int(time.time()))
    assert not queue.started_job_registry.check(settle=0)
    queue.connection.hset(job.key, mapping={'timeout': -1, 'worker_name': 'sync'})
    assert only_problem(queue.started_job_registry).repair is None


def test_job_running_without_worker_is_no_problem(queue: Queue) -> None:
    """With is_async=False, a job is in no registry while it runs."""
    job = queue.create_job(jobs.succeed, job_id='sync')
    job.save()
    with queue.connection.pipeline() as pipe:
        job.prepare_for_execution('sync', pipeline=pipe)
        pipe.execute()
    assert not queue.started_job_registry.check(settle=0)


def test_job_in_another_registry_is_no_orphan(queue: Queue) -> None:
    """The check of the other registry, or of the queue, reports it."""
    job = states.failed(queue, 'f')
    queue.connection.zrem(queue.failed_job_registry.key, job.id)
    for key in (queue.canceled_job_registry.key, queue.deferred_job_registry.key):
        queue.connection.zadd(key, {job.id: 5})
        assert not queue.failed_job_registry.check(settle=0)
        queue.connection.zrem(key, job.id)
    for key in (queue.key, queue.intermediate_queue_key):
        queue.connection.rpush(key, 'a', 'b', job.id, 'c')
        assert not queue.failed_job_registry.check(settle=0)
        queue.connection.delete(key)
    assert only_problem(queue.failed_job_registry).job_id == job.id


def test_other_queues_and_statuses_are_not_checked(queue: Queue) -> None:
    other = Queue('other', connection=queue.connection)
    states.failed(other, 'f')
    states.finished(queue, 's')
    queue.connection.delete(other.failed_job_registry.key, queue.finished_job_registry.key)
    created = Job.create(jobs.succeed, id='created', connection=queue.connection, origin=queue.name)
    created.save()
    assert not queue.failed_job_registry.check(settle=0)
    assert only_problem(other.failed_job_registry).job_id == 'f'
    assert only_problem(queue.finished_job_registry).job_id == 's'


def test_job_about_to_expire_is_no_problem(queue: Queue) -> None:
    """RQ removes its entry by the worker's clock, maybe a little before the server removes the job."""
    states.finished(queue, 'short', result_ttl=40)
    states.finished(queue, 'long', result_ttl=400)
    queue.connection.delete(queue.finished_job_registry.key)
    assert only_problem(queue.finished_job_registry).job_id == 'long'


@pytest.mark.skipif(not hasattr(JobStatus, 'READY_TO_ENQUEUE'), reason='this RQ has no registry of ready jobs')
def test_ready_job_without_registry_is_orphan(queue: Queue) -> None:
    job = states.finished(queue, 'ready')
    job.set_status(JobStatus.READY_TO_ENQUEUE)
    queue.connection.delete(queue.finished_job_registry.key)
    assert only_problem(queue.ready_job_registry).job_id == 'ready'
    queue.ready_job_registry.add(job)
    assert not queue.ready_job_registry.check(settle=0)


def test_thousands_of_orphans_are_all_found(queue: Queue) -> None:
    """More than SCAN returns at once, and more than one round trip reads."""
    with queue.connection.pipeline() as pipe:
        for number in range(2300):
            job = Job.create(jobs.succeed, id=f'j{number}', connection=queue.connection, origin='q', status='failed')
            job.save(pipeline=pipe)
            pipe.sadd(f'{job.key}:dependents', 'x')
            if number % 2:
                pipe.zadd(queue.failed_job_registry.key, {job.id: '+inf'})
        pipe.execute()
    report = queue.failed_job_registry.check(settle=0)
    assert states.kinds(report) == {f'j{number}': 'orphan' for number in range(0, 2300, 2)}
    assert (report.entries, report.jobs) == (1150, 2300)


def test_orphans_are_those_with_key_prefix_of_job_class(queue: Queue) -> None:
    class OtherJob(Job):
        redis_job_namespace_prefix = 'app[*]:'

    other = Queue('q', connection=queue.connection, job_class=OtherJob)
    states.failed(queue, 'theirs')
    job = OtherJob.create(jobs.succeed, id='mine', connection=queue.connection, origin='q', status='failed')
    job.save()
    queue.connection.delete(queue.failed_job_registry.key)
    assert only_problem(other.failed_job_registry).job_id == 'mine'
    assert only_problem(queue.failed_job_registry).job_id == 'theirs'
