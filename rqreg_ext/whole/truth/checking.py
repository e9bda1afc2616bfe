"""check() and repair() of one registry, and of a whole Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rq.job import Job

from ... import _clients, _installed_rq
from ..._dispatch import require_unchanged
from ..._exchange import INTEGER
from ..arguments import chunk_size_of
from .dependencies import DeferredJobs
from .entries import Entries
from .everything import Everything
from .executions import Executions
from .held import Held
from .mending import Mending, registries_of
from .orphans import Orphans
from .places import DEFERRED, STARTED, JobKeys, is_execution_registry, place_of
from .problems import CheckReport, Kind, Problem, kinds_of
from .reader import Progress, Reader
from .repairs import RepairReport
from .started import StartedEntries
from .survey import survey
from .suspicions import Suspicion


def check_registry(
    registry: Any, orphans: bool, settle: float, limit: int | None, chunk_size: int, progress: Progress | None
) -> CheckReport:
    """Return what is wrong with a registry; see Truth.check()."""
    check_arguments(settle, limit)
    size = chunk_size_of(chunk_size)
    require_unchanged(registry.connection, 'check()')
    reader = Reader(registry.connection, size, progress)
    return survey(reader, _suspicions_of_registry(registry, reader, orphans), settle, limit)


def check_everything(
    connection: Any,
    queues: Iterable[Any] | None = None,
    *,
    job_class: type[Job] = Job,
    settle: float = 1.0,
    limit: int | None = None,
    chunk_size: int = 1000,
    progress: Progress | None = None,
) -> CheckReport:
    """Return a CheckReport of what is wrong in a whole Redis: in queues and registries, with jobs and workers.

    connection: a redis-py client, or a URL string.
    queues: names, or Queue objects, to look at these queues and their jobs only; by default everything.
    job_class: the class of the jobs, for its keys.

    The rest is as for check() of a registry. One scan over the keys serves all queues; and one more for every half
    million jobs in the queues, of which so many are remembered at a time, about 70 bytes each.
    """
    check_arguments(settle, limit)
    client = _clients.client_of(connection) if isinstance(connection, str) else connection
    size, names = chunk_size_of(chunk_size), names_of(queues)
    require_unchanged(client, 'check()')
    reader = Reader(client, size, progress)
    return survey(reader, Everything(JobKeys(job_class), names).suspicions(reader), settle, limit)


def repair_registry(
    registry: Any, problems: Any, kinds: Iterable[Kind | str] | None, dry_run: bool, progress: Progress | None
) -> RepairReport:
    """Mend what has one safe answer; see Truth.repair()."""
    wanted = kinds_of(kinds)
    require_unchanged(registry.connection, 'repair()')
    if problems is None:
        problems = registry.check()
    registry_of = registries_of(registry.connection, registry.job_class, getattr(registry, 'serializer', None))
    return Mending(registry.connection, registry_of, dry_run).mend(problems, wanted, progress)


def repair_everything(
    connection: Any,
    problems: Iterable[Problem] | None = None,
    *,
    queues: Iterable[Any] | None = None,
    kinds: Iterable[Kind | str] | None = None,
    dry_run: bool = False,
    job_class: type[Job] = Job,
    serializer: Any = None,
    progress: Progress | None = None,
) -> RepairReport:
    """Mend what has one safe answer in a whole Redis, and return a RepairReport of what was mended, and what was left.

    problems: what check_everything() returned, or some of it; by default `queues` are checked now, or everything.
    job_class, serializer: the jobs', as for rq.Queue, for those that RQ's own clean-up retries or fails.

    The rest is as for repair() of a registry.
    """
    wanted = kinds_of(kinds)
    client = _clients.client_of(connection) if isinstance(connection, str) else connection
    require_unchanged(client, 'repair()')
    if problems is None:
        problems = check_everything(client, queues, job_class=job_class)
    registry_of = registries_of(client, job_class, serializer)
    return Mending(client, registry_of, dry_run).mend(problems, wanted, progress)


def _suspicions_of_registry(registry: Any, reader: Reader, orphans: bool) -> Iterator[Suspicion]:
    keys, key = JobKeys(registry.job_class), registry.key
    if is_execution_registry(registry):
        yield from Executions(keys).of_jobs(reader, [registry.job_id])
        return
    place, name = place_of(registry), registry.name
    held, scanned = Held(), orphans and place is not None
    reader.total = sum(reader.values([(INTEGER, 'ZCARD', key), *[(INTEGER, 'DBSIZE')] * scanned]))
    if place is STARTED:
        yield from StartedEntries(keys, name, key, with_loading=True).suspicions(reader, held.started)
    else:
        yield from Entries(keys, place, name, key, with_loading=True).suspicions(reader)
    if place is DEFERRED:
        yield from DeferredJobs(keys, name, key).suspicions(reader)
    if place is not None and scanned:
        statuses = place.statuses
        yield from Orphans(keys, lambda status, origin: status in statuses and origin == name, held).suspicions(reader)


def names_of(queues: Iterable[Any] | None) -> list[str] | None:
    """Return the names of the queues that are given as names or objects. Raises TypeError for anything else."""
    if queues is None:
        return None
    if isinstance(queues, (str, bytes)) or not isinstance(queues, Iterable):
        raise TypeError(f'queues={queues!r} is no collection of queues: for one queue, give a list of one')
    names = [getattr(queue, 'name', queue) for queue in queues]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f'{name!r} in queues is neither the name of a queue nor a Queue')
    return names


def check_arguments(settle: Any, limit: Any) -> None:
    """Refuse what check() cannot work with, before anything is sent."""
    if not _installed_rq.is_known:
        from rq.version import VERSION

        raise NotImplementedError(
            f'check() does not know how RQ {VERSION} keeps its jobs: use it with RQ 2.6.1 to 3.0, or a newer rqreg_ext'
        )
    if not isinstance(settle, (int, float)) or isinstance(settle, bool) or not 0 <= settle < float('inf'):
        raise ValueError(f'settle={settle!r} is no number of seconds: give one like 1.0, or 0 where nobody writes')
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValueError(f'limit={limit!r} is no number of problems: give one like 100, or None for all')
