"""Jobs for RQ's real workers. Each run is written down."""

from __future__ import annotations

import os
import signal
from typing import Any

import redis
from rq import Queue, SimpleWorker, Worker
from rq.job import Job, JobStatus

from .runs import mark

DEATHS = 'tests:deaths'
RELEASE = 'tests:release'
FAILURES = 'tests:failures'
HANDLED = 'tests:handled'


def succeed() -> str:
    job, _ = mark()
    return f'the result of {job.id}'


def fail() -> None:
    mark()
    raise ValueError('as it should')


def fail_once() -> str:
    """Fail in the first run."""
    job, run = mark()
    if run == 1:
        raise ValueError('as it should')
    return f'the result of {job.id}'


def look() -> list[bool]:
    """Tell whether this job is in the registries of its queue."""
    job, _ = mark()
    return [job in registry for registry in (job.started_job_registry, job.finished_job_registry)]


def wait_for_release() -> str:
    """Run until something is pushed to the list `tests:release`."""
    job, _ = mark()
    job.connection.blpop(RELEASE, timeout=60)
    return f'the result of {job.id}'


def note_failure(job: Job, connection: redis.Redis, kind: type[Exception], *_: object) -> None:
    """Write down the failure of a job, as its callback."""
    connection.rpush(FAILURES, f'{job.id} by {kind.__name__}')


def handle_exception(job: Job, kind: type[Exception], *_: object) -> None:
    """Write down the exception of a job, as a worker's exception handler."""
    job.connection.rpush(HANDLED, f'{job.id} by {kind.__name__}')


def kill_the_worker_once() -> str:
    """End the process that runs the first run, which is the worker itself where it does not fork."""
    job, run = mark()
    if run == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return f'the result of {job.id}'


def die_once(job: Job) -> None:
    """Kill this process, the first time that it is asked for the job."""
    if job.connection.hincrby(DEATHS, job.id, 1) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingWorker(Worker):
    """A worker that is killed between taking a job from its queue and starting it."""

    def execute_job(self, job: Job, queue: object) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class DyingBeforeTheFork(Worker):
    """A worker that is killed when it has put the job among the started ones, before it has a work-horse."""

    def fork_work_horse(self, job: Job, queue: object) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class DyingHorse(Worker):
    """A worker whose work-horse is killed before the job's first start."""

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Die at first."""
        die_once(job)
        super().prepare_job_execution(job, remove_from_intermediate_queue)


class DyingAfterTheEnd(Worker):
    """A worker whose work-horse is killed when it has stored the end of the job's first run."""

    def handle_job_success(self, job: Job, *arguments: Any, **options: Any) -> None:
        """Store the end, and die at first."""
        super().handle_job_success(job, *arguments, **options)
        die_once(job)

    def handle_job_failure(self, job: Job, *arguments: Any, **options: Any) -> None:
        """Store the end, and die at first, but as the worker that has seen its work-horse die."""
        super().handle_job_failure(job, *arguments, **options)
        if self.is_horse:
            die_once(job)


class AlarmedAtTheEnd(Worker):
    """A worker whose monitoring interval ends when the system has told it of its first work-horse's end."""

    is_alarmed = False

    def wait_for_horse(self) -> Any:
        """Wait, and be alarmed at first."""
        end = super().wait_for_horse()
        if not self.is_alarmed:
            self.is_alarmed = True
            signal.raise_signal(signal.SIGALRM)
        return end


class DyingBeforeTheDependents(SimpleWorker):
    """A worker that is killed when it has stored the end of a job and not yet told those that depend on it."""

    def handle_job_failure(self, job: Job, queue: Queue, *arguments: Any, **options: Any) -> None:
        """Store the end, and die."""
        queue.enqueue_dependents = lambda job: os.kill(os.getpid(), signal.SIGKILL)
        super().handle_job_failure(job, queue, *arguments, **options)


class DyingBeforeTheReady(SimpleWorker):
    """A worker that is killed when it has stored a success, before it enqueues the dependents that are ready."""

    def handle_job_success(self, job: Job, queue: Queue, *arguments: Any, **options: Any) -> None:
        """Store the success, and die."""
        queue.enqueue_ready_jobs_by_queue = lambda job_ids: os.kill(os.getpid(), signal.SIGKILL)
        super().handle_job_success(job, queue, *arguments, **options)


class DyingWhenScheduled(Job):
    """A job whose worker is killed when it has called the job scheduled, before it puts it among the scheduled ones."""

    def set_status(self, status: JobStatus, pipeline: Any = None) -> None:
        """Set the status, and die where RQ does this outside of its transaction."""
        super().set_status(status, pipeline=pipeline)
        if status == JobStatus.SCHEDULED and pipeline is None:
            os.kill(os.getpid(), signal.SIGKILL)
