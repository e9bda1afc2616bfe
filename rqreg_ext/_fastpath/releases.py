"""What differs between RQ releases: the one table, and the methods of RQ that the core overrides.

Nothing of RQ is spelled twice: classes, functions and keys are taken from the installed RQ. The table says only what
cannot be read off them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from rq import registry, version

from .rq_methods import Origin

OLDEST = (2, 4, 1)


class CleanupKind(IntEnum):
    """What a registry's cleanup does; the numbers are those of `cleanup_kind` in state.h."""

    NOTHING = 1
    DROPS_EXPIRED = 2
    IF_EXPIRED = 3
    IF_ANY = 4


class Release(NamedTuple):
    """What differs between RQ releases in what the core does itself."""

    # The cleanup of deferred jobs: before RQ 2.8 it fails expired jobs.
    deferred_cleanup: CleanupKind
    # Job.delete() also deletes the job's results.
    deletes_results: bool
    # It reads the status without having the job object remember it.
    delete_keeps_status: bool
    # The registries that clean_registries() cleans, in this order; and whether it cleans rate limits afterwards.
    cleaned: tuple[str, ...]
    cleans_rate_limits: bool
    # The cleanup of started jobs leaves jobs alone that have another status; before RQ 3 it fails or retries them too.
    abandons_only_started: bool = False
    # Job.restore() gives None to str_to_date() for a date that the job lacks; from RQ 2.6 on, it does not call it then.
    parses_missing_dates: bool = False

    @property
    def fails_expired_deferred(self) -> bool:
        """Whether the cleanup of deferred jobs fails those that have expired."""
        return self.deferred_cleanup is CleanupKind.IF_EXPIRED


_CLEANED = ('FinishedJobRegistry', 'StartedJobRegistry', 'FailedJobRegistry', 'DeferredJobRegistry')
_PLAIN = Release(
    CleanupKind.NOTHING, deletes_results=False, delete_keeps_status=False, cleaned=_CLEANED, cleans_rate_limits=False
)
# An RQ newer than the table: calls that depend on RQ's internals are left to RQ.
_UNKNOWN = _PLAIN._replace(cleaned=())
_EXPIRING_DEFERRED = _PLAIN._replace(deferred_cleanup=CleanupKind.IF_EXPIRED)
_PARSING_MISSING_DATES = _EXPIRING_DEFERRED._replace(parses_missing_dates=True)
RELEASES = {
    (2, 4): _PARSING_MISSING_DATES,
    (2, 5): _PARSING_MISSING_DATES,
    (2, 6): _EXPIRING_DEFERRED,
    (2, 7): _EXPIRING_DEFERRED,
    (2, 8): _PLAIN,
    (2, 9): _PLAIN,
    (2, 10): _PLAIN,
    (2, 11): _PLAIN,
    (2, 12): _PLAIN,
    (3, 0): Release(
        CleanupKind.NOTHING,
        deletes_results=True,
        delete_keeps_status=True,
        cleaned=(*_CLEANED, 'ReadyJobRegistry'),
        cleans_rate_limits=True,
        abandons_only_started=True,
    ),
}


def _dotted(version: Iterable[int]) -> str:
    return '.'.join(map(str, version))


# For messages.
SUPPORTED = f'{_dotted(OLDEST)} to {_dotted(max(RELEASES))}'


def _installed_version() -> list[int]:
    numbers = []
    for part in version.VERSION.split('.')[:3]:
        digits = part[: len(part) - len(part.lstrip('0123456789'))]
        numbers.append(int(digits or 0))
    return [*numbers, 0, 0][:3]


installed_version = _installed_version()
if tuple(installed_version) < OLDEST:
    raise ImportError(
        f'rqreg_ext needs RQ {_dotted(OLDEST)} or newer, and RQ {version.VERSION} is installed: '
        f"pip install --upgrade 'rq>={_dotted(OLDEST)}'"
    )
release = RELEASES.get((installed_version[0], installed_version[1]), _UNKNOWN)
is_known = release is not _UNKNOWN
_registry_globals = vars(registry)


def current_timestamp() -> int:
    """Return the Unix timestamp in seconds, as RQ's registries take it at this moment."""
    timestamp: int = _registry_globals['current_timestamp']()
    return timestamp


# ---- What the methods of RQ's registries do


class Method(IntEnum):
    """The methods of RQ that the core overrides; the numbers are those of METHOD_... in state.h."""

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


class EntryKind(IntEnum):
    """What a registry's entries are, by its parse_job_id(); the numbers are those of `entry_kind` in state.h."""

    UNKNOWN = 0
    JOBS = 1
    COMPOSITE = 2


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
ENTRIES: dict[Origin, EntryKind] = {
    (_REGISTRY, 'BaseRegistry.parse_job_id'): EntryKind.JOBS,
    (_REGISTRY, 'StartedJobRegistry.parse_job_id'): EntryKind.COMPOSITE,
}
CLEANUPS: dict[Origin, CleanupKind] = (
    {
        (_REGISTRY, 'BaseRegistry.cleanup'): CleanupKind.NOTHING,
        (_REGISTRY, 'StartedJobRegistry.cleanup'): CleanupKind.IF_EXPIRED,
        (_REGISTRY, 'FinishedJobRegistry.cleanup'): CleanupKind.DROPS_EXPIRED,
        (_REGISTRY, 'FailedJobRegistry.cleanup'): CleanupKind.DROPS_EXPIRED,
        (_REGISTRY, 'DeferredJobRegistry.cleanup'): release.deferred_cleanup,
        (_REGISTRY, 'ReadyJobRegistry.cleanup'): CleanupKind.IF_ANY,
        (_EXECUTIONS, 'ExecutionRegistry.cleanup'): CleanupKind.DROPS_EXPIRED,
    }
    if is_known
    else {}
)
