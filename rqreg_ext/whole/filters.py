"""Which jobs are meant: the filters of find(), purge() and requeue_all()."""

from __future__ import annotations

import fnmatch
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from rq.utils import now

from .arguments import score_of
from .job_fields import EVERY_JOB_HAS, UNREADABLE, Row, Rows, Test, sortable, written
from .result import NO_KNOWN_END, NO_KNOWN_ENQUEUE_TIME, NO_SUCH_JOB

if TYPE_CHECKING:
    from typing_extensions import Unpack

Predicate = Callable[[Any], bool]

# In 1973, before there were jobs: a smaller number of seconds is a duration.
_EARLIEST_TIMESTAMP = 10**8


class JobFilters(TypedDict, total=False):
    """The filters by name; a job is meant when all that are given hold.

    job_id, func_name, description, worker_name: a glob as in fnmatch.fnmatchcase(), which must match the whole text, or
        a compiled re.Pattern, which must be found in it.
    exc_info: a text that the exception's text (`job.exc_info`) contains, or a re.Pattern that is found in it.
    meta: a key that `job.meta` has, or a mapping of keys and values that it has.
    enqueued_before, ended_before: earlier than this moment; enqueued_after, ended_after: at this moment or later. A
        datetime with a time zone, a Unix timestamp in seconds, or a timedelta: so long ago. A datetime without a time
        zone is refused, and a number below 10**8, which can only be a duration.
    min_score, max_score: bounds of the entry's score, both included; a Unix timestamp in seconds for most registries.

    A job that failed has ended even where its hash does not say when: RQ leaves `ended_at` empty where a worker was
    killed or a job stopped, and as it was before where that was a retry. Its end is then the time of its latest result.
    A job whose hash is gone, or cannot be read there, matches no filter but those on its id and its score. The calls
    that change jobs count those of which nobody knows when they ended or were enqueued, by reason, in the result.
    """

    job_id: str | re.Pattern[str]
    func_name: str | re.Pattern[str]
    description: str | re.Pattern[str]
    worker_name: str | re.Pattern[str]
    exc_info: str | re.Pattern[str]
    meta: str | Mapping[Any, Any]
    enqueued_before: datetime | timedelta | float
    enqueued_after: datetime | timedelta | float
    ended_before: datetime | timedelta | float
    ended_after: datetime | timedelta | float
    min_score: float
    max_score: float


class Filters:
    """The filters that a call was given, checked.

    min_score, max_score: the bounds of the scores, or None: what reads the entries applies them.
    """

    __slots__ = ('_by_field', '_is_wanted_id', '_moments', 'is_empty', 'max_score', 'min_score')

    @classmethod
    def of(cls, **filters: Unpack[JobFilters]) -> Filters:
        """Check the filters. Raises TypeError and ValueError, which name the filter, its value and what it takes."""
        return cls(filters)

    def __init__(self, filters: Mapping[str, Any]) -> None:
        for name, value in filters.items():
            if name not in JobFilters.__annotations__:
                raise TypeError(f'there is no filter {name!r}: the filters are {", ".join(JobFilters.__annotations__)}')
            # None might mean all jobs, and what is meant to be purged is better said.
            if value is None:
                raise TypeError(f'{name}=None is no filter: leave {name} out where any will do')
        self.is_empty = not filters
        self.min_score, self.max_score = (
            score_of(name, filters[name]) if name in filters else None for name in ('min_score', 'max_score')
        )
        self._is_wanted_id = _glob('job_id', filters['job_id']) if 'job_id' in filters else None
        self._moments = {
            column: bounds for column in ('enqueued_at', 'ended_at') if any(bounds := _bounds(column, filters))
        }
        self._by_field = {name: make(name, filters[name]) for name, make in _PREDICATES.items() if name in filters}

    def select(self, job_ids: Iterable[str]) -> list[str]:
        """Return those that the filter on the id wants: no round trip."""
        return list(job_ids if self._is_wanted_id is None else filter(self._is_wanted_id, job_ids))

    def test(self, rows: Rows) -> Test:
        """Return the test of a job's row, and have the rows hold what it needs."""
        tests = [_between(rows, column, *bounds) for column, bounds in self._moments.items()]
        tests += [_holds(rows, field, predicate) for field, predicate in self._by_field.items()]
        return tests[0] if len(tests) == 1 else partial(_all_of, tests)

    def matching(self, registry: Any, job_ids: Iterable[str], unknown: Counter[str] | None = None) -> list[str]:
        """Return those of the ids that all filters want but the ones on scores, in their order.

        unknown: where to count the jobs of which nobody can tell, by reason.
        One round trip, or none where nothing is asked of the jobs; one more where a job has an end in its results only.
        Raises redis.exceptions.RedisError.
        """
        rows = Rows(registry)
        is_wanted = self.test(rows)
        selected = self.select(job_ids)
        if rows.are_empty or not selected:
            return selected
        return [job_id for job_id, _ in rows.matching(selected, is_wanted, unknown)]


# ---- Tests of rows


