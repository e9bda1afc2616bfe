"""What is read of the server: the queues and workers, the newest failed jobs, and the errors in groups."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from ... import registry as registries
from ..._all_queues.count_by import count_by
from ..._all_queues.snapshot import NAMES, QueueSnapshot, Snapshot, snapshot
from ..._all_queues.workers import WorkerSnapshot
from ..._fastpath.exchange import ENTRIES, SCORE, Command, exchange
from ..._fastpath.rq_keys import REGISTRIES
from ..._fastpath.server_errors import concerns_one_queue, describe
from ..._query.job_fields import reader_of
from ..._query.rows import UNREADABLE, Rows
from ..errors import group_failures, spark
from ..output import counted
from ..selecting import registries_of
from ..server import Server, mistyped_queues
from ..statuses import is_of_server
from .data import FailureRow, FailuresView, GroupRow, Groups, Overview, QueueRow, WorkerRow
from .search import Search

Value = TypeVar('Value')

# Over how many seconds rates are taken, if it is read often enough.
_WINDOW = 10.0
# How many of the newest failed jobs are shown.
NEWEST = 100
_FIELDS = ('func_name', 'exc_type', 'exc_message', 'worker_name', 'end')


# ---- Queues and workers


class OverviewReader:
    """Reads the queues and workers again and again, and knows how fast their counts change."""

    def __init__(self, server: Server, patterns: Sequence[str]) -> None:
        self._server = server
        self._patterns = patterns
        self._functions = _Functions(server)
        self._history: deque[tuple[Snapshot, dict[str, int]]] = deque()

    def read(self) -> Overview:
        """Read all of it. Two round trips; one more if workers run jobs that are new, or if there are globs."""
        with mistyped_queues():
            taken = snapshot(self._server.client, self._server.named(self._patterns), worker_details=True, oldest=True)
        left_out = [f'{name} not read: {describe(error)}' for name, error in taken.errors.items()]
        try:
            details = taken.worker_details
        except Exception as error:
            details = {}
            left_out.append(f'workers not read: {describe(error)}')
        ended = {name: worker.successful_job_count + worker.failed_job_count for name, worker in details.items()}
        before, ended_before = self._before(taken, ended)
        seconds = 0.0 if before is None else taken.timestamp - before.timestamp
        return Overview(
            timestamp=taken.timestamp,
            queues=tuple(_queue_row(queue, before, seconds) for queue in taken.values()),
            workers=tuple(self._worker_rows(details)),
            total=dict(taken.total),
            rates={} if before is None or seconds <= 0 else _rates(taken.total, before.total, seconds),
            states=_states(details),
            processed=sum(ended[name] - ended_before[name] for name in ended.keys() & ended_before.keys()) / seconds
            if details and seconds > 0
            else None,
            left_out=tuple(left_out),
        )

    def _before(self, taken: Snapshot, ended: dict[str, int]) -> tuple[Snapshot | None, dict[str, int]]:
        """Return what was read at the beginning of the window, if it has begun: how many jobs had ended by worker."""
        history = self._history
        # A clock that was put back would make rates of any size.
        if history and history[-1][0].timestamp > taken.timestamp:
            history.clear()
        while len(history) > 1 and taken.timestamp - history[1][0].timestamp >= _WINDOW:
            history.popleft()
        found = history[0] if history else (None, {})
        history.append((taken, ended))
        return found

    def _worker_rows(self, details: Mapping[str, WorkerSnapshot]) -> Iterator[WorkerRow]:
        running = [worker.current_job_id for worker in details.values() if worker.current_job_id is not None]
        functions = self._functions.of(running)
        for worker in sorted(details.values(), key=lambda worker: worker.name):
            yield WorkerRow(
                name=worker.name,
                state=worker.state,
                queues=tuple(worker.queues),
                job_id=worker.current_job_id,
                func_name=functions.get(worker.current_job_id or ''),
                since=_timestamp(worker.current_job_started_at),
                heartbeat=_timestamp(worker.last_heartbeat),
                succeeded=worker.successful_job_count,
                failed=worker.failed_job_count,
            )


def _unless_denied(read: Callable[[], Value], otherwise: Value) -> Value:
    """Return the value, or the other one if the user may not read it: the rest is still of use."""
    try:
        return read()
    except Exception as error:
        if not is_of_server(error):
            raise
        return otherwise


def _queue_row(queue: QueueSnapshot, before: Snapshot | None, seconds: float) -> QueueRow:
    oldest = _unless_denied(lambda: queue.oldest, None)
    workers = _unless_denied(lambda: sum(queue.workers.values()), 0)
    earlier = None if before is None else before.get(queue.name)
    rates = {} if earlier is None or seconds <= 0 else _rates(queue, earlier, seconds)
    return QueueRow(queue.name, dict(queue), _timestamp(oldest), workers, rates)


def _rates(counts: Mapping[str, int], earlier: Mapping[str, int], seconds: float) -> dict[str, float]:
    return {name: (counts[name] - earlier[name]) / seconds for name in NAMES}


def _states(details: Mapping[str, WorkerSnapshot]) -> dict[str, int]:
    states: dict[str, int] = {}
    for worker in details.values():
        states[worker.state] = states.get(worker.state, 0) + 1
    return states


class _Functions:
    """The functions of running jobs, which do not change."""

    def __init__(self, server: Server) -> None:
        self._rows = Rows(registries.FailedJobRegistry('default', connection=server.client, **server.job_options))
        self._read = reader_of(self._rows, 'func_name')
        self._known: dict[str, str | None] = {}

    def of(self, job_ids: Sequence[str]) -> dict[str, str | None]:
        """Return the functions by the ids of their jobs."""
        new = [job_id for job_id in job_ids if job_id not in self._known]
        found = dict(self._rows.matching(new, lambda row: True)) if new else {}
        self._known = {job_id: self._known.get(job_id) for job_id in job_ids}
        for job_id, row in found.items():
            try:
                self._known[job_id] = self._read(row)
            except UNREADABLE:
                self._known[job_id] = None
        return self._known


# ---- The newest failed jobs


class RowReader:
    """Reads what is shown of failed jobs."""

    def __init__(self, server: Server) -> None:
        self._rows = Rows(registries.FailedJobRegistry('default', connection=server.client, **server.job_options))
        self._readers = {name: reader_of(self._rows, name) for name in _FIELDS}

    def rows(self, jobs: Sequence[tuple[str, str]]) -> Iterator[FailureRow]:
        """Yield the rows of these jobs, given as (queue, id). One round trip, or two."""
        found = self._rows.matching([job_id for _, job_id in jobs], lambda row: True) if jobs else []
        # The same id may be in two registries: the order is that of the arguments.
        for (queue, _), (job_id, row) in zip(jobs, found, strict=True):
            values = {}
            for name, read in self._readers.items():
                try:
                    values[name] = read(row)
                except UNREADABLE:
                    values[name] = None
            yield _failure(job_id, queue, values)


class FailuresReader:
    """Reads the newest failed jobs.

    In the registry, entries are ordered by when they expire. Where all jobs have the same failure_ttl, those that
    expire last have ended last, and reading them takes two round trips. Where they have not, read_all() must be called
    once in a while: what it finds is kept, and merged with what comes later.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._read = RowReader(server)
        self._found_by_end: list[FailureRow] = []

    def read(self, counts: Mapping[str, int]) -> FailuresView:
        """Return the newest failed jobs, without having read all. `counts` are those of failed jobs by queue."""
        queues = [name for name, count in counts.items() if count]
        keys = {name: REGISTRIES['failed'].key(name) for name in queues}
        kept = [job for job in self._found_by_end if job.queue in keys]
        commands: list[Command] = [(ENTRIES, 'ZREVRANGE', keys[name], 0, NEWEST - 1, 'WITHSCORES') for name in queues]
        commands += [(SCORE, 'ZSCORE', keys[job.queue], job.job_id) for job in kept]
        replies = exchange(self._server.client, commands) if commands else []
        entries, left_out = [], []
        for name, reply in zip(queues, replies, strict=False):
            if isinstance(reply, Exception):
                if not concerns_one_queue(reply):
                    raise reply
                left_out.append(f'{name} not read: {describe(reply)}')
            else:
                entries += [(score, job_id, name) for job_id, score in reply]
        newest = dict.fromkeys((name, job_id) for _, job_id, name in heapq.nlargest(NEWEST, entries))
        scores = zip(kept, replies[len(queues) :], strict=True)
        newest.update(dict.fromkeys(job.key for job, score in scores if isinstance(score, float)))
        return FailuresView('', tuple(_newest(self._read.rows(list(newest)))), tuple(left_out))

    def read_all(self, counts: Mapping[str, int]) -> None:
        """Find the newest jobs by their end, in those registries that read() looks at a part of."""
        large = [name for name, count in counts.items() if count > NEWEST]
        found = _find(self._server, large, {}, lambda job: True, by_end=True, errors=[])
        self._found_by_end = list(_newest(found))

    def find(self, counts: Mapping[str, int], search: Search) -> FailuresView:
        """Return the newest failed jobs that match. Reads all of them."""
        queues = [name for name, count in counts.items() if count and search.has_queue(name)]
        errors: list[str] = []
        found = _find(
            self._server,
            queues,
            search.filters(),
            lambda job: search.matches(job.fields()),
            by_end=not search.words,
            errors=errors,
        )
        return FailuresView(search.text, tuple(_newest(found)), tuple(errors))


