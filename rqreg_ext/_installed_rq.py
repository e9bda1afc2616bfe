"""What the core relies on in the installed RQ, and the one table of what differs between its releases.

The core reads the names below once. Nothing of RQ is spelled twice: classes, functions and keys are taken
from the installed RQ; the table says only what cannot be read off them.
"""

from __future__ import annotations

import datetime
import time as time_module
import zlib
from enum import IntEnum
from typing import Any, NamedTuple, cast

from rq import executions, job, logutils, queue, registry, serializers, utils, version
from rq.exceptions import InvalidJobOperation, NoSuchJobError

OLDEST = (2, 6, 1)


class Cleanup(IntEnum):
    """What a registry's cleanup does; the numbers are those of `cleanup_kind` in installed_rq.h."""

    NOTHING = 1
    DROPS_EXPIRED = 2
    IF_EXPIRED = 3
    IF_ANY = 4


class Release(NamedTuple):
    """What differs between RQ releases in what the core does itself."""

    # The cleanup of deferred jobs: before RQ 2.8 it fails those that expired.
    deferred_cleanup: Cleanup
    # Job.delete() also deletes the job's results, and reads the status without remembering it.
    deletes_results: bool
    # What clean_registries() cleans, in this order; and whether it cleans rate limits afterwards.
    cleaned: tuple[str, ...]
    cleans_rate_limits: bool
    # The cleanup of started jobs leaves jobs alone that have another status; before RQ 3 it fails or retries them too.
    abandons_only_started: bool = False


_CLEANED = ('FinishedJobRegistry', 'StartedJobRegistry', 'FailedJobRegistry', 'DeferredJobRegistry')
_EXPIRING_DEFERRED = Release(Cleanup.IF_EXPIRED, deletes_results=False, cleaned=_CLEANED, cleans_rate_limits=False)
_PLAIN = Release(Cleanup.NOTHING, deletes_results=False, cleaned=_CLEANED, cleans_rate_limits=False)
RELEASES = {
    (2, 6): _EXPIRING_DEFERRED,
    (2, 7): _EXPIRING_DEFERRED,
    (2, 8): _PLAIN,
    (2, 9): _PLAIN,
    (2, 10): _PLAIN,
    (2, 11): _PLAIN,
    (2, 12): _PLAIN,
    (3, 0): Release(
        Cleanup.NOTHING,
        deletes_results=True,
        cleaned=(*_CLEANED, 'ReadyJobRegistry'),
        cleans_rate_limits=True,
        abandons_only_started=True,
    ),
}


def _installed_version() -> list[int]:
    numbers = []
    for part in version.VERSION.split('.')[:3]:
        digits = part[: len(part) - len(part.lstrip('0123456789'))]
        numbers.append(int(digits or 0))
    return [*numbers, 0, 0][:3]


installed_version = _installed_version()
if tuple(installed_version) < OLDEST:
    raise ImportError(
        f'rqreg_ext needs RQ {".".join(map(str, OLDEST))} or newer, and RQ {version.VERSION} is installed: '
        "pip install --upgrade 'rq>=2.6.1'"
    )
release = RELEASES.get((installed_version[0], installed_version[1]))
# An RQ newer than the table: what depends on RQ's internals is left to RQ.
is_known = release is not None
delete_keeps_status = is_known and release.deletes_results  # type: ignore[union-attr]

registry_globals = vars(registry)
utils_globals = vars(utils)
datetime_globals = vars(datetime)
current_timestamp = utils.current_timestamp
now = utils.now
datetime_type = datetime.datetime
time = time_module.time
job_class = job.Job
resolve_serializer = serializers.resolve_serializer
own_serializers = (serializers.DefaultSerializer, serializers.JSONSerializer)
no_such_job_error = NoSuchJobError
invalid_job_operation = InvalidJobOperation
parse_job_id = registry.BaseRegistry.parse_job_id
parse_started_job_id = registry.StartedJobRegistry.parse_job_id
execution_key_template = executions.ExecutionRegistry.key_template


def _cleanups() -> dict[Any, Cleanup]:
    if release is None:
        return {}
    kinds = {
        registry.BaseRegistry: Cleanup.NOTHING,
        registry.StartedJobRegistry: Cleanup.IF_EXPIRED,
        registry.DeferredJobRegistry: release.deferred_cleanup,
    }
    if hasattr(registry, 'ReadyJobRegistry'):
        kinds[registry.ReadyJobRegistry] = Cleanup.IF_ANY
    return {rq_class.cleanup: kind for rq_class, kind in kinds.items()}


cleanups = _cleanups()


def _guards(*places: tuple[Any, str]) -> tuple[tuple[Any, str, Any], ...]:
    """Return (owner, name, value) of what a script stands for, so that the core sees if it was replaced."""
    return tuple((owner, name, vars(owner)[name]) for owner, name in places)


_JOB_RESTORED = ((job.Job, '__init__'), (job.Job, 'fetch'), (job.Job, 'refresh'), (job.Job, 'restore'))
delete_guards = _guards(
    *_JOB_RESTORED,
    (registry, 'Job'),
    (job.Job, 'delete'),
    (job.Job, '_remove_from_registries'),
    (queue.Queue, 'remove'),
)
requeue_guards = _guards(
    *_JOB_RESTORED,
    (registry, 'Queue'),
    (job.Job, 'save'),
    (job.Job, 'to_dict'),
    (job.Job, 'cleanup'),
    (job.Job, 'set_status'),
    *([(job.Job, '_serialize_meta')] if hasattr(job.Job, '_serialize_meta') else []),
    (queue.Queue, 'DEFAULT_TIMEOUT'),
    (queue.Queue, '_enqueue_job'),
    (queue.Queue, 'push_job_id'),
)
cancel_guards = _guards(
    *_JOB_RESTORED,
    (job.Job, 'cancel'),
    (job.Job, 'get_status'),
    (job.Job, 'set_status'),
    (job.Job, '_remove_from_registries'),
    (queue.Queue, 'remove'),
    (registry.BaseRegistry, 'add'),
)


