"""What RQ leaves when something goes wrong, made by RQ itself where it can be made to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rq import Queue, SimpleWorker
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.worker import Worker

from rqreg_ext._integrity.problems import CheckReport

from . import jobs

NEVER = float('inf')


class DeafWorker(SimpleWorker):
    """A worker in this process that listens to no commands: it takes a second to end otherwise."""

    def subscribe(self) -> None:
        """Do nothing."""

    def unsubscribe(self) -> None:
        """Do nothing."""


def work(*queues: Queue, worker_class: type[Worker] = DeafWorker) -> Worker:
    """Have a worker run what is in the queues, and return it."""
    worker = worker_class(queues, connection=queues[0].connection, serializer=queues[0].serializer)
    worker.work(burst=True, logging_level='CRITICAL')
    return worker


def failed(queue: Queue, job_id: str, **options: Any) -> Job:
    """Return a job that failed."""
    job = queue.enqueue(jobs.fail, job_id=job_id, **options)
    work(queue)
    return job


def finished(queue: Queue, job_id: str, **options: Any) -> Job:
    """Return a job that finished."""
    job = queue.enqueue(jobs.succeed, job_id=job_id, **options)
    work(queue)
    return job


def canceled(queue: Queue, job_id: str) -> Job:
    """Return a job that was canceled."""
    job = queue.enqueue(jobs.succeed, job_id=job_id)
    job.cancel()
    return job


def deferred(queue: Queue, job_id: str, parent: Job | str, **options: Any) -> Job:
    """Return a job that waits for another."""
    return queue.enqueue(jobs.succeed, job_id=job_id, depends_on=parent, **options)


def scheduled(queue: Queue, job_id: str, seconds: float = 1000) -> Job:
    """Return a job that waits for its time."""
    from datetime import timedelta

    return queue.enqueue_in(timedelta(seconds=seconds), jobs.succeed, job_id=job_id)


class LeavingWorker(DeafWorker):
    """A worker that ends, as if killed, when its job has begun: nothing is cleaned up."""

    def perform_job(self, job: Job, queue: Queue, *args: Any) -> bool:
        self.prepare_job_execution(job, remove_from_intermediate_queue=len(self.queues) == 1)
        raise Killed

    def teardown(self) -> None:
        """Do nothing."""


class TakingWorker(DeafWorker):
    """A worker that ends, as if killed, when it has taken a job from its queue, before it enters an execution."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        raise Killed

    def teardown(self) -> None:
        """Do nothing."""


class EnteringWorker(LeavingWorker):
    """A worker that ends, as if killed, when it has entered an execution, before the job has begun."""

    def perform_job(self, job: Job, queue: Queue, *args: Any) -> bool:
        raise Killed


class Killed(SystemExit):
    """The worker is gone."""


def die(worker_class: type[Worker], *queues: Queue) -> None:
    """Have a worker of this class end over the first job of the queues."""
    try:
        work(*queues, worker_class=worker_class)
    except Killed:
        return
    raise AssertionError('the worker had no job')


def started(queue: Queue, job_id: str, **options: Any) -> str:
    """Return the entry of a job over which a worker ended just now."""
    queue.enqueue(jobs.succeed, job_id=job_id, **options)
    die(LeavingWorker, queue)
    return entry_of(queue, job_id)


def entry_of(queue: Queue, job_id: str) -> str:
    """Return the entry of a started job."""
    key = StartedJobRegistry.key_template.format(queue.name)
    (entry,) = (entry for entry in queue.connection.zrange(key, 0, -1) if entry.startswith(job_id.encode() + b':'))
    return str(entry.decode())


def let_time_pass(connection: Any, seconds: float = 3600) -> None:
    """Make it so much later for what is started, and for everything that expires but jobs and results."""
    from rq.job import Job as AnyJob

    kept = AnyJob.redis_job_namespace_prefix.encode()
    for key in connection.keys(b'*'):
        if key.startswith(kept) or b':results:' in key:
            continue
        if b':wip:' in key:
            for entry in connection.zrange(key, 0, -1):
                connection.zincrby(key, -seconds, entry)
        elif 0 <= connection.pttl(key) < seconds * 1000:
            connection.delete(key)


def kinds(report: CheckReport) -> dict[str | None, str]:
    """Return the kind of the problem of each job."""
    found = {problem.job_id: problem.kind.value for problem in report}
    assert len(found) == len(report), str(report)
    return found


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'it did not come to that'
        time.sleep(0.01)
