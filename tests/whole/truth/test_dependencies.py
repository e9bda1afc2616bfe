"""Deferred jobs that wait in vain."""

from __future__ import annotations

import pytest
from rq.job import Dependency, Job, JobStatus

from rqreg_ext import Queue
from rqreg_ext.whole.truth.problems import Kind, Problem

from . import jobs, states


def only_problem(queue: Queue) -> Problem:
    (problem,) = queue.deferred_job_registry.check(settle=0)
    return problem


@pytest.fixture
def parent(queue: Queue) -> Job:
    return states.scheduled(queue, 'parent')


def test_a_job_that_waits(queue: Queue, parent: Job) -> None:
    states.deferred(queue, 'child', parent)
    states.deferred(queue, 'other', [parent, states.finished(queue, 'second')])
    assert not queue.deferred_job_registry.check(settle=0)


@pytest.mark.parametrize('status', ['failed', 'canceled', 'stopped', 'started', 'queued'])
def test_what_it_waits_for_has_not_finished(queue: Queue, parent: Job, status: str) -> None:
    """RQ lets it wait: the other job may be requeued."""
    states.deferred(queue, 'child', parent)
    parent.set_status(JobStatus(status))
    assert not queue.deferred_job_registry.check(settle=0)


@pytest.mark.parametrize(('allow_failure', 'status'), [(False, 'finished'), (True, 'finished'), (True, 'failed')])
def test_what_it_waits_for_is_over(queue: Queue, parent: Job, allow_failure: bool, status: str) -> None:
    """The worker ended between the failure and the jobs that waited for it, as RQ goes about it."""
    states.deferred(queue, 'child', Dependency([parent], allow_failure=allow_failure))
    parent.set_status(JobStatus(status))
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.DEPENDENCIES_MET, 'child', 'enqueue the job')
    assert 'parent' in problem.detail


def test_what_it_waits_for_is_gone(queue: Queue, parent: Job) -> None:
    states.deferred(queue, 'child', parent)
    parent.delete()
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.MISSING_DEPENDENCY, 'child', None)
    assert 'parent' in problem.detail


def test_some_of_what_it_waits_for_is_gone(queue: Queue, parent: Job) -> None:
    second = states.scheduled(queue, 'second')
    states.deferred(queue, 'child', [parent, second])
    parent.delete()
    assert not queue.deferred_job_registry.check(settle=0)
    second.set_status(JobStatus.FINISHED)
    assert only_problem(queue).kind is Kind.MISSING_DEPENDENCY


def test_it_waits_for_nothing(queue: Queue, parent: Job) -> None:
    child = states.deferred(queue, 'child', parent)
    queue.connection.delete(child.dependencies_key)
    queue.connection.hdel(child.key, 'dependency_ids', 'dependency_id')
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (Kind.MISSING_DEPENDENCY, None)


def test_it_is_not_told(queue: Queue) -> None:
    """The set of those that wait expires with the failure of what they wait for, and requeueing that keeps it so."""
    parent = states.failed(queue, 'parent', failure_ttl=1000)
    states.deferred(queue, 'child', parent)
    queue.failed_job_registry.requeue(parent)
    queue.connection.delete(parent.dependents_key)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.key) == (Kind.NOT_A_DEPENDENT, 'child', parent.dependents_key)
    assert problem.repair == 'enter it there'


def test_many_that_wait(queue: Queue, parent: Job) -> None:
    with queue.connection.pipeline() as pipe:
        for number in range(1100):
            job = Job.create(
                jobs.succeed,
                id=f'j{number}',
                connection=queue.connection,
                origin='q',
                depends_on=parent,
                status='deferred',
            )
            job.save(pipeline=pipe)
            job.register_dependency(pipeline=pipe)
        pipe.execute()
    parent.set_status(JobStatus.FINISHED)
    report = queue.deferred_job_registry.check(settle=0)
    assert states.kinds(report) == {f'j{number}': 'dependencies_met' for number in range(1100)}
