"""check() and repair(), of one registry and of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rq.job import Job

from .._fastpath import releases
from .._fastpath.dispatch import require_unchanged
from .._fastpath.exchange import INTEGER, Command
from .._fastpath.rq_keys import DEFERRED, STARTED, JobKeys, RegistryKind, is_execution_registry, registry_kind_of
from .._query.arguments import chunk_size_of
from .candidates import Candidate
from .database import Database
from .dependencies import DeferredJobs
from .entries import RegistryEntries
from .executions import Executions
from .orphans import Orphans
from .problems import CheckReport, Problem, ProblemKind, kinds_of
from .queued_jobs import KnownJobs, QueuedJobs
from .reader import ChunkReader, Progress
from .repair import Repair, registries_of
from .repair_report import RepairReport
from .started import StartedEntries
from .survey import survey


def check_registry(
    registry: Any, orphans: bool, settle: float, limit: int | None, chunk_size: int, progress: Progress | None
) -> CheckReport:
    """Check a registry; see IntegrityMixin.check()."""
    check_arguments(settle, limit)
    size = chunk_size_of(chunk_size)
    require_unchanged(registry.connection, 'check()')
    reader = ChunkReader(registry.connection, size, progress)
    return survey(reader, _candidates_of_registry(registry, reader, orphans), settle, limit)


def check_everything(
    connection: Any,
    queues: list[str] | None = None,
    *,
    job_class: type[Job] = Job,
    settle: float = 1.0,
    limit: int | None = None,
    chunk_size: int = 1000,
    progress: Progress | None = None,
) -> CheckReport:
    """Check a database, with its queues, registries, jobs and workers; see rqreg_ext.check().

    With `queues`, their names, only these queues and their jobs are checked. `job_class` decides the keys of
    the jobs. The keys are scanned once, and once more for every 500 000 queued jobs: a scan remembers that many.
    """
    check_arguments(settle, limit)
    size = chunk_size_of(chunk_size)
    require_unchanged(connection, 'check()')
    reader = ChunkReader(connection, size, progress)
    return survey(reader, Database(JobKeys(job_class), queues).candidates(reader), settle, limit)


def repair_registry(
    registry: Any, problems: Any, kinds: Iterable[ProblemKind | str] | None, dry_run: bool, progress: Progress | None
) -> RepairReport:
    """Repair a registry; see IntegrityMixin.repair()."""
    selected = kinds_of(kinds)
    require_unchanged(registry.connection, 'repair()', by_script=True)
    if problems is None:
        problems = registry.check()
    other_registry_of = registries_of(registry.connection, registry.job_class, getattr(registry, 'serializer', None))

    def registry_of(registry_kind: RegistryKind, queue: str) -> Any:
        # Its own cleanup(), which may be overridden or patched.
        is_own = isinstance(registry, registry_kind.rq_class) and registry.name == queue
        return registry if is_own else other_registry_of(registry_kind, queue)

    return Repair(registry.connection, registry_of, dry_run).run(problems, selected, progress)


def repair_everything(
    connection: Any,
    problems: Iterable[Problem] | None = None,
    *,
    queues: list[str] | None = None,
    kinds: Iterable[ProblemKind | str] | None = None,
    dry_run: bool = False,
    job_class: type[Job] = Job,
    serializer: Any = None,
    progress: Progress | None = None,
) -> RepairReport:
    """Repair a database; see rqreg_ext.repair().

    If `problems` is None, check_everything() finds them. `job_class` and `serializer` are passed to the registries that
    RQ cleans up.
    """
    selected = kinds_of(kinds)
    require_unchanged(connection, 'repair()', by_script=True)
    if problems is None:
        problems = check_everything(connection, queues, job_class=job_class)
    registry_of = registries_of(connection, job_class, serializer)
    return Repair(connection, registry_of, dry_run).run(problems, selected, progress)


def _candidates_of_registry(registry: Any, reader: ChunkReader, orphans: bool) -> Iterator[Candidate]:
    keys, key = JobKeys(registry.job_class), registry.key
    if is_execution_registry(registry):
        yield from Executions(keys).of_jobs(reader, [registry.job_id])
        return
    registry_kind, name = registry_kind_of(registry), registry.name
    queued_jobs, scan = QueuedJobs(), orphans and registry_kind is not None
    known: KnownJobs | None = None
    sizes: list[Command] = [(INTEGER, 'ZCARD', key)]
    if scan:
        sizes.append((INTEGER, 'DBSIZE'))
    reader.total = sum(reader.values(sizes))
    if registry_kind is STARTED:
        yield from StartedEntries(keys, name, key, with_hashes=True).candidates(reader, queued_jobs.started)
    else:
        # Only a scan looks for them.
        known = KnownJobs() if scan else None
        yield from RegistryEntries(keys, registry_kind, name, key, with_hashes=True, known=known).candidates(reader)
    if registry_kind is DEFERRED:
        yield from DeferredJobs(keys, name, key).candidates(reader)
    if registry_kind is not None and scan:
        statuses = registry_kind.statuses

        def is_selected(status: str, origin: str) -> bool:
            return status in statuses and origin == name

        yield from Orphans(keys, is_selected, queued_jobs, known=known).candidates(reader)


def check_arguments(settle: Any, limit: Any) -> None:
    """Raise for wrong arguments, or a release of RQ that is not supported, before a command is sent."""
    if not releases.is_known:
        from rq.version import VERSION

        raise NotImplementedError(
            f'check() does not support RQ {VERSION}: use RQ {releases.SUPPORTED}, or a newer rqreg_ext'
        )
    if not isinstance(settle, (int, float)) or isinstance(settle, bool) or not 0 <= settle < float('inf'):
        raise ValueError(
            f'settle={settle!r} is not a number of seconds: give one like 1.0, or 0 if no other client writes'
        )
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValueError(f'limit={limit!r} is not a number of problems: give one like 100, or None for all')
