"""export(): the jobs of registries in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any

from .._bulk.call import BulkCall
from .._bulk.mixin import finder_of
from .._bulk.options import IdsProgress
from .._bulk.result import BulkResult
from .._bulk.started import entries_by_job
from .._fastpath.dispatch import require_unchanged
from .._fastpath.exchange import INTEGER, exchange
from .._fastpath.rq_keys import REGISTRIES, JobKeys, registry_kind_of
from .._fastpath.server_errors import is_denied
from .._query.arguments import check_holds_jobs, chunk_size_of, most_found_of
from .._query.chunks import chunks_of
from .._query.filters import Filters, JobFilters
from .._query.list_cursor import ListCursor
from .._query.listing import cursor_of, parser_of
from .._query.waiting_reads import WaitingReadsMixin, filters_of
from .files import OutputFile
from .lines import end, header
from .reading import QUEUED, ExportReader, ExportSource

if TYPE_CHECKING:
    from rq.job import Job
    from typing_extensions import Unpack

# How many jobs are read in the first round trip; and how many octets the lines of each later one have, about.
_FIRST_CHUNK, _OCTETS = 100, 2_000_000

# Returns those of the entries that are to be written.
Select = Callable[[list[str]], list[str]]


class ExportMixin:
    """The method of registries, and of the jobs that wait in a queue, that writes jobs into a file."""

    def export(
        self,
        file: Any,
        *,
        ids: Iterable[str | Job] | None = None,
        progress: IdsProgress | None = None,
        chunk_size: int = 1000,
        limit: int | None = None,
        **filters: Unpack[JobFilters],
    ) -> BulkResult:
        """Write the jobs of this registry or queue, or those that match the filters, into a file that restore() reads.

        Nothing is changed: expired entries are not removed, and are exported. A job is written with its hash, results,
        dependents, dependencies, executions, its score in this registry, and the times when its keys expire. The file
        has its name when it is complete; until then it has another one, which ends with `.part`.

        Args:
            file: The path of a new file, which is compressed if it ends with `.gz`; or a file that is open for writing
                in binary mode.
            ids: The ids of the jobs to write, or Job objects, instead of all.
            progress: Called after each chunk as progress(processed, total); returning False ends the call, without a
                file. `total` is None if it is unknown: if `ids` has no length (a generator, say).
            chunk_size: The most jobs to read at a time.
            limit: The most jobs to write, the first ones; None for all. Entries whose job is gone do not count.
            **filters: See JobFilters; of jobs that wait, `min_score` and `max_score` are not taken. Without filters,
                all jobs match.

        Returns:
            A BulkResult. Jobs that leave the registry during the call count as missing, entries whose job is gone as
            skipped, and those that cannot be read are in `failed`. Jobs that a worker takes out of a queue during the
            call may be written. `remaining` is None if the limit, or progress(), has ended the call.

        Raises:
            TypeError, ValueError: An argument is wrong.
            FileExistsError: There is a file of this name. OSError: It cannot be written.
            NotImplementedError: The client changes commands, or may do so.
            redis.exceptions.RedisError: The server or the connection failed. Like any exception during the call, it has
                the result until then as its attribute `result`, and leaves no file.

        Round trips:
            Two per chunk; one more with filters, and one more for jobs with dependents, dependencies, executions, or a
            group. With `ids` of a queue, one more per 5000 jobs that wait.

        Source:
            Redis HGETALL, XREVRANGE, SMEMBERS, ZRANGE, ZSCORE, PTTL; LRANGE of a queue.
        """
        registry: Any = self
        check_holds_jobs(registry)
        selection = filters_of('export()', filters) if _waits(registry) else Filters.of(**filters)
        if ids is not None and filters:
            raise ValueError('export() takes either filters or ids=')
        require_unchanged(registry.connection, 'export()')
        call = BulkCall(progress)
        export = Export(file, chunk_size, limit)
        with call, export:
            if ids is None:
                export.add(registry, selection, call)
            else:
                export.add_ids(registry, ids, call)
        return call.result


def _waits(registry: Any) -> bool:
    return isinstance(registry, WaitingReadsMixin)


def source_of(registry: Any) -> ExportSource:
    """Return the source for a registry, or of jobs that wait. Raises ValueError if it is none of RQ's."""
    if _waits(registry):
        return ExportSource(registry.name, QUEUED, registry.key)
    kind = registry_kind_of(registry)
    name = next((name for name, known in REGISTRIES.items() if known is kind), None)
    if name is None:
        raise ValueError(f"{registry!r} is none of RQ's registries, and restore() could not tell where its jobs go")
    return ExportSource(registry.name, name, registry.key, parser_of(registry))


