"""The repair steps: functions that return the script, keys and arguments that repair one problem.

Each script checks first that the problem still exists, and changes nothing if not.
"""

from __future__ import annotations

from rq.queue import Queue

from .._fastpath import releases, rq_keys
from .._fastpath.rq_keys import BY_JOB_ID, DEFERRED, FAILED, FINISHED, READY, STARTED, JobKeys, RegistryKind
from .job_view import JobView, Location, timestamp_of
from .repair_step import RepairStep

# The score that RQ gives to a job whose hash never expires. Otherwise the score is the time when the hash expires.
_SCORES = {FINISHED: '+inf', FAILED: '-1'}


def drop_entry_of_missing_job(key: str, member: str, job_key: str) -> RepairStep:
    """Remove an entry from a sorted set, if its job does not exist."""
    return RepairStep('drop_entry_of_missing_job', (key, job_key), (member,))


def drop_expired_entry(key: str, member: str) -> RepairStep:
    """Remove an entry from a sorted set, if it has expired."""
    return RepairStep('drop_expired_entry', (key,), (member, 'drop'))


def clean_up_expired_entry(key: str, member: str, registry_kind: RegistryKind, queue: str) -> RepairStep:
    """Run RQ's cleanup of a registry, if the entry has expired."""
    return RepairStep('drop_expired_entry', (key,), (member, 'leave'), clean_up=(registry_kind, queue))


def drop_malformed_entry(key: str, member: str, job_keys: tuple[str, ...]) -> RepairStep:
    """Remove an entry from a sorted set, if none of the jobs that it may name exists."""
    return RepairStep('drop_entry_of_missing_job', (key, *job_keys), (member,))


def drop_stale_entry(keys: JobKeys, key: str, member: str, view: JobView, location: Location) -> RepairStep:
    """Remove an entry from a sorted set, if its job is unchanged and is still in the other location."""
    return RepairStep(
        'drop_stale_entry',
        (key, keys.job(view.job_id), location.key),
        (member, *_expected(view), location.member, location.position),
    )


def drop_missing_from_list(key: str, job_id: str, job_key: str, position: int) -> RepairStep:
    """Remove a job from a list, if it does not exist."""
    return RepairStep('drop_missing_from_list', (key, job_key), (job_id, position))


def drop_stale_from_list(keys: JobKeys, key: str, view: JobView, location: Location, position: int) -> RepairStep:
    """Remove a job from a list, if it is unchanged and is still in the other location."""
    return RepairStep(
        'drop_stale_from_list',
        (key, keys.job(view.job_id), location.key),
        (view.job_id, *_expected(view), location.member, location.position, position),
    )


def put_back(keys: JobKeys, view: JobView, registry_kind: RegistryKind) -> RepairStep:
    """Add an orphan to the registry of its status, with the score that RQ gave it there."""
    others = (other.key(view.origin) for other in BY_JOB_ID if other is not registry_kind)
    return RepairStep(
        'put_back',
        (registry_kind.key(view.origin), keys.job(view.job_id), rq_keys.executions_key(view.job_id), *others),
        (view.job_id, *_expected(view), _SCORES.get(registry_kind, 'now')),
    )


def put_back_deferred(keys: JobKeys, view: JobView) -> RepairStep:
    """Add an orphan to the registry of deferred jobs, and to the dependents of its dependencies."""
    others = (other.key(view.origin) for other in BY_JOB_ID if other is not DEFERRED)
    score_is_ttl = releases.release.fails_expired_deferred
    return RepairStep(
        'put_back_deferred',
        (DEFERRED.key(view.origin), keys.job(view.job_id), keys.dependencies(view.job_id), *others),
        (view.job_id, *_expected(view), '+inf' if score_is_ttl else 'now', keys.prefix),
    )


def put_back_in_queue(keys: JobKeys, view: JobView, seen_at: float) -> RepairStep:
    """Push an orphan to its queue, after a minute in which a worker may still be starting it."""
    others = (registry_kind.key(view.origin) for registry_kind in BY_JOB_ID)
    enqueued_at = view.fields.get('enqueued_at', '')
    return RepairStep(
        'put_back_in_queue',
        (
            rq_keys.queue_key(view.origin),
            keys.job(view.job_id),
            rq_keys.executions_key(view.job_id),
            rq_keys.first_seen_key(view.origin, view.job_id),
            rq_keys.intermediate_key(view.origin),
            rq_keys.queues_key(),
            *others,
        ),
        (view.job_id, *_expected(view), enqueued_at, timestamp_of(enqueued_at), seen_at),
    )


def put_back_rate_limited(keys: JobKeys, view: JobView) -> RepairStep:
    """Add an orphan to the jobs that wait for a slot of its rate limit."""
    rate_limit = view.fields.get('rate_limit_key', '')
    waiting, config, known = rq_keys.rate_limit_keys(rate_limit)
    return RepairStep(
        'put_back_rate_limited',
        (waiting, keys.job(view.job_id), config, known),
        (view.job_id, *_expected(view), rate_limit),
    )


def put_back_abandoned(keys: JobKeys, view: JobView) -> RepairStep:
    """Add a started orphan as expired to the registry of started jobs, for RQ's cleanup to retry or fail."""
    return RepairStep(
        'put_back_abandoned',
        (STARTED.key(view.origin), keys.job(view.job_id), rq_keys.executions_key(view.job_id)),
        (
            view.job_id,
            *_expected(view),
            view.fields.get('started_at', ''),
            view.fields.get('last_heartbeat', ''),
        ),
        clean_up=(STARTED, view.origin),
    )


def enqueue_deferred(keys: JobKeys, queue: str, job_id: str, dependency_ids: tuple[str, ...]) -> RepairStep:
    """Enqueue a deferred job, if its dependencies have ended. From RQ 3 on, it becomes ready first, as RQ does it."""
    target = rq_keys.queue_key(queue) if READY is None else READY.key(queue)
    return RepairStep(
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


def add_dependent(keys: JobKeys, key: str, job_id: str, dependency_ids: tuple[str, ...]) -> RepairStep:
    """Add a deferred job to the dependents of its dependencies, as RQ does when the job is enqueued."""
    return RepairStep(
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


def drop_stale_set(keys: JobKeys, key: str, job_id: str) -> RepairStep:
    """Delete a set of dependents or dependencies, if its job is gone and no dependent is deferred."""
    return RepairStep(
        'drop_stale_set', (key, keys.job(job_id)), (keys.prefix if key == keys.dependents(job_id) else '',)
    )


def drop_execution_of_missing_job(key: str, job_key: str) -> RepairStep:
    """Delete an execution, or a registry of executions, if its job does not exist and no worker runs it."""
    return RepairStep('drop_execution_of_missing_job', (key, job_key))


def drop_missing_group(job_key: str, group_key: str, group_id: str) -> RepairStep:
    """Remove the group from a job, if the group does not exist."""
    return RepairStep('drop_missing_group', (job_key, group_key), (group_id,))


def drop_missing_worker(key: str, worker: str) -> RepairStep:
    """Remove a worker from a set, if the worker does not exist."""
    return RepairStep('drop_missing_worker', (key, worker))


def list_queue(key: str) -> RepairStep:
    """Add a queue to RQ's set of queues."""
    return RepairStep('list_queue', (rq_keys.queues_key(), key))


def _expected(view: JobView) -> tuple[str, str]:
    # The status and queue that the script must find in the job's hash.
    return view.status or '', view.origin
