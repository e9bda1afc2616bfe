"""Which jobs a command changes: those that match filters, or those with given ids."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any, BinaryIO

import click

from .._all_queues.selection import class_named
from .._bulk.newest import newest_of
from .._export.files import naming
from .._fastpath.exchange import INTEGER, ask
from .._fastpath.server_errors import concerns_one_queue, note_key
from .._query.chunks import chunks_of
from .._query.filters import Filters
from ..waiting_jobs import WaitingJobs
from .filters import WAITING
from .server import Server

# How many ids are looked at together.
_CHUNK = 1000
_CHUNK_OF_IDS = 10_000


def registry_of(server: Server, kind: str, queue: str) -> Any:
    """Return a registry of a queue, or the jobs that wait there."""
    registry_class = WaitingJobs if kind == WAITING else class_named(kind)
    return registry_class(queue, connection=server.client, **server.job_options)


def registries_of(server: Server, kind: str, queues: Sequence[str]) -> dict[str, Any]:
    """Return the registries of this kind by the names of their queues."""
    return {name: registry_of(server, kind, name) for name in queues}


class Selection:
    """The jobs of some registries that are to be changed.

    Attributes:
        counts: How many there are, by queue, once count() was called.
        left_out: How many jobs were not selected as a filter cannot be decided for them, by reason.
        not_found: How many of the given ids are in none of the registries.
        errors: Why queues could not be read; none of their jobs are selected.
        read_at_once: How many entries are compared with filters together, ahead of the change of their jobs.
    """

    def __init__(self, registries: Mapping[str, Any], limit: int | None) -> None:
        self.counts: dict[str, int] = {}
        self.left_out: Counter[str] = Counter()
        self.not_found = 0
        self.errors: dict[str, Exception] = {}
        self.read_at_once = _CHUNK
        self._registries = registries
        self._limit = limit

    @property
    def total(self) -> int:
        """How many jobs were counted."""
        return sum(self.counts.values())

    def count(self) -> None:
        """Count the jobs, up to the limit."""
        for name, registry in self._registries.items():
            left = None if self._limit is None else self._limit - self.total
            if left == 0:
                break
            try:
                count = self._count_of(registry, left)
            except Exception as error:
                if not concerns_one_queue(error):
                    raise
                self.errors[name] = note_key(error, registry.key)
                continue
            if count:
                self.counts[name] = count

    def chosen(self) -> Iterator[tuple[str, Any, Iterator[str]]]:
        """Yield each queue that has some, its registry, and the ids: no more than were counted."""
        for name, count in self.counts.items():
            registry = self._registries[name]
            yield name, registry, islice(self._ids_of(registry, Counter()), count)

    def _count_of(self, registry: Any, limit: int | None) -> int:
        return sum(1 for _ in islice(self._ids_of(registry, self.left_out), limit))

    def _ids_of(self, registry: Any, left_out: Counter[str]) -> Iterator[str]:
        raise NotImplementedError


class Matching(Selection):
    """The jobs that match filters. RQ's cleanup is not run."""

    def __init__(self, registries: Mapping[str, Any], limit: int | None, filters: Mapping[str, Any]) -> None:
        super().__init__(registries, limit)
        self._filters = Filters(filters)

    def _count_of(self, registry: Any, limit: int | None) -> int:
        if not self._filters.is_empty:
            return super()._count_of(registry, limit)
        command = getattr(registry, 'count_command', 'ZCARD')
        count: int = ask(registry.connection, [(INTEGER, command, registry.key)])[0]
        return count if limit is None else min(count, limit)

    def _ids_of(self, registry: Any, left_out: Counter[str]) -> Iterator[str]:
        bounds = {'min_score': self._filters.min_score, 'max_score': self._filters.max_score}
        entries = registry.iter_job_ids(**({} if isinstance(registry, WaitingJobs) else bounds))
        for chunk in chunks_of(entries, self.read_at_once):
            yield from self._filters.matching(registry, chunk, left_out)


