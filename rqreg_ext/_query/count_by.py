"""count_by(): the jobs of a registry, counted in groups of what they have in common."""

from __future__ import annotations

import time as clock
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from .._fastpath.server_errors import describe
from .._fastpath.wording import counted, hint
from .arguments import check_holds_jobs, chunk_size_of
from .dates import moment_of, sortable
from .filters import NO_SUCH_JOB, Filters, JobFilters
from .job_fields import LatestException, reader_of
from .listing import cursor_of, parser_of
from .rows import EVERY_JOB_HAS, UNREADABLE, Reader, Row, Rows
from .tracebacks import folded_line_of

if TYPE_CHECKING:
    from typing import overload

    from typing_extensions import Unpack

GroupName = Literal['func_name', 'exc_type', 'last_line', 'queue', 'worker_name', 'status', 'day', 'hour']
TimeName = Literal['end', 'created_at', 'enqueued_at', 'started_at']

# How many groups a printed result has.
_PRINTED = 20
# The widest column of a printed result.
_WIDEST = 80


@dataclass(frozen=True)
class JobGroup:
    """The jobs of a count_by() that have the same values."""

    values: dict[str, Any]
    """What the jobs have in common, by the names that were given to count_by().
    None is the value of a job that has none: no exception, no worker, or no known time.
    """
    count: int
    """How many jobs these are."""
    first: datetime | None
    """The earliest of their times, in UTC; None if no time is known."""
    last: datetime | None
    """The latest of their times, in UTC."""
    example: str
    """The id of the job with the latest time."""

    def to_dict(self) -> dict[str, Any]:
        """Return the group as a dict that json.dumps() accepts. Times are given in ISO 8601."""
        return {
            'values': {name: _for_json(value) for name, value in self.values.items()},
            'count': self.count,
            'first': _for_json(self.first),
            'last': _for_json(self.last),
            'example': self.example,
        }

    def __str__(self) -> str:
        return '  '.join([str(self.count), *map(_shown, self.values.values()), _span(self), self.example])


