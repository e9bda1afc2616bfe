"""One job that waits in a queue, with RQ's own methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus

from ..._fastpath import cluster
from ..._fastpath.clients.support import is_cluster, sends_unchanged
from .in_transaction import leave_rate_limit
from .job_ids import fetch
from .presence import AlreadyCanceledError, NotInRegistryError
from .written_keys import check_written_keys


def check_is_in(waiting: Any, job_id: str) -> None:
    """Raise NotInRegistryError if the job does not wait in the queue."""
    if job_id not in waiting:
        raise NotInRegistryError


def check_is_readable(waiting: Any, job_id: str) -> None:
    """Raise an error if the job does not wait in the queue, or RQ cannot load it."""
    check_is_in(waiting, job_id)
    _fetch(waiting, job_id)


def drop(waiting: Any, job_id: str) -> None:
    """Do what Queue.remove() does."""
    if not _queue(waiting, waiting.name).remove(job_id):
        raise NotInRegistryError


def delete(waiting: Any, job_id: str) -> None:
    """Call Job.delete(), and remove the entry if the job is one of another queue, or is gone."""
    job = _job_to_delete(waiting, job_id)
    if job.origin != waiting.name:
        drop(waiting, job_id)
    job.delete()


def delete_in_transaction(waiting: Any, job_id: str) -> None:
    """Do what delete() does, in one transaction."""
    job = _job_to_delete(waiting, job_id)

    def write(pipeline: Any) -> None:
        if job.origin != waiting.name:
            pipeline.lrem(waiting.key, 1, job_id)
        job.delete(pipeline=pipeline)

    _run(waiting, job, write)
    leave_rate_limit(job)


def _job_to_delete(waiting: Any, job_id: str) -> Any:
    check_is_in(waiting, job_id)
    try:
        return _fetch(waiting, job_id, Job)
    except NoSuchJobError:
        drop(waiting, job_id)
        raise


def job_to_cancel(waiting: Any, job_id: str) -> Any:
    """Return the job. Raises NotInRegistryError and AlreadyCanceledError."""
    check_is_in(waiting, job_id)
    job = _fetch(waiting, job_id)
    if job.is_canceled:
        raise AlreadyCanceledError
    return job


def cancel(waiting: Any, options: dict[str, bool], job_id: str) -> None:
    """Cancel a job with Job.cancel(**options), which is one transaction, and takes it out of its own queue."""
    job = job_to_cancel(waiting, job_id)
    job.cancel(**options)
    if job.origin != waiting.name:
        drop(waiting, job_id)


def job_to_move(waiting: Any, job_id: str) -> Any:
    """Return the job. Raises NotInRegistryError, and InvalidJobOperation for one that is in the list by mistake."""
    check_is_in(waiting, job_id)
    job = _fetch(waiting, job_id)
    status = job.get_status(refresh=False)
    if status != JobStatus.QUEUED:
        raise InvalidJobOperation(f'its status is {str(getattr(status, "value", status))!r}, so it was not moved')
    if job.origin != waiting.name:
        raise InvalidJobOperation(f'it is a job of the queue {job.origin!r}, so it was not moved')
    return job


def move(waiting: Any, to: Any, at_front: bool, job_id: str) -> None:
    """Take a job out of its queue, and do what the other queue's enqueue_job() does.

    As the job waits, its dependencies are met, and it holds a slot if it has a rate limit: these are not looked at.
    """
    job = job_to_move(waiting, job_id)
    # What may fail first, so that it does not lose the job.
    with waiting.connection.pipeline() as pipeline:
        pipeline.sadd(Queue.redis_queues_keys, to.key)
        pipeline.execute()
    drop(waiting, job_id)
    _queue(waiting, to.name, to.default_timeout)._enqueue_job(job, at_front=at_front)


def move_in_transaction(waiting: Any, to: Any, at_front: bool, job_id: str) -> None:
    """Do what move() does, in one transaction."""
    job = job_to_move(waiting, job_id)
    queue = _queue(waiting, to.name, to.default_timeout)

    def write(pipeline: Any) -> None:
        pipeline.lrem(waiting.key, 1, job_id)
        pipeline.sadd(Queue.redis_queues_keys, to.key)
        queue._enqueue_job(job, pipeline=pipeline, at_front=at_front)

    _run(waiting, job, write)


def _queue(waiting: Any, name: str, default_timeout: int | None = None) -> Queue:
    return Queue(
        name,
        connection=waiting.connection,
        default_timeout=default_timeout,
        job_class=waiting.job_class,
        serializer=waiting.serializer,
    )


def _fetch(waiting: Any, job_id: str, job_class: Any = None) -> Any:
    return fetch(job_class or waiting.job_class, waiting, job_id)


def _run(waiting: Any, job: Any, write: Callable[[Any], object]) -> None:
    """Run a transaction, unless a key that it writes is of another type."""
    connection = waiting.connection
    if is_cluster(connection) and sends_unchanged(connection, waiting.key):
        # On which node of a cluster, which has all of RQ's keys.
        connection = cluster.node_of_key(connection, waiting.key) or connection
    with connection.pipeline() as pipeline:
        write(pipeline)
        check_written_keys(job, pipeline)
        pipeline.execute()