def _holds(rows: Rows, field: str, predicate: Predicate) -> Test:
    read = rows.reader(field)

    def test(row: Row) -> bool:
        try:
            value = read(row)
        except UNREADABLE:
            return False
        return value is not None and predicate(value)

    return test


def _between(rows: Rows, column: str, after: bytes, before: bytes) -> Test:
    """Compare moments as RQ writes them, which order as they are."""
    date_of, reason = _DATES[column](rows), _UNKNOWN[column]
    # By which a job without this date is told from one that is gone.
    rows.column(EVERY_JOB_HAS)

    def test(row: Row) -> bool | str:
        date = date_of(row)
        if not date:
            return reason if any(row) else NO_SUCH_JOB
        return after <= date and (not before or date < before)

    return test


def _all_of(tests: Iterable[Test], row: Row) -> bool | str:
    """Return False where one test fails, else the first reason why nobody can tell, else True."""
    answer: bool | str = True
    for test in tests:
        found = test(row)
        if not found:
            return False
        if answer is True:
            answer = found
    return answer


def _enqueued_at(rows: Rows) -> Callable[[Row], bytes]:
    place = rows.column('enqueued_at')
    return lambda row: sortable(row[place])


_DATES: dict[str, Callable[[Rows], Callable[[Row], bytes]]] = {'enqueued_at': _enqueued_at, 'ended_at': Rows.end}
_UNKNOWN = {'enqueued_at': NO_KNOWN_ENQUEUE_TIME, 'ended_at': NO_KNOWN_END}


# ---- What is given


def _glob(name: str, given: Any) -> Predicate:
    if isinstance(given, str):
        matches = re.compile(fnmatch.translate(given)).match
        return lambda text: matches(text) is not None
    return _search(name, given, 'a glob like "app.tasks.*"')


def _contained(name: str, given: Any) -> Predicate:
    if isinstance(given, str):
        return lambda text: given in text
    return _search(name, given, 'a text that is in it')


def _search(name: str, given: Any, otherwise: str) -> Predicate:
    if isinstance(given, re.Pattern) and isinstance(given.pattern, str):
        found: Callable[[str], Any] = given.search
        return lambda text: found(text) is not None
    raise TypeError(f'{name}={given!r} is neither a str nor a pattern of str: give {otherwise}, or re.compile(...)')


def _meta(name: str, given: Any) -> Predicate:
    if isinstance(given, str):
        return lambda meta: isinstance(meta, dict) and given in meta
    if not isinstance(given, Mapping):
        raise TypeError(f'{name}={given!r} is neither a str nor a mapping: give a key, or a dict of keys and values')
    if not given:
        raise ValueError(f'{name}={given!r} asks for nothing: give the keys and values that the meta must have')
    wanted = dict(given)
    return lambda meta: (
        isinstance(meta, Mapping) and all(key in meta and meta[key] == value for key, value in wanted.items())
    )


# In the order in which they are asked: what takes least first.
_PREDICATES: dict[str, Callable[[str, Any], Predicate]] = {
    'worker_name': _glob,
    'description': _glob,
    'func_name': _glob,
    'meta': _meta,
    'exc_info': _contained,
}


def _bounds(column: str, filters: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the moments, as RQ writes them, that bound a date; empty where there is no bound."""
    event = column.removesuffix('_at')
    after, before = (
        written(_moment(name, filters[name])) if name in filters else b''
        for name in (f'{event}_after', f'{event}_before')
    )
    return after, before


def _moment(name: str, given: Any) -> datetime:
    try:
        if isinstance(given, datetime):
            return _in_utc(name, given)
        if isinstance(given, timedelta):
            return _ago(name, given)
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return _of_timestamp(name, given)
    except (OverflowError, OSError) as error:
        raise ValueError(f'{name}={given!r} is out of the range of a datetime ({error})') from error
    raise TypeError(
        f'{name}={given!r} is no moment: give a datetime with a time zone, a Unix timestamp in seconds, '
        'or a timedelta for so long ago'
    )


def _in_utc(name: str, given: datetime) -> datetime:
    if given.utcoffset() is None:
        raise ValueError(
            f'{name}={given!r} has no time zone, and may mean local time or UTC: '
            'give one like datetime.now(timezone.utc), moment.astimezone() where it is local time, '
            'or a timedelta for so long ago'
        )
    return given.astimezone(timezone.utc)


def _ago(name: str, given: timedelta) -> datetime:
    if given < timedelta(0):
        raise ValueError(f'{name}={given!r} is in the future: give a timedelta that is not negative, for so long ago')
    return now() - given


def _of_timestamp(name: str, given: float) -> datetime:
    if math.isfinite(given) and given < _EARLIEST_TIMESTAMP:
        raise ValueError(
            f'{name}={given!r} can only be a duration, and is taken for a Unix timestamp: '
            f'give timedelta(seconds={given!r}) for so long ago, or a datetime with a time zone'
        )
    try:
        return datetime.fromtimestamp(given, timezone.utc)
    except ValueError as error:
        raise ValueError(
            f'{name}={given!r} is out of the range of a datetime ({error}): give a Unix timestamp in seconds'
        ) from error
