"""What the core relies on in the installed RQ, and the one table of what differs between its releases.

The core reads the names below once. Nothing of RQ is spelled twice: classes, functions and keys are taken
from the installed RQ; the table says only what cannot be read off them.
"""

from __future__ import annotations

import datetime
import time as time_module
import zlib
from enum import IntEnum
from typing import Any, NamedTuple

from rq import executions, job, queue, registry, utils, version
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


_EXPIRING_DEFERRED = Release(deferred_cleanup=Cleanup.IF_EXPIRED, deletes_results=False)
_PLAIN = Release(deferred_cleanup=Cleanup.NOTHING, deletes_results=False)
RELEASES = {
    (2, 6): _EXPIRING_DEFERRED,
    (2, 7): _EXPIRING_DEFERRED,
    (2, 8): _PLAIN,
    (2, 9): _PLAIN,
    (2, 10): _PLAIN,
    (2, 11): _PLAIN,
    (2, 12): _PLAIN,
    (3, 0): Release(deferred_cleanup=Cleanup.NOTHING, deletes_results=True),
}


def _installed_version() -> tuple[int, ...]:
    numbers = []
    for part in version.VERSION.split('.')[:3]:
        digits = part[: len(part) - len(part.lstrip('0123456789'))]
        numbers.append(int(digits or 0))
    return tuple(numbers)


_version = _installed_version()
if _version < OLDEST:
    raise ImportError(
        f'rqreg_ext needs RQ {".".join(map(str, OLDEST))} or newer, and RQ {version.VERSION} is installed: '
        "pip install --upgrade 'rq>=2.6.1'"
    )
release = RELEASES.get(_version[:2])
# An RQ newer than the table: what depends on RQ's internals is left to RQ.
is_known = release is not None
delete_keeps_status = is_known and release.deletes_results  # type: ignore[union-attr]

registry_globals = vars(registry)
utils_globals = vars(utils)
datetime_globals = vars(datetime)
current_timestamp = registry.current_timestamp
now = utils.now
datetime_type = datetime.datetime
time = time_module.time
job_class = job.Job
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


def _guards(*names: str) -> tuple[tuple[type, str, Any], ...]:
    """Return (class, name, value) of the RQ methods that a script stands for, to see if one was replaced."""
    classes = {'Job': job.Job, 'Queue': queue.Queue}
    owned = [(classes[name.partition('.')[0]], name.partition('.')[2]) for name in names]
    return tuple((owner, name, vars(owner)[name]) for owner, name in owned if name in vars(owner))


delete_guards = _guards('Job.fetch', 'Job.refresh', 'Job.restore', 'Job.delete', 'Job._remove_from_registries')
requeue_guards = _guards('Job.fetch', 'Job.refresh', 'Job.restore', 'Job.save', 'Queue._enqueue_job')
delete_arguments: tuple[bytes, ...] = ()
requeue_arguments: tuple[bytes, ...] = ()
EMPTY_EXC_INFO = zlib.compress(b'')


def requeued_job() -> None:
    """To come."""