class Given(Selection):
    """The jobs with given ids, as far as they are in the registries."""

    def __init__(self, registries: Mapping[str, Any], limit: int | None, ids: BinaryIO) -> None:
        super().__init__(registries, limit)
        # They are read several times, and may come from a pipe.
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - it goes with the process
        self._given = 0
        with naming(tempfile.gettempdir()):
            for job_id in _distinct(ids):
                self._spool.write(job_id + b'\n')
                self._given += 1
            self._spool.flush()

    def count(self) -> None:
        """Count the ids that are in one of the registries, up to the limit."""
        super().count()
        # Ids beyond a limit were not looked for, and queues that cannot be read were not searched.
        self.not_found = max(self._given - self.total, 0) if self._limit is None and not self.errors else 0

    def _ids_of(self, registry: Any, left_out: Counter[str]) -> Iterator[str]:
        position = 0
        while True:
            self._spool.seek(position)
            lines = list(islice(self._spool, _CHUNK_OF_IDS))
            if not lines:
                return
            position = self._spool.tell()
            ids = [line[:-1].decode() for line in lines]
            found = registry.contains_many(ids)
            yield from (job_id for job_id, is_there in zip(ids, found, strict=True) if is_there)


ids_from_option = click.option(
    '--ids-from', type=click.File('rb'), metavar='FILE|-', help='A file with an id per line, or - for stdin.'
)


def given_ids(ids_from: BinaryIO, filters: Mapping[str, Any]) -> list[str]:
    """Return the ids in a file, each once. Raises click.UsageError if there are filters, too."""
    check_no_filters(filters)
    return [job_id.decode() for job_id in _distinct(ids_from)]


def check_no_filters(filters: Mapping[str, Any]) -> None:
    """Raise click.UsageError if there are filters as well as ids."""
    if filters:
        raise click.UsageError('give filters or --ids-from, not both')


def _distinct(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the ids in the lines, each once. Raises click.UsageError for one that is not text."""
    found: set[bytes] = set()
    for number, line in enumerate(lines, 1):
        job_id = line.strip()
        try:
            job_id.decode()
        except UnicodeDecodeError as error:
            raise click.UsageError(f'--ids-from: line {number} is not text in UTF-8: {line[:80]!r}') from error
        if job_id and job_id not in found:
            found.add(job_id)
            yield job_id


class AllButNewest(Selection):
    """The jobs that match filters, but for the newest of each registry. purge() finds them by itself, too."""

    def __init__(self, registries: Mapping[str, Any], filters: Mapping[str, Any], keep: int) -> None:
        super().__init__(registries, None)
        self._filters = Filters(filters)
        self._options = {'keep_newest': keep, **filters}

    def _count_of(self, registry: Any, limit: int | None) -> int:
        result = registry.purge(dry_run=True, **self._options)
        self.left_out.update(result.skipped)
        return int(result.done)

    def _ids_of(self, registry: Any, left_out: Counter[str]) -> Iterator[str]:
        newest = newest_of(registry, self._filters, self._options['keep_newest'])
        newest.find()
        entries = registry.iter_job_ids(min_score=newest.selection.min_score, max_score=newest.selection.max_score)
        for chunk in chunks_of(entries, _CHUNK):
            yield from newest.matching(chunk, left_out)


class Spooled(Selection):
    """Jobs whose ids stand in files, one for each queue."""

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection._registries, None)
        self.left_out, self.not_found, self.errors = selection.left_out, selection.not_found, selection.errors
        self._files: dict[str, IO[str]] = {}

    def spool(self, name: str, ids: Iterator[str]) -> Iterator[str]:
        """Yield the ids of a queue, and keep them."""
        self._files[name] = file = tempfile.TemporaryFile('w+', encoding='utf-8')  # noqa: SIM115 - goes with the process
        self.counts[name] = 0
        for job_id in ids:
            with naming(tempfile.gettempdir()):
                file.write(json.dumps(job_id) + '\n')
            self.counts[name] += 1
            yield job_id
        with naming(tempfile.gettempdir()):
            file.flush()

    def chosen(self) -> Iterator[tuple[str, Any, Iterator[str]]]:
        """Yield each queue that has some, its registry, and the ids."""
        for name, file in self._files.items():
            file.seek(0)
            yield name, self._registries[name], map(json.loads, file)
