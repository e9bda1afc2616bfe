"""What the jobs of the tests name: their function, callbacks and exception handlers, and classes of jobs."""

from __future__ import annotations

import logging
import threading
from typing import Any

from rq.job import Job

logger = logging.getLogger('rq.differential')


def say(word: Any = '') -> Any:
    return word


def note_failure(job: Job, connection: Any, *exc_info: Any) -> None:
    logger.info('failure callback of %s: %r', job.id, exc_info[1])


def raise_on_failure(job: Job, connection: Any, *exc_info: Any) -> None:
    raise LookupError(f'the failure callback of {job.id} raised')


def handle(job: Job, *exc_info: Any) -> None:
    logger.info('handler: %s, %r', job.id, exc_info[1])


def handle_and_stop(job: Job, *exc_info: Any) -> bool:
    logger.info('last handler: %s', job.id)
    return False


def raise_in_handler(job: Job, *exc_info: Any) -> None:
    raise LookupError(f'the handler raised for {job.id}')


def unwritable() -> dict[str, Any]:
    return {'lock': threading.Lock()}


class AppJob(Job):
    """A user's job class that changes nothing."""


class JobWithDelete(Job):
    """A user's job class that does something of its own when a job is deleted."""

    def delete(self, *args: Any, **kwargs: Any) -> None:
        logger.info('deleting %s', self.id)
        super().delete(*args, **kwargs)


class JobElsewhere(Job):
    """A user's job class whose hashes have another prefix."""

    redis_job_namespace_prefix = 'app:job:'


JOB_CLASSES: dict[str | None, type[Job] | None] = {
    None: None,
    'Job': Job,
    'AppJob': AppJob,
    'JobWithDelete': JobWithDelete,
    'JobElsewhere': JobElsewhere,
}
