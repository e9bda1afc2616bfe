"""What the core relies on in the installed RQ, and the one table of what differs between its releases.

The core reads the names below once. Nothing of RQ is spelled twice: classes, functions and keys are taken
from the installed RQ; the table says only what cannot be read off them.
"""

from __future__ import annotations

import datetime
import time as time_module
import zlib
from collections.abc import Iterator
from enum import IntEnum
from importlib import import_module
from typing import Any, NamedTuple, cast

from rq import executions, job, logutils, queue, registry, serializers, utils, version
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from . import _core
from ._rq_methods import AnyRequirement, ConstantRequirement, Origin, Requirement, looking_at, required_of

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
datetime_globals = vars(datetime)
time_globals = vars(time_module)
job_class = job.Job
own_serializers = (serializers.DefaultSerializer, serializers.JSONSerializer)
no_such_job_error = NoSuchJobError
invalid_job_operation = InvalidJobOperation
execution_key_template = executions.ExecutionRegistry.key_template


def current_timestamp() -> int:
    """Return the Unix timestamp in seconds, as RQ's registries take it at this moment."""
    timestamp: int = registry_globals['current_timestamp']()
    return timestamp


# ---- What the methods of RQ's registries do


class Method(IntEnum):
    """The methods of RQ that ours stand in front of; the numbers are those of `method` in route.h."""

    INIT = 1 << 0
    LEN = 1 << 1
    CONTAINS = 1 << 2
    COUNT = 1 << 3
    GET_JOB_COUNT = 1 << 4
    GET_JOB_IDS = 1 << 5
    GET_EXPIRED_JOB_IDS = 1 << 6
    GET_EXPIRATION_TIME = 1 << 7
    REMOVE = 1 << 8
    REQUEUE = 1 << 9
    CLEANUP = 1 << 10
    # Of started and of scheduled jobs.
    STARTED_CONTAINS = 1 << 11
    GET_JOB_AND_EXECUTION_IDS = 1 << 12
    SCHEDULED_INIT = 1 << 13
    GET_JOBS_TO_SCHEDULE = 1 << 14
    GET_SCHEDULED_TIME = 1 << 15
    # Of a queue.
    CANCELED_JOB_REGISTRY = 1 << 16
    DEFERRED_JOB_REGISTRY = 1 << 17
    FAILED_JOB_REGISTRY = 1 << 18
    FINISHED_JOB_REGISTRY = 1 << 19
    READY_JOB_REGISTRY = 1 << 20
    SCHEDULED_JOB_REGISTRY = 1 << 21
    STARTED_JOB_REGISTRY = 1 << 22


class Entries(IntEnum):
    """What a registry's parse_job_id() takes its entries for; the numbers are those of `entry_kind` in route.h."""

    UNKNOWN = 0
    JOBS = 1
    STARTS = 2


_REGISTRY, _EXECUTIONS = 'rq.registry', 'rq.executions'
METHODS: dict[Origin, Method] = {
    (_REGISTRY, 'BaseRegistry.__init__'): Method.INIT,
    (_REGISTRY, 'BaseRegistry.__len__'): Method.LEN,
    (_REGISTRY, 'BaseRegistry.__contains__'): Method.CONTAINS,
    **{
        (_REGISTRY, f'BaseRegistry.{name.lower()}'): Method[name]
        for name in (
            'COUNT',
            'GET_JOB_COUNT',
            'GET_JOB_IDS',
            'GET_EXPIRED_JOB_IDS',
            'GET_EXPIRATION_TIME',
            'REMOVE',
            'REQUEUE',
        )
    },
    (_REGISTRY, 'FinishedJobRegistry.cleanup'): Method.CLEANUP,
    (_REGISTRY, 'FailedJobRegistry.cleanup'): Method.CLEANUP,
    (_EXECUTIONS, 'ExecutionRegistry.cleanup'): Method.CLEANUP,
    (_REGISTRY, 'StartedJobRegistry.__contains__'): Method.STARTED_CONTAINS,
    (_REGISTRY, 'StartedJobRegistry.get_job_and_execution_ids'): Method.GET_JOB_AND_EXECUTION_IDS,
    (_REGISTRY, 'ScheduledJobRegistry.__init__'): Method.SCHEDULED_INIT,
    (_REGISTRY, 'ScheduledJobRegistry.get_jobs_to_schedule'): Method.GET_JOBS_TO_SCHEDULE,
    (_REGISTRY, 'ScheduledJobRegistry.get_scheduled_time'): Method.GET_SCHEDULED_TIME,
    **{
        ('rq.queue', f'Queue.{method.name.lower()}'): method
        for method in Method
        if method.name.endswith('_JOB_REGISTRY')
    },
}
ENTRIES: dict[Origin, Entries] = {
    (_REGISTRY, 'BaseRegistry.parse_job_id'): Entries.JOBS,
    (_REGISTRY, 'StartedJobRegistry.parse_job_id'): Entries.STARTS,
}
CLEANUPS: dict[Origin, Cleanup] = (
    {
        (_REGISTRY, 'BaseRegistry.cleanup'): Cleanup.NOTHING,
        (_REGISTRY, 'StartedJobRegistry.cleanup'): Cleanup.IF_EXPIRED,
        (_REGISTRY, 'FinishedJobRegistry.cleanup'): Cleanup.DROPS_EXPIRED,
        (_REGISTRY, 'FailedJobRegistry.cleanup'): Cleanup.DROPS_EXPIRED,
        (_REGISTRY, 'DeferredJobRegistry.cleanup'): release.deferred_cleanup,
        (_REGISTRY, 'ReadyJobRegistry.cleanup'): Cleanup.IF_ANY,
        (_EXECUTIONS, 'ExecutionRegistry.cleanup'): Cleanup.DROPS_EXPIRED,
    }
    if release is not None
    else {}
)
fails_expired_deferred = release is not None and release.deferred_cleanup is Cleanup.IF_EXPIRED


