"""Deferred jobs that wait in vain."""

from __future__ import annotations

import pytest
from rq.job import Dependency, Job, JobStatus

from rqreg_ext import Queue
from rqreg_ext._integrity.problems import Problem, ProblemKind

from . import jobs, states


def only_problem(queue: Queue) -> Problem:
    (problem,) = queue.deferred_job_registry.check(settle=0)
    return problem


@pytest.fixture
def parent(queue: Queue) -> Job:
    return states.scheduled(queue, 'parent')


def test_waiting_job_is_no_problem(queue: Queue, parent: Job) -> None:
    states.deferred(queue, 'child', parent)
    states.deferred(queue, 'other', [parent, states.finished(queue, 'second')])
    assert not queue.deferred_job_registry.check(settle=0)


@pytest.mark.parametrize('status', ['failed', 'canceled', 'stopped', 'started', 'queued'])
def test_unfinished_dependency_is_no_problem(queue: Queue, parent: Job, status: str) -> None:
    """RQ keeps the job deferred, as its dependency may be requeued."""
    states.deferred(queue, 'child', parent)
    parent.set_status(JobStatus(status))
    assert not queue.deferred_job_registry.check(settle=0)


@pytest.mark.parametrize(('allow_failure', 'status'), [(False, 'finished'), (True, 'finished'), (True, 'failed')])
def test_deferred_job_with_met_dependency_is_problem(
    queue: Queue, parent: Job, allow_failure: bool, status: str
) -> None:
    """A worker ended after it wrote the end of the dependency, and before it enqueued the dependents."""
    states.deferred(queue, 'child', Dependency([parent], allow_failure=allow_failure))
    parent.set_status(JobStatus(status))
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.DEPENDENCIES_MET, 'child', 'enqueue the job')
    assert 'parent' in problem.detail


def test_deferred_job_with_missing_dependency_is_problem(queue: Queue, parent: Job) -> None:
    states.deferred(queue, 'child', parent)
    parent.delete()
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.MISSING_DEPENDENCY, 'child', None)
    assert 'parent' in problem.detail


def test_one_missing_dependency_of_two_is_problem_once_other_is_met(queue: Queue, parent: Job) -> None:
    second = states.scheduled(queue, 'second')
    states.deferred(queue, 'child', [parent, second])
    parent.delete()
    assert not queue.deferred_job_registry.check(settle=0)
    second.set_status(JobStatus.FINISHED)
    assert only_problem(queue).kind is ProblemKind.MISSING_DEPENDENCY


def test_deferred_job_without_dependencies_is_problem_without_repair(queue: Queue, parent: Job) -> None:
    child = states.deferred(queue, 'child', parent)
    queue.connection.delete(child.dependencies_key)
    queue.connection.hdel(child.key, 'dependency_ids', 'dependency_id')
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (ProblemKind.MISSING_DEPENDENCY, None)


def test_job_that_is_not_a_dependent_is_problem(queue: Queue) -> None:
    """The set of dependents expires with the failed dependency, and requeueing that does not undo it."""
    parent = states.failed(queue, 'parent', failure_ttl=1000)
    states.deferred(queue, 'child', parent)
    queue.failed_job_registry.requeue(parent)
    queue.connection.delete(parent.dependents_key)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.key) == (ProblemKind.NOT_A_DEPENDENT, 'child', parent.dependents_key)
    assert problem.repair == 'add the job to that set'


def test_many_deferred_jobs_are_all_problems(queue: Queue, parent: Job) -> None:
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
