"""What the jobs of the load do. Each run leaves its mark before it does anything else."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from rq import Retry
from rq.job import Job

from workers.runs import mark


class AsItShould(Exception):
    """The failure of a job that is to fail."""


def succeed() -> str:
    job, _ = mark()
    return f'the result of {job.id}'


def take_a_moment() -> str:
    """Succeed after a while in which a worker can be killed."""
    job, _ = mark()
    time.sleep(0.05)
    return f'the result of {job.id}'


def fail() -> None:
    mark()
    raise AsItShould


def fail_until(successful_run: int) -> str:
    """Fail in the runs before this one."""
    job, run = mark()
    if run < successful_run:
        raise AsItShould
    return f'the result of {job.id}'


def ask_for_another_run(times: int) -> Any:
    """Return a Retry, as a job may instead of raising."""
    mark()
    return Retry(times)


def sleep_too_long() -> None:
    mark()
    time.sleep(60)


def cancel(job_id: str) -> str:
    """Cancel a job that waits in the queue."""
    job, _ = mark()
    Job.fetch(job_id, connection=job.connection).cancel()
    return f'canceled {job_id}'


def die() -> None:
    """End the work-horse as the system's out-of-memory killer would."""
    mark()
    os.kill(os.getpid(), signal.SIGKILL)