class Export:
    """A file, and what is written into it; a context manager, at whose end the file is complete or gone."""

    def __init__(self, file: Any, chunk_size: Any, limit: Any = None) -> None:
        # How many jobs may still be written; None for any number.
        self._left = most_found_of(limit)
        self._chunk_size = chunk_size_of(chunk_size)
        self._size = min(_FIRST_CHUNK, self._chunk_size)
        # Whether progress() has ended the export.
        self._is_stopped = False
        self._counts: dict[str, int] = {}
        self._output = OutputFile(file)

    def __enter__(self) -> Export:
        self._write(header())
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        try:
            if error is None and not self._is_stopped:
                self._write(end(self._counts))
                self._output.commit()
        finally:
            self._output.discard()

    @property
    def is_over(self) -> bool:
        """Whether no more jobs are to be written, because of the limit or of progress()."""
        return self._left == 0 or self._is_stopped

    def _write(self, data: bytes) -> None:
        self._output.write(data)

    def add(self, registry: Any, selection: Filters, call: BulkCall) -> None:
        """Write the jobs of a registry that match the filters, and count them in the call's result."""
        low, high = selection.min_score, selection.max_score
        if _waits(registry):
            total = registry.count if call.has_progress else None
            chunks = ListCursor(registry.connection, registry.key, self._chunk_size, False).member_chunks()
        else:
            total = _count(registry, low, high) if call.has_progress else None
            chunks = cursor_of(registry, self._chunk_size, False, low, high).member_chunks()
        self._add(registry, chunks, total, _selecting(registry, selection, call.result), call)

    def add_ids(self, registry: Any, ids: Iterable[str | Job], call: BulkCall, are_there: bool = False) -> None:
        """Write the jobs with these ids that are in a registry, or wait in a queue, and count them as add() does.

        are_there: Whether all of them were found there just now. Only of a queue must that be asked.
        """
        job_ids, total = finder_of(ids)()
        entries = job_ids
        if source_of(registry).parse is not None:
            entries_of = entries_by_job(registry)
            entries = (entry for job_id in job_ids for entry in entries_of.get(job_id, (job_id,)))
        select = partial(_waiting, registry, call.result) if _waits(registry) and not are_there else None
        self._add(registry, chunks_of(entries, self._chunk_size), total, select, call)

    def _add(
        self,
        registry: Any,
        chunks: Iterable[list[str]],
        total: int | None,
        select: Select | None,
        call: BulkCall,
    ) -> None:
        reader = ExportReader(registry.connection, JobKeys(registry.job_class), source_of(registry), call.result)
        before, processed = call.result.done, 0
        for chunk in chunks:
            selected = chunk if select is None else select(chunk)
            start = 0
            while start < len(selected) and not self.is_over:
                size = self._size if self._left is None else min(self._size, self._left)
                lines = reader.lines(selected[start : start + size])
                start += size
                self._left = None if self._left is None else self._left - len(lines)
                self._write_lines(lines)
            processed += len(chunk)
            self._is_stopped = not call.report(processed, total)
            if self.is_over:
                call.leave_rest()
                break
        self._counts[registry.name] = self._counts.get(registry.name, 0) + call.result.done - before

    def _write_lines(self, lines: list[str]) -> None:
        data = ''.join(lines).encode('ascii')
        self._write(data)
        if lines:
            # Jobs can be large: fewer are read at a time then, to limit memory.
            fitting = max(1, len(lines) * _OCTETS // len(data))
            self._size = min(self._chunk_size, fitting, 2 * self._size)


def _waiting(jobs: WaitingReadsMixin, result: BulkResult, ids: list[str]) -> list[str]:
    """Return those of the ids that wait, and count the others."""
    found = list(compress(ids, jobs.contains_many(ids)))
    result.missing += len(ids) - len(found)
    return found


def _selecting(registry: Any, selection: Filters, result: BulkResult) -> Select | None:
    if selection.is_empty:
        return None
    parse = source_of(registry).parse or str

    def select(entries: list[str]) -> list[str]:
        matching = set(selection.matching(registry, list(map(parse, entries)), result.skipped))
        return [entry for entry in entries if parse(entry) in matching]

    return select


def _count(registry: Any, low: float | None, high: float | None) -> int | None:
    """Return how many entries have these scores; None if the user has no right to ask."""
    bounds = ('-inf' if low is None else low, '+inf' if high is None else high)
    (count,) = exchange(registry.connection, [(INTEGER, 'ZCOUNT', registry.key, *bounds)])
    if is_denied(count):
        return None
    if isinstance(count, Exception):
        raise count
    return int(count)
