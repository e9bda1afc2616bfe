"""Jobs for RQ's real workers."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from rq.job import Job, Retry

NEXT_YEAR = datetime.now(timezone.utc) + timedelta(days=365)


def succeed(*_: object) -> str:
    return 'done'


def fail() -> None:
    raise ValueError('as it should')


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def try_again() -> Retry:
    return Retry(max=2)


def note_failure(job: Job, connection: object, *_: object) -> None:
    """A callback: write down that the job failed."""
    job.connection.rpush('tests:failures', job.id)
