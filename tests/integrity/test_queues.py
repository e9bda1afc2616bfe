"""check() of queues and intermediate queues."""

from __future__ import annotations

import pytest
from rq.job import JobStatus

from rqreg_ext import Queue
from rqreg_ext._integrity.check import check_everything
from rqreg_ext._integrity.problems import CheckReport, Problem, ProblemKind

from . import jobs, states


def check(queue: Queue) -> CheckReport:
    return check_everything(queue.connection, settle=0)


def only_problem(queue: Queue) -> Problem:
    (problem,) = check(queue)
    return problem


def test_queued_jobs_are_no_problem(queue: Queue) -> None:
    for number in range(5):
        queue.enqueue(jobs.succeed, job_id=f'j{number}')
    report = check(queue)
    assert list(report) == []
    assert (report.entries, report.jobs) == (5, 5)


def test_missing_job_in_queue_is_problem_until_cleanup(queue: Queue) -> None:
    """As when its ttl has ended. A worker of one queue leaves it in the intermediate queue, for RQ's maintenance."""
    job = queue.enqueue(jobs.succeed, job_id='gone')
    queue.connection.delete(job.key)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.key) == (ProblemKind.MISSING_JOB, 'gone', queue.key)
    assert problem.repaired_by_rq
    worker = states.work(queue)
    problem = only_problem(queue)
    assert (problem.kind, problem.key) == (ProblemKind.MISSING_JOB, queue.intermediate_queue_key)
    assert problem.repaired_by_rq
    queue.intermediate_queue.cleanup(worker, queue)
    assert not check(queue)


def test_canceled_job_still_in_queue_is_problem(queue: Queue) -> None:
    """cancel() removes one entry from the queue; a worker that takes the other one runs the job."""
    job = queue.enqueue(jobs.succeed, job_id='c')
    queue.push_job_id('c')
    job.cancel()
    problem = only_problem(queue)
    assert (problem.kind, problem.key, problem.repair) == (
        ProblemKind.WRONG_STATUS,
        queue.key,
        'remove it from the queue',
    )


@pytest.mark.parametrize('status', ['finished', 'scheduled', 'created'])
def test_job_of_another_status_is_problem_without_repair(queue: Queue, status: str) -> None:
    job = queue.enqueue(jobs.succeed, job_id='j')
    job.set_status(JobStatus(status))
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (ProblemKind.WRONG_STATUS, None)


def test_job_queued_twice_is_problem_without_repair(queue: Queue) -> None:
    job = queue.enqueue(jobs.succeed, job_id='twice')
    for number in range(2000):
        queue.push_job_id(job.id) if number == 1500 else queue.enqueue(jobs.succeed)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.QUEUED_TWICE, 'twice', None)
    assert '2 times' in problem.detail


def test_job_of_another_queue_is_problem_without_repair(queue: Queue) -> None:
    other = Queue('other', connection=queue.connection)
    job = other.enqueue(jobs.succeed, job_id='j')
    queue.connection.sadd('rq:queues', queue.key)
    queue.push_job_id(job.id)
    problem = only_problem(queue)
    assert (problem.kind, problem.key, problem.repair) == (ProblemKind.WRONG_QUEUE, queue.key, None)


def test_job_lost_by_worker_is_orphan(queue: Queue) -> None:
    """A worker of two queues does not use the intermediate queue, so the job is nowhere."""
    queue.enqueue(jobs.succeed, job_id='lost')
    states.die(states.TakingWorker, queue, Queue('second', connection=queue.connection))
    assert not queue.count
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.key) == (ProblemKind.ORPHAN, 'lost', queue.key)
    assert problem.repair is not None


def test_job_lost_in_intermediate_queue_is_stuck(queue: Queue, redis_server: object) -> None:
    """It is in the intermediate queue, and RQ's maintenance fails it after a minute."""
    queue.enqueue(jobs.succeed, job_id='stuck')
    states.die(states.TakingWorker, queue)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.STUCK, 'stuck', None)
    assert (problem.key, problem.repaired_by_rq) == (queue.intermediate_queue_key, True)


def test_job_being_started_is_no_problem(queue: Queue) -> None:
    queue.enqueue(jobs.succeed, job_id='s')
    states.die(states.EnteringWorker, queue)
    assert queue.connection.llen(queue.intermediate_queue_key) == 1
    # The worker that took the job is registered still.
    assert not check(queue)


def test_stale_entries_of_intermediate_queue_are_problems(queue: Queue) -> None:
    states.finished(queue, 'f')
    queue.enqueue(jobs.succeed, job_id='q')
    unclear = queue.create_job(jobs.succeed, job_id='u', status=JobStatus.CREATED)
    unclear.save()
    queue.connection.rpush(queue.intermediate_queue_key, 'f', 'q', 'gone', 'u')
    problems = {problem.job_id: problem for problem in check(queue)}
    assert {job_id: problem.kind.value for job_id, problem in problems.items()} == {
        'f': 'wrong_status',
        'q': 'wrong_status',
        'gone': 'missing_job',
        'u': 'wrong_status',
    }
    assert {job_id for job_id, problem in problems.items() if problem.repair is None} == {'u'}
    assert {job_id for job_id, problem in problems.items() if problem.repaired_by_rq} == {'gone'}


def test_jobs_of_deleted_queue_are_orphans(queue: Queue) -> None:
    for number in range(1200):
        queue.enqueue(jobs.succeed, job_id=f'j{number}')
    queue.connection.delete(queue.key)
    assert states.kinds(check(queue)) == {f'j{number}': 'orphan' for number in range(1200)}


def test_queue_key_of_wrong_type_is_left_out(queue: Queue) -> None:
    queue.enqueue(jobs.succeed)
    queue.connection.delete(queue.key)
    queue.connection.set(queue.key, 'x')
    report = check(queue)
    assert (len(report), [*report.errors]) == (0, [queue.name])
    assert str(report.errors[queue.name]).startswith('WRONGTYPE')
