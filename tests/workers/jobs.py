"""Jobs for RQ's real workers. Each run is written down."""

from __future__ import annotations

import os
import signal

from rq import Worker
from rq.job import Job

from .runs import mark


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


def kill_the_worker_once() -> str:
    """End the process that runs the first run, which is the worker itself where it does not fork."""
    job, run = mark()
    if run == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return f'the result of {job.id}'


class DyingWorker(Worker):
    """A worker that is killed between taking a job from its queue and starting it."""

    def execute_job(self, job: Job, queue: object) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)