def _newest(jobs: Iterable[FailureRow]) -> list[FailureRow]:
    return heapq.nlargest(NEWEST, jobs, key=lambda job: job.end or 0.0)


def _find(
    server: Server, queues: Sequence[str], filters: Mapping[str, Any], test: Any, by_end: bool, errors: list[str]
) -> Iterator[FailureRow]:
    """Yield the failed jobs that match; `by_end`: of each queue, the newest of them only."""
    options = {'order_by': 'end', 'desc': True, 'limit': NEWEST} if by_end else {}
    for name, registry in registries_of(server, 'failed', queues).items():
        try:
            for job_id, values in registry.find(fields=_FIELDS, **options, **filters):
                job = _failure(job_id, name, values)
                if test(job):
                    yield job
        except Exception as error:
            if not concerns_one_queue(error):
                raise
            errors.append(f'{name} not read: {describe(error)}')


def _failure(job_id: str, queue: str, values: Mapping[str, Any]) -> FailureRow:
    return FailureRow(
        job_id=job_id,
        queue=queue,
        func_name=values['func_name'],
        exc_type=values['exc_type'],
        exc_message=values['exc_message'],
        worker_name=values['worker_name'],
        end=_timestamp(values['end']),
    )


# ---- Errors


def read_groups(server: Server, queues: Sequence[str], timestamp: float) -> Groups:
    """Return all failed jobs of these queues in groups; `timestamp` is the server's time."""
    chosen: Any = [server.queue(name) for name in queues] if server.has_own_jobs else queues
    with mistyped_queues():
        found = count_by(server.client, 'func_name', 'exc_type', 'queue', 'hour', queues=chosen)
    groups = group_failures(found)
    hours = [hour for group in groups for hour in group.known_hours]
    left_out = [f'{name} not counted: {describe(error)}' for name, error in found.errors.items()]
    left_out += [f'{counted(count, "job")} left out: {reason}' for reason, count in found.skipped.items()]
    return Groups(
        timestamp,
        tuple(
            GroupRow(
                group.func_name,
                group.exc_type,
                group.count,
                _timestamp(group.first),
                _timestamp(group.last),
                tuple(name for name, _ in group.queues.most_common()),
                group.example,
                spark(group.known_hours, min(hours), max(hours)) if len(set(hours)) > 1 else '',
            )
            for group in groups
        ),
        tuple(left_out),
    )


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
