"""What repair() does about a problem: one script each, that mends what still stands and tells what does not."""

from __future__ import annotations

from typing import NamedTuple

from rq.queue import Queue

from ... import _installed_rq
from . import places
from .job_view import JobView, Standing, timestamp_of
from .places import BY_JOB_ID, DEFERRED, FAILED, FINISHED, READY, STARTED, JobKeys, Place

# The score of a job whose hash never expires, as RQ writes it; of another, it is when that expires.
_SCORES = {FINISHED: '+inf', FAILED: '-1'}

Argument = str | bytes | int | float


class Mend(NamedTuple):
    """A script of src/mends with what it is told of the problem.

    clean_up: the registry, by its kind and queue, whose own clean-up RQ then runs.
    """

    script: str
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...] = ()
    clean_up: tuple[Place, str] | None = None


def drop_entry_of_missing_job(key: str, member: str, job_key: str) -> Mend:
    """Take an entry out of a sorted set, if there is no such job."""
    return Mend('drop_entry_of_missing_job', (key, job_key), (member,))


def drop_expired_entry(key: str, member: str) -> Mend:
    """Take an entry out of a sorted set, if it has expired."""
    return Mend('drop_expired_entry', (key,), (member, 'drop'))


def clean_up_expired_entry(key: str, member: str, place: Place, queue: str) -> Mend:
    """Have RQ clean up a registry, if the entry has expired."""
    return Mend('drop_expired_entry', (key,), (member, 'leave'), clean_up=(place, queue))


def drop_malformed_entry(key: str, member: str, job_keys: tuple[str, ...]) -> Mend:
    """Take an entry out of a sorted set, if there is none of the jobs that it may mean."""
    return Mend('drop_entry_of_missing_job', (key, *job_keys), (member,))


def drop_stale_entry(keys: JobKeys, key: str, member: str, view: JobView, standing: Standing) -> Mend:
    """Take an entry out of a sorted set, if its job still is what it was, and stands elsewhere."""
    return Mend(
        'drop_stale_entry',
        (key, keys.job(view.job_id), standing.key),
        (member, *_says(view), standing.member, standing.position),
    )


def drop_missing_from_list(key: str, job_id: str, job_key: str, position: int) -> Mend:
    """Take a job out of a list, if there is no such job."""
    return Mend('drop_missing_from_list', (key, job_key), (job_id, position))


def drop_stale_from_list(keys: JobKeys, key: str, view: JobView, standing: Standing, position: int) -> Mend:
    """Take a job out of a list, if it still is what it was, and stands elsewhere."""
    return Mend(
        'drop_stale_from_list',
        (key, keys.job(view.job_id), standing.key),
        (view.job_id, *_says(view), standing.member, standing.position, position),
    )


def put_back(keys: JobKeys, view: JobView, place: Place) -> Mend:
    """Enter a job that nothing holds into the registry of its status, with the score that RQ gave it there."""
    others = (other.key(view.origin) for other in BY_JOB_ID if other is not place)
    return Mend(
        'put_back',
        (place.key(view.origin), keys.job(view.job_id), places.executions_key(view.job_id), *others),
        (view.job_id, *_says(view), _SCORES.get(place, 'now')),
    )


def put_back_deferred(keys: JobKeys, view: JobView) -> Mend:
    """Enter a job that nothing holds into the registry of deferred jobs, and with the jobs that it waits for."""
    others = (other.key(view.origin) for other in BY_JOB_ID if other is not DEFERRED)
    until_ttl = _installed_rq.fails_expired_deferred
    return Mend(
        'put_back_deferred',
        (DEFERRED.key(view.origin), keys.job(view.job_id), keys.dependencies(view.job_id), *others),
        (view.job_id, *_says(view), '+inf' if until_ttl else 'now', keys.prefix),
    )