# ---- What must be RQ's own, where we do the work of its methods

# What RQ's modules import from one another.
_HOMES = {
    'as_text': 'rq.utils',
    'backend_class': 'rq.utils',
    'current_timestamp': 'rq.utils',
    'decode_redis_hash': 'rq.utils',
    'get_version': 'rq.utils',
    'now': 'rq.utils',
    'parse_composite_key': 'rq.utils',
    'parse_timeout': 'rq.utils',
    'resolve_serializer': 'rq.serializers',
    'str_to_date': 'rq.utils',
    'utcformat': 'rq.utils',
    'Job': 'rq.job',
    'Queue': 'rq.queue',
    'RateLimitRegistry': 'rq.rate_limit',
}
# What the methods of a registry ask for beside the registry: its clock, and what makes text of an entry.
_CLOCK = ('rq.registry.current_timestamp', 'rq.executions.current_timestamp', 'rq.utils.now')
_TEXTS = ('rq.registry.as_text', 'rq.registry.parse_composite_key')
# Job.fetch()
_JOB_RESTORED = (
    'rq.registry.Job',
    'rq.job.Job',
    'rq.job.Job.__init__',
    'rq.job.Job.data',
    'rq.job.Job.fetch',
    'rq.job.Job.id',
    'rq.job.Job.key',
    'rq.job.Job.key_for',
    'rq.job.Job.refresh',
    'rq.job.Job.restore',
    'rq.job.as_text',
    'rq.job.decode_redis_hash',
    'rq.job.now',
    'rq.job.parse_job_id',
    'rq.job.parse_timeout',
    'rq.job.resolve_serializer',
    'rq.job.str_to_date',
    'rq.job.validate_job_id',
)
# Queue()
_QUEUE_MADE = (
    'rq.queue.Queue',
    'rq.queue.Queue.__init__',
    'rq.queue.Queue.key',
    'rq.queue.parse_timeout',
    'rq.queue.resolve_serializer',
)
# The registries by which a job removes itself, or is canceled.
_JOB_REGISTRIES = (
    'FinishedJobRegistry',
    'FailedJobRegistry',
    'DeferredJobRegistry',
    'ScheduledJobRegistry',
    'CanceledJobRegistry',
)
# Job._remove_from_registries()
_JOB_REMOVED = (
    *_QUEUE_MADE,
    'rq.queue.Queue.remove',
    'rq.job.Job._fetch_status',
    'rq.job.Job._remove_from_registries',
    'rq.job.Job.failed_job_registry',
    'rq.job.Job.get_status',
    'rq.job.Job.has_rate_limit',
    'rq.job.Job.is_canceled',
    'rq.job.Job.is_deferred',
    'rq.job.Job.is_failed',
    'rq.job.Job.is_finished',
    'rq.job.Job.is_scheduled',
    'rq.job.Job.is_started',
    'rq.job.Job.is_stopped',
    'rq.registry.BaseRegistry',
    'rq.registry.backend_class',
    'rq.registry.resolve_serializer',
    *(f'rq.registry.{name}' for name in _JOB_REGISTRIES),
)
# BaseRegistry.remove(delete_job=True): Job.fetch(), Job.delete()
_DELETED = (
    *_JOB_RESTORED,
    *_JOB_REMOVED,
    'rq.job.Job.delete',
    'rq.job.Job.dependencies_key',
    'rq.job.Job.dependents_key',
    'rq.job.Job.dependents_key_for',
    'rq.job.Job.execution_registry',
    'rq.executions.ExecutionRegistry',
    'rq.executions.ExecutionRegistry.__init__',
    'rq.executions.ExecutionRegistry.cleanup',
    'rq.executions.ExecutionRegistry.delete',
    'rq.executions.ExecutionRegistry.get_execution_ids',
    'rq.executions.ExecutionRegistry.get_executions',
    *(('rq.results.Result', 'rq.results.Result.get_key') if delete_keeps_status else ()),
)
# BaseRegistry.requeue(): Job.fetch(), Queue._enqueue_job()
_REQUEUED = (
    *_JOB_RESTORED,
    *_QUEUE_MADE,
    'rq.registry.Queue',
    'rq.queue.Queue._enqueue_async_job',
    'rq.queue.Queue._enqueue_job',
    'rq.queue.Queue._persist_job',
    'rq.queue.Queue._prepare_for_queue',
    'rq.queue.Queue.get_redis_server_version',
    'rq.queue.Queue.push_job_id',
    'rq.queue.get_version',
    'rq.job.Job._serialize_meta',
    'rq.job.Job.cleanup',
    'rq.job.Job.dependencies_key',
    'rq.job.Job.dependents_key',
    'rq.job.Job.dependents_key_for',
    'rq.job.Job.get_status',
    'rq.job.Job.has_rate_limit',
    'rq.job.Job.save',
    'rq.job.Job.set_status',
    'rq.job.Job.to_dict',
    'rq.job.utcformat',
)
# Job.fetch(), Job.cancel()
_CANCELED = (
    *_JOB_RESTORED,
    *_JOB_REMOVED,
    'rq.job.Job.cancel',
    'rq.job.Job.set_status',
    'rq.registry.current_timestamp',
)
# What the scripts are given as it was found when this module was imported.
_KEYS = (
    ('rq.job', 'Job', 'redis_job_namespace_prefix'),
    ('rq.queue', 'Queue', 'redis_queue_namespace_prefix'),
    *(('rq.registry', name, 'key_template') for name in _JOB_REGISTRIES),
    ('rq.executions', 'ExecutionRegistry', 'key_template'),
)


