"""What stands in queues, and between a queue and the start of a job."""

from __future__ import annotations

import pytest
import redis
from rq.job import JobStatus

from rqreg_ext import Queue
from rqreg_ext.whole.truth.checking import check_everything
from rqreg_ext.whole.truth.problems import CheckReport, Kind, Problem

from . import jobs, states


def check(queue: Queue) -> CheckReport:
    return check_everything(queue.connection, settle=0)


def only_problem(queue: Queue) -> Problem:
    (problem,) = check(queue)
    return problem


def test_jobs_that_wait_for_a_worker(queue: Queue) -> None:
    for number in range(5):
        queue.enqueue(jobs.succeed, job_id=f'j{number}')
    report = check(queue)
    assert list(report) == []
    assert (report.entries, report.jobs) == (5, 5)


def test_the_job_is_gone(queue: Queue) -> None:
    """As a job goes whose ttl is over. A worker of one queue leaves it where RQ's maintenance finds it."""
    job = queue.enqueue(jobs.succeed, job_id='gone')
    queue.connection.delete(job.key)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.key) == (Kind.MISSING_JOB, 'gone', queue.key)
    assert problem.mended_by_rq
    worker = states.work(queue)
    problem = only_problem(queue)
    assert (problem.kind, problem.key) == (Kind.MISSING_JOB, queue.intermediate_queue_key)
    assert problem.mended_by_rq
    queue.intermediate_queue.cleanup(worker, queue)
    assert not check(queue)


def test_a_canceled_job(queue: Queue) -> None:
    """cancel() takes a job out of its queue once; the worker that comes to the other entry runs it."""
    job = queue.enqueue(jobs.succeed, job_id='c')
    queue.push_job_id('c')
    job.cancel()
    problem = only_problem(queue)
    assert (problem.kind, problem.key, problem.repair) == (Kind.WRONG_STATUS, queue.key, 'take it out of the queue')


@pytest.mark.parametrize('status', ['finished', 'scheduled', 'created'])
def test_a_job_of_another_status(queue: Queue, status: str) -> None:
    job = queue.enqueue(jobs.succeed, job_id='j')
    job.set_status(JobStatus(status))
    problem = only_problem(queue)
    assert (problem.kind, problem.repair) == (Kind.WRONG_STATUS, None)


def test_a_job_that_stands_there_twice(queue: Queue) -> None:
    job = queue.enqueue(jobs.succeed, job_id='twice')
    for number in range(2000):
        queue.push_job_id(job.id) if number == 1500 else queue.enqueue(jobs.succeed)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.QUEUED_TWICE, 'twice', None)
    assert '2 times' in problem.detail


def test_a_job_of_another_queue(queue: Queue) -> None:
    other = Queue('other', connection=queue.connection)
    job = other.enqueue(jobs.succeed, job_id='j')
    queue.connection.sadd('rq:queues', queue.key)
    queue.push_job_id(job.id)
    problem = only_problem(queue)
    assert (problem.kind, problem.key, problem.repair) == (Kind.WRONG_QUEUE, queue.key, None)


def test_a_job_that_a_worker_took_and_lost(queue: Queue) -> None:
    """From two queues at once, it is in the worker's hands alone."""
    queue.enqueue(jobs.succeed, job_id='lost')
    states.die(states.TakingWorker, queue, Queue('second', connection=queue.connection))
    assert not queue.count
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.key) == (Kind.ORPHAN, 'lost', queue.key)
    assert problem.repair is not None


def test_a_job_that_a_worker_of_one_queue_took_and_lost(queue: Queue, redis_server: object) -> None:
    """It stands in the intermediate queue, and RQ's maintenance fails it after a minute."""
    queue.enqueue(jobs.succeed, job_id='stuck')
    states.die(states.TakingWorker, queue)
    problem = only_problem(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (Kind.STUCK, 'stuck', None)
    assert (problem.key, problem.mended_by_rq) == (queue.intermediate_queue_key, True)


def test_a_job_that_is_just_being_started(queue: Queue) -> None:
    queue.enqueue(jobs.succeed, job_id='s')
    states.die(states.EnteringWorker, queue)
    assert queue.connection.llen(queue.intermediate_queue_key) == 1
    # The worker that took the job is registered still.
    assert not check(queue)


def test_what_is_left_between_queue_and_start(queue: Queue) -> None:
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
    assert {job_id for job_id, problem in problems.items() if problem.mended_by_rq} == {'gone'}


def test_a_queue_that_was_lost(queue: Queue) -> None:
    for number in range(1200):
        queue.enqueue(jobs.succeed, job_id=f'j{number}')
    queue.connection.delete(queue.key)
    assert states.kinds(check(queue)) == {f'j{number}': 'orphan' for number in range(1200)}


def test_a_queue_of_another_type(queue: Queue) -> None:
    queue.enqueue(jobs.succeed)
    queue.connection.delete(queue.key)
    queue.connection.set(queue.key, 'x')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        check(queue)