def _rate_limits() -> Any:
    """Return RQ's class of rate limits, where clean_registries() cleans them."""
    if release is None or not release.cleans_rate_limits:
        return None
    from rq.rate_limit import RateLimitRegistry

    return RateLimitRegistry


cleaned = release.cleaned if release is not None else ()
_rate_limits_class = _rate_limits()
rate_limits_key = _rate_limits_class.rl_keys_key if _rate_limits_class is not None else None
clean_guards = (
    _guards((registry, 'RateLimitRegistry'), (_rate_limits_class, 'rl_keys_key'), (_rate_limits_class, 'all'))
    if _rate_limits_class is not None
    else ()
)


def _prefix(template: str) -> bytes:
    """Return what stands before the name in a key template."""
    prefix, _, suffix = template.format('\0').partition('\0')
    if suffix:
        raise ValueError(f'key template {template!r} of this RQ has text behind the name')
    return prefix.encode()


def _results_prefix() -> bytes:
    if release is None or not release.deletes_results:
        return b''
    from rq.results import Result

    return str(Result.get_key('')).encode()  # type: ignore[no-untyped-call]


_job_prefix = job.Job.redis_job_namespace_prefix.encode()
_queue_prefix = queue.Queue.redis_queue_namespace_prefix.encode()
# What delete_jobs.lua and requeue_jobs.lua are given before what belongs to the call.
delete_arguments = (
    _job_prefix,
    _queue_prefix,
    _prefix(execution_key_template),
    _results_prefix(),
    _prefix(registry.FinishedJobRegistry.key_template),
    _prefix(registry.DeferredJobRegistry.key_template),
    _prefix(registry.ScheduledJobRegistry.key_template),
    _prefix(registry.FailedJobRegistry.key_template),
    _prefix(registry.CanceledJobRegistry.key_template),
)
# What the scripts over many_jobs.inc.lua are given, and delete_many.lua beside.
many_jobs_arguments = (*delete_arguments[:2], *delete_arguments[4:])
delete_many_arguments = delete_arguments[2:4]
requeue_arguments = (_job_prefix, _queue_prefix, str(queue.Queue.DEFAULT_TIMEOUT).encode(), zlib.compress(b''))


def enqueued_at() -> tuple[datetime.datetime, str]:
    """Return the moment of a requeue, and how RQ writes it."""
    moment = queue.now()  # type: ignore[attr-defined]
    return moment, utils.utcformat(moment)


def _date(text: bytes) -> datetime.datetime:
    """Return what RQ's str_to_date() would, and takes ten times as long for, of a date that the script has checked."""
    return datetime.datetime.fromisoformat(f'{text[:-1].decode()}+00:00')


def read_metadata(rq_registry: Any, fields: list[bytes]) -> tuple[bytes, bytes, dict[str, Any]] | None:
    """Return the metadata in a job's hash: as it is stored, as RQ would store it again, and restored.

    None for what RQ's own path is to make something of, or to complain about.
    """
    stored = _as_dict(fields).get(b'meta', b'')
    try:
        meta = rq_registry.serializer.loads(stored)
        # RQ does not store an empty one.
        again = rq_registry.serializer.dumps(meta) if meta else stored
    except Exception:
        return None
    return (stored, again, meta) if type(meta) is dict and type(again) is bytes else None


def _as_dict(fields: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


# What requeue() sets anew, and the dates, on whose parsing RQ would spend most of its time.
_REQUEUE_OVERWRITES = (b'enqueued_at', b'started_at', b'ended_at', b'exc_info')
_DATES = (b'created_at', b'last_heartbeat')


def requeued_job(
    rq_registry: Any,
    job_id: str,
    fields: list[bytes],
    moment: datetime.datetime,
    at_front: bool,
    meta: dict[str, Any] | None,
) -> job.Job:
    """Return the Job as RQ's requeue leaves it, after requeue_jobs.lua did the work on the server.

    `fields` is the job's hash as it was before, and `meta` its metadata, if it has any. Writes RQ's log lines.
    """
    # RQ resolves the serializer once more for each job, which costs more than all the rest for its default.
    serializer = None if rq_registry.serializer is serializers.DefaultSerializer else rq_registry.serializer
    requeued = rq_registry.job_class(job_id, connection=rq_registry.connection, serializer=serializer)
    restored = _as_dict(fields)
    for name in _REQUEUE_OVERWRITES:
        restored.pop(name, None)
    dates = [restored.pop(name, None) for name in _DATES]
    if meta is not None:
        restored.pop(b'meta', None)
    requeued.restore(restored)
    requeued._exc_info = ''
    created_at, last_heartbeat = dates
    if created_at:
        requeued.created_at = _date(created_at)
    if last_heartbeat:
        requeued.last_heartbeat = _date(last_heartbeat)
    if meta is not None:
        requeued.meta = meta
    requeued.redis_server_version = utils.get_version(rq_registry.connection)
    requeued.enqueued_at = moment
    if requeued.timeout is None:
        requeued.timeout = queue.Queue.DEFAULT_TIMEOUT
    requeued._status = job.JobStatus.QUEUED
    queue.logger.debug('Enqueueing job %s to queue %s (at_front=%s)', job_id, requeued.origin, at_front)
    queue.logger.debug('Pushed job %s into %s', logutils.blue(job_id), logutils.green(requeued.origin))
    return cast('job.Job', requeued)
