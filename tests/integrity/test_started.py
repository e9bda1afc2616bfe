"""The entries of started jobs: running, abandoned, left over, and such as RQ cannot read."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rq.job import JobStatus

from rqreg_ext import Queue
from rqreg_ext._fastpath import releases
from rqreg_ext._integrity.problems import Problem, ProblemKind

from . import jobs, states


def only_problem(queue: Queue) -> Problem:
    (problem,) = queue.started_job_registry.check(settle=0)
    assert problem.key == queue.started_job_registry.key
    return problem


def test_running_job_is_no_problem(queue: Queue) -> None:
    states.started(queue, 's')
    assert not queue.started_job_registry.check(settle=0)


def test_job_being_started_is_no_problem(queue: Queue) -> None:
    """The worker has added the execution, and not yet changed the status of the job."""
    queue.enqueue(jobs.succeed, job_id='s')
    states.die(states.EnteringWorker, queue)
    assert queue.connection.hget('rq:job:s', 'status') == b'queued'
    assert not queue.started_job_registry.check(settle=0)


@pytest.mark.parametrize('begun', [True, False])
def test_abandoned_job_is_problem_until_cleanup(queue: Queue, begun: bool) -> None:
    queue.enqueue(jobs.succeed, job_id='s')
    states.die(states.LeavingWorker if begun else states.EnteringWorker, queue)
    states.let_time_pass(queue.connection)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repaired_by_rq) == (ProblemKind.ABANDONED, 's', True)
    assert problem.repair is not None
    queue.started_job_registry.cleanup()
    assert not queue.started_job_registry.check(settle=0)


def test_started_job_without_execution_is_problem_without_repair(queue: Queue) -> None:
    entry = states.started(queue, 's')
    queue.connection.delete(f'rq:execution:{entry}')
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.MISSING_EXECUTION, 's', None)
    assert problem.repaired_by_rq
    queue.connection.zadd(problem.key, {entry: '+inf'})
    problem = only_problem(queue)
    assert (problem.kind, problem.repaired_by_rq) == (ProblemKind.MISSING_EXECUTION, False)


def test_entry_without_execution_id_is_problem(queue: Queue) -> None:
    """As RQ 1 wrote them."""
    states.started(queue, 's')
    queue.connection.delete(queue.started_job_registry.key)
    queue.connection.zadd(queue.started_job_registry.key, {'s': time.time() + 1000})
    assert only_problem(queue).kind is ProblemKind.MISSING_EXECUTION


def test_stale_entry_of_finished_job_is_problem_with_repair(queue: Queue) -> None:
    """Before RQ 3, RQ's cleanup fails the finished job because of the entry."""
    states.finished(queue, 's')
    queue.connection.zadd(queue.started_job_registry.key, {'s:left': time.time() - 5})
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (ProblemKind.WRONG_STATUS, 'drop the entry here')


def test_entry_not_removed_by_worker_is_problem(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before RQ 3, if another job becomes a dependent in the moment in which this one finishes."""
    job = queue.enqueue(jobs.succeed, job_id='s')

    def add_dependent(worker: states.DeafWorker, *args: Any, **options: Any) -> None:
        monkeypatch.undo()
        queue.connection.sadd(job.dependents_key, 'late')
        worker.increment_successful_job_count(*args, **options)

    monkeypatch.setattr(states.DeafWorker, 'increment_successful_job_count', add_dependent)
    states.work(queue)
    assert job.get_status() == JobStatus.FINISHED
    report = queue.started_job_registry.check(settle=0)
    if releases.release is not None and releases.release.abandons_only_started:
        assert list(report) == []
        return
    (problem,) = report
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.WRONG_STATUS, 's', 'drop the entry here')
    assert (problem.repaired_by_rq, 'fails the job for it' in problem.detail) == (False, True)
    states.let_time_pass(queue.connection)
    queue.started_job_registry.cleanup()
    assert job.get_status() == JobStatus.FAILED


def test_job_canceled_while_running_is_no_problem(queue: Queue) -> None:
    """RQ removes it from the registry; its worker may still write its end."""
    states.started(queue, 's')
    queue.fetch_job('s').cancel()
    assert not queue.started_job_registry.check(settle=0)
    assert not queue.canceled_job_registry.check(settle=0)


def test_running_job_with_another_status_is_problem_without_repair(queue: Queue) -> None:
    states.started(queue, 's')
    queue.fetch_job('s').set_status(JobStatus.FAILED)
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (ProblemKind.WRONG_STATUS, None)
    assert 'a worker still runs it' in problem.detail


def test_malformed_entry_is_problem_with_repair_if_no_job_matches(queue: Queue) -> None:
    """It is removed if no job exists that it may name. RQ can neither list nor clean up the registry before."""
    registry = queue.started_job_registry
    states.finished(queue, 's')
    queue.connection.zadd(registry.key, {'a:b:c': 5, 's:of:old': 6})
    with pytest.raises(ValueError, match='unpack'):
        registry.get_job_ids()
    mendable, other = registry.check(settle=0)
    assert (mendable.kind, mendable.job_id, mendable.repair) == (ProblemKind.MALFORMED_ENTRY, None, 'drop the entry')
    assert (other.kind, other.repair) == (ProblemKind.MALFORMED_ENTRY, None)
    assert "'a:b:c'" in mendable.detail


def test_job_of_another_queue_is_problem_with_repair(queue: Queue) -> None:
    entry = states.started(queue, 's')
    other = Queue('other', connection=queue.connection)
    queue.connection.zadd(other.started_job_registry.key, {entry: time.time() + 100})
    problem = only_problem(other)
    assert (problem.kind, problem.repair) == (ProblemKind.WRONG_QUEUE, 'drop the entry here')
    assert not queue.started_job_registry.check(settle=0)
