"""What keys ask for that takes a while: to read a job, and to count and change failed jobs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

from ..._bulk.result import BulkResult
from ..._fastpath.server_errors import concerns_one_queue, describe, note_key
from ..._query.chunks import chunks_of
from .. import statuses
from ..change_log import ChangeLog, counts_of
from ..job import JobReader, job_lines
from ..output import counted, printable
from ..results import passed_over
from ..selecting import Matching, Selection, registries_of
from ..server import Server
from ..terminal import grouped
from .data import Counted, Done, Message, Opened, Running
from .keys import OpenJob
from .read import RowReader
from .search import Search
from .state import Target

_DONE = {'requeue': 'requeued', 'delete': 'deleted'}
_QUEUES_SHOWN = 3
# How many jobs are read in one round trip.
_CHUNK = 1000
_PROGRESS_SECONDS = 0.2


class Actions:
    """Does what keys ask for, on one thread."""

    def __init__(
        self,
        server: Server,
        log: ChangeLog,
        post: Callable[[Message], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._server = server
        self._log = log
        self._post = post
        self._is_stopped = is_stopped
        # What was counted for the question.
        self._selection: Selection | None = None

    def open(self, request: OpenJob) -> None:
        """Read all of a job."""
        found = JobReader(self._server, request.job_id, unpickle=False).read()
        if found['exists']:
            self._post(Opened(request.job_id, tuple(job_lines(found)), request.row))
        else:
            self._post(Done(f'there is no job {request.job_id!r} any more'))

    def count(self, target: Target, counts: Mapping[str, int]) -> None:
        """Count the jobs, and have it asked whether to change them. `counts` are those of failed jobs by queue."""
        self._selection = selection = self._select(target, counts)
        selection.count()
        if self._is_stopped():
            self._selection = None
            self._post(Counted(None, 'stopped, nothing was changed'))
        elif not selection.total:
            self._selection = None
            gone = 'no failed job matches' if target.job is None else 'this job is not among the failed any more'
            self._post(Counted(None, gone))
        else:
            self._post(Counted(f'{target.verb} {self._described(target, selection)}?', _left_out(selection)))

    def change(self, target: Target) -> None:
        """Change the jobs that were counted, no more than that, and log it."""
        selection, self._selection = self._selection, None
        if selection is None:
            return
        change = _Change(target, selection)
        said = StringIO()
        started = time.monotonic()
        # What cannot be logged is said on stderr, which is the screen.
        with redirect_stderr(said):
            try:
                with self._log.change(change.logged):
                    for name, registry, ids in selection.chosen():
                        change.make(name, registry, ids, self._progress_of(change))
                        if self._is_stopped():
                            raise _Stopped
            except _Stopped:
                pass
            except Exception as error:
                if not statuses.is_of_server(error):
                    raise
                change.error = error
        seconds = time.monotonic() - started
        self._post(Done(change.outcome(self._is_stopped(), seconds), said.getvalue()))

    def _progress_of(self, change: _Change) -> Callable[[int, Any], bool]:
        """Return a function for the progress of the next queue."""
        before, total = change.result.total, change.selection.total
        shown = time.monotonic()

        def progress(done: int, _: Any) -> bool:
            nonlocal shown
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                verb = change.target.verb
                self._post(Running(f'{verb}: {grouped(before + done)} of {grouped(total)} (Esc stops it)'))
            return not self._is_stopped()

        return progress

    def _select(self, target: Target, counts: Mapping[str, int]) -> Selection:
        if target.job is not None:
            of_queue = registries_of(self._server, 'failed', [target.job.queue])
            return _One(of_queue, target.job.job_id)
        queues = [name for name, count in counts.items() if count and target.search.has_queue(name)]
        registries = registries_of(self._server, 'failed', queues)
        return _Searched(registries, target.search, RowReader(self._server), self._is_stopped)

    def _described(self, target: Target, selection: Selection) -> str:
        if target.job is not None:
            return printable(f'{target.job.func_name or "job"} of {target.job.queue} ({target.job.job_id})')
        of = selection.counts
        shown = [f'{printable(name)} {grouped(count)}' for name, count in list(of.items())[:_QUEUES_SHOWN]]
        more = [f'{len(of) - _QUEUES_SHOWN} more'] if len(of) > _QUEUES_SHOWN else []
        return f'{counted(selection.total, "job")} of {counted(len(of), "queue")} ({", ".join([*shown, *more])})'


def _left_out(selection: Selection) -> str:
    return '; '.join(f'{counted(count, "job")} left out: {reason}' for reason, count in selection.left_out.items())


class _Stopped(KeyboardInterrupt):
    """Esc was pressed, which the log has as Ctrl-C."""


class _Change:
    """What was done with the selected jobs.

    Attributes:
        target: Which jobs, and what is done with them.
        selection: They, as they were counted.
        error: The error that has ended it, or the last one that concerns a queue only.
    """

    def __init__(self, target: Target, selection: Selection) -> None:
        self.target = target
        self.selection = selection
        self.error: Exception | None = None
        self._results: dict[str, BulkResult] = {}
        self._errors: dict[str, str] = {}

    @property
    def result(self) -> BulkResult:
        """What was done in all queues."""
        return sum(self._results.values(), BulkResult())

    def make(self, name: str, registry: Any, ids: Iterator[str], progress: Callable[[int, Any], bool]) -> None:
        """Change the jobs of a queue. Raises errors that do not concern this queue only."""
        self._results[name] = BulkResult()
        try:
            if self.target.verb == 'requeue':
                self._results[name] = registry.requeue_many(ids, progress=progress)
            else:
                self._results[name] = registry.remove_many(ids, delete_job=True, progress=progress)
        except Exception as error:
            until_then = getattr(error, 'result', None)
            if isinstance(until_then, BulkResult):
                self._results[name] = until_then
            self.error = note_key(error, registry.key)
            if not concerns_one_queue(error):
                raise
            self._errors[name] = describe(self.error)

    def logged(self) -> dict[str, Any]:
        """Return what the log of changes has of it."""
        job = self.target.job
        return {
            'action': self.target.verb,
            'filters': {'search': self.target.search.text} if job is None else {'job_id': job.job_id},
            'jobs': self.selection.total,
            'queues': {name: result.done for name, result in self._results.items()},
            'total': counts_of(self.result),
            'errors': self._errors,
        }

    def outcome(self, is_stopped: bool, seconds: float) -> str:
        """Return what it has come to, in a line."""
        done, result = _DONE[self.target.verb], self.result
        parts = [f'{done} {grouped(result.done)} of {counted(self.selection.total, "job")} in {seconds:.1f} s']
        parts += passed_over(result, done)
        if result.failed:
            job_id, first = result.failed[0]
            parts.append(f'{grouped(len(result.failed))} failed, the first {printable(job_id)}: {describe(first)}')
        if self.error is not None:
            parts.append(f'ended by {describe(self.error)}')
        elif is_stopped:
            parts.append('stopped')
        return '; '.join(parts)


class _One(Selection):
    """One job, if it is still there."""

    def __init__(self, registries: Mapping[str, Any], job_id: str) -> None:
        super().__init__(registries, None)
        self._job_id = job_id

    def _ids_of(self, registry: Any, left_out: Counter[str]) -> Iterator[str]:
        (is_there,) = registry.contains_many([self._job_id])
        return iter([self._job_id] if is_there else [])


class _Searched(Matching):
    """The jobs that match a search."""

    def __init__(
        self, registries: Mapping[str, Any], search: Search, read: RowReader, is_stopped: Callable[[], bool]
    ) -> None:
        super().__init__(registries, None, search.filters())
        self._search = search
        self._read = read
        self._is_stopped = is_stopped

    def _count_of(self, registry: Any, limit: int | None) -> int:
        if self._search.words:
            return sum(1 for _ in self._ids_of(registry, self.left_out))
        return super()._count_of(registry, limit)

    def _ids_of(self, registry: Any, left_out: Counter[str]) -> Iterator[str]:
        found = super()._ids_of(registry, left_out)
        for chunk in chunks_of(found, _CHUNK):
            if self._is_stopped():
                return
            if self._search.words:
                rows = self._read.rows([(registry.name, job_id) for job_id in chunk])
                yield from (job.job_id for job in rows if self._search.matches(job.fields()))
            else:
                yield from chunk