def _guard(
    names: tuple[str, ...],
    inherited: tuple[tuple[str, ...], ...] = (),
    constants: tuple[tuple[str, str, str], ...] = (),
) -> _core.Guard:
    """Return what tells, at each call, whether all of these are RQ's own.

    inherited: (name, class, ...) of methods of BaseRegistry that these classes have from it.
    constants: (module, class, name) of attributes that are what they were.
    """
    kept = tuple(
        ConstantRequirement(module, owner, name, getattr(vars(import_module(module))[owner], name))
        for module, owner, name in constants
    )

    def required() -> Iterator[AnyRequirement]:
        yield from required_of(dict.fromkeys(names), _HOMES)
        for name, *owners in inherited:
            for owner in owners:
                yield Requirement(_REGISTRY, owner, name, (_REGISTRY, f'BaseRegistry.{name}'))
        yield from kept

    return _core.Guard(looking_at(required))


_INHERITED = (
    ('remove', *_JOB_REGISTRIES),
    ('__init__', *(name for name in _JOB_REGISTRIES if name != 'ScheduledJobRegistry')),
)
clock_guard = _guard(_CLOCK)
texts_guard = _guard(_TEXTS)
serializer_guard = _guard(('rq.registry.resolve_serializer',))
delete_guard = _guard(_DELETED, _INHERITED, _KEYS)
requeue_guard = _guard(_REQUEUED, (), (*_KEYS[:2], ('rq.queue', 'Queue', 'DEFAULT_TIMEOUT')))
cancel_guard = _guard(_CANCELED, (*_INHERITED, ('add', 'CanceledJobRegistry')), _KEYS)
# What a Job that is given to remove(delete_job=True) must not have set on itself.
delete_methods = tuple(name.rpartition('.')[2] for name in _DELETED if name.startswith('rq.job.Job.'))


def _rate_limits() -> Any:
    """Return RQ's class of rate limits, where clean_registries() cleans them."""
    if release is None or not release.cleans_rate_limits:
        return None
    from rq.rate_limit import RateLimitRegistry

    return RateLimitRegistry


cleaned = release.cleaned if release is not None else ()
_rate_limits_class = _rate_limits()
rate_limits_key = _rate_limits_class.rl_keys_key if _rate_limits_class is not None else None
clean_guard = _guard(
    ('rq.registry.RateLimitRegistry', 'rq.rate_limit.RateLimitRegistry.all') if _rate_limits_class is not None else (),
    (),
    (('rq.rate_limit', 'RateLimitRegistry', 'rl_keys_key'),) if _rate_limits_class is not None else (),
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