def put_back_in_queue(keys: JobKeys, view: JobView, seen_at: float) -> Mend:
    """Push a job that nothing holds to its queue, once no worker can be just starting it."""
    others = (place.key(view.origin) for place in BY_JOB_ID)
    enqueued_at = view.fields.get('enqueued_at', '')
    return Mend(
        'put_back_in_queue',
        (
            places.queue_key(view.origin),
            keys.job(view.job_id),
            places.executions_key(view.job_id),
            places.first_seen_key(view.origin, view.job_id),
            places.intermediate_key(view.origin),
            places.QUEUES,
            *others,
        ),
        (view.job_id, *_says(view), enqueued_at, timestamp_of(enqueued_at), seen_at),
    )


def put_back_rate_limited(keys: JobKeys, view: JobView) -> Mend:
    """Enter a job that nothing holds among those that wait for a slot of its rate limit."""
    rate_limit = view.fields.get('rate_limit_key', '')
    waiting, config, known = places.rate_limit_keys(rate_limit)
    return Mend(
        'put_back_rate_limited',
        (waiting, keys.job(view.job_id), config, known),
        (view.job_id, *_says(view), rate_limit),
    )


def put_back_abandoned(keys: JobKeys, view: JobView) -> Mend:
    """Enter a job that no worker runs as one whose execution is over, for RQ's clean-up to retry or fail."""
    return Mend(
        'put_back_abandoned',
        (STARTED.key(view.origin), keys.job(view.job_id), places.executions_key(view.job_id)),
        (
            view.job_id,
            *_says(view),
            view.fields.get('started_at', ''),
            view.fields.get('last_heartbeat', ''),
        ),
        clean_up=(STARTED, view.origin),
    )


def enqueue_deferred(keys: JobKeys, queue: str, job_id: str, dependency_ids: tuple[str, ...]) -> Mend:
    """Enqueue a deferred job, if all that it waits for is over: where RQ has them, by way of its ready jobs."""
    target = places.queue_key(queue) if READY is None else READY.key(queue)
    return Mend(
        'enqueue_deferred',
        (
            DEFERRED.key(queue),
            keys.job(job_id),
            target,
            keys.dependencies(job_id),
            *(keys.job(dependency_id) for dependency_id in dependency_ids),
            *(keys.dependents(dependency_id) for dependency_id in dependency_ids),
        ),
        (job_id, queue, 'queue' if READY is None else 'ready', Queue.DEFAULT_TIMEOUT),
        clean_up=None if READY is None else (READY, queue),
    )


def add_dependent(keys: JobKeys, key: str, job_id: str, dependency_ids: tuple[str, ...]) -> Mend:
    """Enter a deferred job with those that it waits for, as RQ does when it is enqueued."""
    return Mend(
        'add_dependent',
        (
            key,
            keys.job(job_id),
            keys.dependencies(job_id),
            *(keys.job(dependency_id) for dependency_id in dependency_ids),
            *(keys.dependents(dependency_id) for dependency_id in dependency_ids),
        ),
        (job_id, *dependency_ids),
    )


def drop_leftover_set(keys: JobKeys, key: str, job_id: str) -> Mend:
    """Delete a set of job ids, if its job is gone, and none of those in it waits for it."""
    return Mend('drop_leftover_set', (key, keys.job(job_id)), (keys.prefix if key == keys.dependents(job_id) else '',))


def drop_execution_of_missing_job(key: str, job_key: str) -> Mend:
    """Delete an execution, or a registry of executions, if there is no such job, and no worker is at it."""
    return Mend('drop_execution_of_missing_job', (key, job_key))


def drop_missing_group(job_key: str, group_key: str, group_id: str) -> Mend:
    """Take a group out of a job, if there is no such group."""
    return Mend('drop_missing_group', (job_key, group_key), (group_id,))


def drop_missing_worker(key: str, worker: str) -> Mend:
    """Take a worker out of a set, if there is no such worker."""
    return Mend('drop_missing_worker', (key, worker))


def list_queue(key: str) -> Mend:
    """Enter a queue among all queues."""
    return Mend('list_queue', (places.QUEUES, key))


def _says(view: JobView) -> tuple[str, str]:
    # A job without a status counts as created, which nothing holds.
    return view.status or '', view.origin
