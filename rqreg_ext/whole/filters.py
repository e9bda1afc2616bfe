"""Which jobs are meant: the filters of find(), purge() and requeue_all()."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from rq.utils import now, str_to_date

from .arguments import score_of
from .job_fields import UNREADABLE, Row, Rows, Test, is_sortable

if TYPE_CHECKING:
    from typing_extensions import Unpack

Predicate = Callable[[Any], bool]


class JobFilters(TypedDict, total=False):
    """The filters by name; a job is meant when all that are given hold.

    job_id, func_name, description, worker_name: a glob as in fnmatch.fnmatchcase(), which must match the whole text, or
        a compiled re.Pattern, which must be found in it.
    exc_info: a text that the exception's text (`job.exc_info`) contains, or a re.Pattern that is found in it.
    meta: a key that `job.meta` has, or a mapping of keys and values that it has.
    enqueued_before, ended_before: earlier than this moment; enqueued_after, ended_after: at this moment or later. A
        datetime (in UTC if it has no time zone, as in RQ), a Unix timestamp in seconds, or a timedelta: so long ago.
    min_score, max_score: bounds of the entry's score, both included; a Unix timestamp in seconds for most registries.

    A job whose hash is gone, or cannot be read there, matches no filter but those on its id and its score.
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
        if len(tests) == 1:
            return tests[0]

        return lambda row: all(test(row) for test in tests)

    def matching(self, registry: Any, job_ids: Iterable[str]) -> list[str]:
        """Return those of the ids that all filters want but the ones on scores, in their order.

        One round trip, or none where nothing is asked of the jobs. Raises redis.exceptions.RedisError.
        """
        rows = Rows(registry)
        is_wanted = self.test(rows)
        selected = self.select(job_ids)
        if rows.are_empty or not selected:
            return selected
        return [job_id for job_id, _ in rows.matching(selected, is_wanted)]


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
    place = rows.column(column)

    def test(row: Row) -> bool:
        date = row[place]
        if not date:
            return False
        if not is_sortable(date):
            try:
                date = _written(str_to_date(date))
            except ValueError:
                return False
        return bool(after <= date and (not before or date < before))

    return test


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
        _written(_moment(name, filters[name])) if name in filters else b''
        for name in (f'{event}_after', f'{event}_before')
    )
    return after, before


def _moment(name: str, given: Any) -> datetime:
    try:
        if isinstance(given, datetime):
            return given.replace(tzinfo=timezone.utc) if given.tzinfo is None else given.astimezone(timezone.utc)
        if isinstance(given, timedelta):
            return now() - given
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return datetime.fromtimestamp(given, timezone.utc)
    except (OverflowError, ValueError, OSError) as error:
        raise ValueError(f'{name}={given!r} is out of the range of a datetime ({error})') from error
    raise TypeError(
        f'{name}={given!r} is no moment: give a datetime, a Unix timestamp in seconds, or a timedelta for so long ago'
    )


def _written(moment: datetime) -> bytes:
    """Return the moment, in UTC, as rq.utils.utcformat() writes it, with four digits for every year."""
    return f'{moment.replace(tzinfo=None).isoformat(timespec="microseconds")}Z'.encode()