class JobGroups(Sequence[JobGroup]):
    """What count_by() has counted: a sequence of JobGroup, the largest first. `str(groups)` is a table.

    Attributes:
        names: The names that were given to count_by().
        skipped: How many jobs are in no group, by reason: 'no such job' if the job's hash is gone, 'unreadable
            func_name' and the like if that cannot be read, and the reasons why a filter cannot be decided.
        errors: In a count over many queues, the server's error for each queue that could not be counted completely, by
            the queue's name.
        seconds: How long the call took, in seconds.
    """

    def __init__(
        self,
        names: Sequence[str],
        groups: Iterable[JobGroup] = (),
        *,
        skipped: Counter[str] | None = None,
        errors: Mapping[str, Exception] | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.names = tuple(names)
        self.skipped = Counter() if skipped is None else skipped
        self.errors = dict(errors or {})
        self.seconds = seconds
        self._groups = tuple(groups)

    @property
    def total(self) -> int:
        """How many jobs are in the groups, and skipped."""
        return sum(group.count for group in self) + self.skipped.total()

    # Not at run time: typing registers overloads in a table, with which CPython 3.12 crashes in sub-interpreters.
    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> JobGroup: ...
        @overload
        def __getitem__(self, index: slice) -> tuple[JobGroup, ...]: ...

    def __getitem__(self, index: int | slice) -> JobGroup | tuple[JobGroup, ...]:
        return self._groups[index]

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[JobGroup]:
        return iter(self._groups)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a dict that json.dumps() accepts. Times are given in ISO 8601."""
        return {
            'total': self.total,
            'groups': [group.to_dict() for group in self],
            'skipped': dict(self.skipped),
            'errors': {name: describe(error) for name, error in self.errors.items()},
            'seconds': self.seconds,
        }

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self._headline()}>'

    def __str__(self) -> str:
        rows = [
            [str(group.count), *(_shown(group.values[name]) for name in self.names), _span(group), group.example]
            for group in self[:_PRINTED]
        ]
        lines = [self._headline(), *_table(rows)]
        if len(self) > _PRINTED:
            lines.append(f'  and {counted(len(self) - _PRINTED, "smaller group")}')
        lines += [f'  {count} skipped: {reason}' for reason, count in self.skipped.items()]
        lines += [f'  {name!r} ended with {describe(error)}' for name, error in self.errors.items()]
        return '\n'.join(lines)

    def _headline(self) -> str:
        groups = f'{counted(len(self), "group", none="no")} by {", ".join(self.names)}'
        failed = f', {counted(len(self.errors), "queue")} ended with an error' if self.errors else ''
        jobs = counted(sum(group.count for group in self), 'job', none='no')
        return f'{jobs} in {groups}{failed}; {self.seconds:.3f} s'


def _shown(value: Any) -> str:
    if value is None:
        return '-'
    text = f'{value:%Y-%m-%d %H:00}' if isinstance(value, datetime) else str(value)
    return text if len(text) <= _WIDEST else f'{text[: _WIDEST - 1]}…'


def _span(group: JobGroup) -> str:
    if group.first is None or group.last is None:
        return '-'
    first, last = (f'{moment:%Y-%m-%d %H:%M:%S}' for moment in (group.first, group.last))
    return first if first == last else f'{first} to {last}'


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, whose first column is of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ['  ' + '  '.join([row[0].rjust(widths[0]), *map(str.ljust, row[1:], widths[1:])]).rstrip() for row in rows]


def _for_json(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None else str(value)


# ---- The call


class CountByMixin:
    """The registry method that counts jobs in groups."""

    def count_by(
        self,
        *names: GroupName,
        time: TimeName = 'end',
        chunk_size: int = 1000,
        **filters: Unpack[JobFilters],
    ) -> JobGroups:
        """Count the jobs of this registry, or those that match the filters, in groups of what they have in common.

        Nothing is changed, and nothing is unpickled: func_name is read as in find(). Changes by other clients have the
        effect that iter_job_ids() describes.

        Args:
            names: What the jobs of a group have in common, of: func_name, exc_type (the class of the exception, as the
                traceback names it), last_line (the line of the exception that ends the traceback, with `#` for each
                number and each id, so that "order 123 not found" and "order 456 not found" are one), queue (of the
                registry), worker_name, status, day and hour (in UTC).
            time: The time that first, last, day and hour are of: 'end', 'created_at', 'enqueued_at' or 'started_at'.
                'end' is the time that `ended_before` compares.
            chunk_size: How many entries to read at a time.
            **filters: See JobFilters. Without filters, all jobs are counted.

        Returns:
            A JobGroups. Jobs that are gone, or that cannot be read, are in its `skipped`.

        Raises:
            TypeError: An argument has the wrong type, or this is the registry of a job's executions.
            ValueError: An argument is out of range, or not one of the accepted values.
            redis.exceptions.RedisError: The server or the connection failed.
            UnicodeDecodeError: An entry is not UTF-8.

        Round trips:
            Two per chunk; three if an end is only known from a job's results.

        Source:
            rq.job.Job.restore, Job.exc_info; Redis HMGET, XREVRANGE.
        """
        counting = CountOperation(names, time, chunk_size, filters)
        counting.count(self)
        return counting.result()


class CountOperation:
    """A count_by() over one or more registries. Checks its arguments as the call does."""

    def __init__(self, names: Sequence[Any], time: Any, chunk_size: Any, filters: Mapping[str, Any]) -> None:
        self._names = _names_of(names)
        self._time = _time_of(time)
        self._chunk_size = chunk_size_of(chunk_size)
        self._filters = Filters(filters)
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._skipped: Counter[str] = Counter()
        self._started = clock.monotonic()

    def count(self, registry: Any) -> None:
        """Count the jobs of a registry."""
        check_holds_jobs(registry)
        bounds = self._filters.min_score, self._filters.max_score
        self.count_listed(registry, cursor_of(registry, self._chunk_size, False, *bounds).member_chunks())

    def count_listed(self, registry: Any, chunks: Iterable[list[str]]) -> None:
        """Count the jobs of these entries of a registry, or of a queue's WaitingJobs."""
        rows = Rows(registry)
        test, read = self._filters.test(rows), _reader(rows, registry.name, self._names, self._time)
        select, parse = self._filters.select, parser_of(registry)
        for members in chunks:
            job_ids = select(members if parse is None else map(parse, members))
            if job_ids:
                self._add(rows.matching(job_ids, test, self._skipped, read))

    def _add(self, found: Iterable[tuple[str, tuple[tuple[Any, ...], bytes]]]) -> None:
        groups = self._groups
        for job_id, (key, time) in found:
            group = groups.get(key)
            if group is None:
                groups[key] = _Group(time, job_id)
            else:
                group.count += 1
                if time:
                    group.add_time(time, job_id)

    def result(self, errors: Mapping[str, Exception] | None = None) -> JobGroups:
        """Return what was counted so far."""
        found = sorted(self._groups.items(), key=lambda item: (item[1].count, item[1].last), reverse=True)
        return JobGroups(
            self._names,
            [group.of(dict(zip(self._names, map(_value_of, self._names, key), strict=True))) for key, group in found],
            skipped=self._skipped,
            errors=errors,
            seconds=clock.monotonic() - self._started,
        )


class _Group:
    """What is known so far of the jobs of a group. Times are in RQ's format, b'' if none is known."""

    __slots__ = ('count', 'example', 'first', 'last')

    def __init__(self, time: bytes, job_id: str) -> None:
        self.count = 1
        self.first = self.last = time
        self.example = job_id

    def add_time(self, time: bytes, job_id: str) -> None:
        """Note the time of another job."""
        if time >= self.last:
            self.last, self.example = time, job_id
        if not self.first or time < self.first:
            self.first = time

    def of(self, values: dict[str, Any]) -> JobGroup:
        """Return the group of these values."""
        first, last = (moment_of(time) if time else None for time in (self.first, self.last))
        return JobGroup(values, self.count, first, last, self.example)


# ---- What is read of each job


def _reader(rows: Rows, queue: str, names: Sequence[str], time: str) -> Callable[[Row], Any]:
    """Return a function that reads the values of a row and its time, or returns the reason why it cannot."""
    time_of = rows.end() if time == 'end' else _column(rows, time)
    getters = [_getter(rows, queue, name, time_of) for name in names]
    exists = rows.column(EVERY_JOB_HAS)

    def read(row: Row) -> Any:
        if not row[exists] and not any(row):
            return NO_SUCH_JOB
        key = []
        try:
            for get in getters:
                key.append(get(row))
        except UNREADABLE:
            return f'unreadable {names[len(key)]}'
        return tuple(key), time_of(row)

    return read


def _column(rows: Rows, name: str) -> Callable[[Row], bytes]:
    column = rows.column(name)
    return lambda row: sortable(row[column])


def _getter(rows: Rows, queue: str, name: str, time_of: Callable[[Row], bytes]) -> Reader:
    if name == 'queue':
        return lambda row: queue
    if name == 'last_line':
        exception_of = rows.shared(LatestException)
        return lambda row: (exception := exception_of(row)) and folded_line_of(exception)
    if name in _LENGTHS:
        length = _LENGTHS[name]
        return lambda row: time_of(row)[:length]
    return reader_of(rows, name)


# How many characters of a date tell the day, or the hour.
_LENGTHS = {'day': len('2026-01-01'), 'hour': len('2026-01-01T00')}


def _value_of(name: str, value: Any) -> Any:
    """Return the value of a group from what the reader returns."""
    if name not in _LENGTHS:
        return value
    if not value:
        return None
    day, _, hour = value.decode().partition('T')
    return datetime.fromisoformat(f'{day}T{hour}:00:00+00:00') if hour else date.fromisoformat(day)


# ---- Arguments


def _names_of(names: Sequence[Any]) -> tuple[str, ...]:
    all_names = get_args(GroupName)
    known = ', '.join(map(repr, all_names))
    if not names:
        raise TypeError(f'count_by() takes the names of what to count by: give some of {known}')
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f'{name!r} is not a name of what to count by: give some of {known}, each as an argument')
        if name not in all_names:
            raise ValueError(f'{name!r} is nothing to count by{hint(name, all_names)}: give some of {known}')
    return tuple(dict.fromkeys(names))


def _time_of(time: Any) -> str:
    times = get_args(TimeName)
    if time not in times:
        raise ValueError(f'time={time!r} is not a time of a job: give one of {", ".join(map(repr, times))}')
    return str(time)
