"""The entries of started jobs: running, abandoned, left over, and such as RQ cannot read."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rq.job import JobStatus

from rqreg_ext import Queue, _installed_rq
from rqreg_ext.whole.truth.problems import Kind, Problem

from . import jobs, states


def only_problem(queue: Queue) -> Problem:
    (problem,) = queue.started_job_registry.check(settle=0)
    assert problem.key == queue.started_job_registry.key
    return problem


def test_a_job_that_runs(queue: Queue) -> None:
    states.started(queue, 's')
    assert not queue.started_job_registry.check(settle=0)


def test_a_job_that_is_just_being_started(queue: Queue) -> None:
    """The worker has entered its execution, and the job's status is not written yet."""
    queue.enqueue(jobs.succeed, job_id='s')
    states.die(states.EnteringWorker, queue)
    assert queue.connection.hget('rq:job:s', 'status') == b'queued'
    assert not queue.started_job_registry.check(settle=0)


@pytest.mark.parametrize('begun', [True, False])
def test_a_job_whose_worker_is_gone(queue: Queue, begun: bool) -> None:
    queue.enqueue(jobs.succeed, job_id='s')
    states.die(states.LeavingWorker if begun else states.EnteringWorker, queue)
    states.let_time_pass(queue.connection)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.mended_by_rq) == (Kind.ABANDONED, 's', True)
    assert problem.repair is not None
    queue.started_job_registry.cleanup()
    assert not queue.started_job_registry.check(settle=0)


def test_an_execution_that_is_gone(queue: Queue) -> None:
    entry = states.started(queue, 's')
    queue.connection.delete(f'rq:execution:{entry}')
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.MISSING_EXECUTION, 's', None)
    assert problem.mended_by_rq
    queue.connection.zadd(problem.key, {entry: '+inf'})
    problem = only_problem(queue)
    assert (problem.kind, problem.mended_by_rq) == (Kind.MISSING_EXECUTION, False)


def test_an_entry_without_an_execution_id(queue: Queue) -> None:
    """As RQ 1 left them."""
    states.started(queue, 's')
    queue.connection.delete(queue.started_job_registry.key)
    queue.connection.zadd(queue.started_job_registry.key, {'s': time.time() + 1000})
    assert only_problem(queue).kind is Kind.MISSING_EXECUTION


def test_an_entry_left_behind_by_a_finished_job(queue: Queue) -> None:
    """Before RQ 3, the clean-up fails the finished job because of it."""
    states.finished(queue, 's')
    queue.connection.zadd(queue.started_job_registry.key, {'s:left': time.time() - 5})
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (Kind.WRONG_STATUS, 'drop the entry here')


def test_an_entry_that_a_worker_forgot(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before RQ 3, where another job comes to wait for this one in the moment in which it finishes."""
    job = queue.enqueue(jobs.succeed, job_id='s')

    def add_dependent(worker: states.DeafWorker, *args: Any, **options: Any) -> None:
        monkeypatch.undo()
        queue.connection.sadd(job.dependents_key, 'late')
        worker.increment_successful_job_count(*args, **options)

    monkeypatch.setattr(states.DeafWorker, 'increment_successful_job_count', add_dependent)
    states.work(queue)
    assert job.get_status() == JobStatus.FINISHED
    report = queue.started_job_registry.check(settle=0)
    if _installed_rq.release is not None and _installed_rq.release.abandons_only_started:
        assert list(report) == []
        return
    (problem,) = report
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.WRONG_STATUS, 's', 'drop the entry here')
    assert (problem.mended_by_rq, 'fails the job for it' in problem.detail) == (False, True)
    states.let_time_pass(queue.connection)
    queue.started_job_registry.cleanup()
    assert job.get_status() == JobStatus.FAILED


def test_a_job_that_was_canceled_while_it_runs(queue: Queue) -> None:
    """RQ takes it out of the registry; a worker of it may still write its end."""
    states.started(queue, 's')
    queue.fetch_job('s').cancel()
    assert not queue.started_job_registry.check(settle=0)
    assert not queue.canceled_job_registry.check(settle=0)


def test_a_job_that_runs_and_has_another_status(queue: Queue) -> None:
    states.started(queue, 's')
    queue.fetch_job('s').set_status(JobStatus.FAILED)
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (Kind.WRONG_STATUS, None)
    assert 'a worker still runs it' in problem.detail


def test_an_entry_that_rq_cannot_read(queue: Queue) -> None:
    """One that no job may be meant by is dropped; RQ can do nothing with the registry meanwhile."""
    registry = queue.started_job_registry
    states.finished(queue, 's')
    queue.connection.zadd(registry.key, {'a:b:c': 5, 's:of:old': 6})
    with pytest.raises(ValueError, match='unpack'):
        registry.get_job_ids()
    mendable, other = registry.check(settle=0)
    assert (mendable.kind, mendable.job_id, mendable.repair) == (Kind.MALFORMED_ENTRY, None, 'drop the entry')
    assert (other.kind, other.repair) == (Kind.MALFORMED_ENTRY, None)
    assert "'a:b:c'" in mendable.detail


def test_a_job_of_another_queue(queue: Queue) -> None:
    entry = states.started(queue, 's')
    other = Queue('other', connection=queue.connection)
    queue.connection.zadd(other.started_job_registry.key, {entry: time.time() + 100})
    problem = only_problem(other)
    assert (problem.kind, problem.repair) == (Kind.WRONG_QUEUE, 'drop the entry here')
    assert not queue.started_job_registry.check(settle=0)
