"""The filters that select jobs in find(), purge() and requeue_all()."""

from __future__ import annotations

import fnmatch
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, cast

from rq import utils
from rq.job import Job, JobStatus

from .._fastpath.wording import hint
from .arguments import scores_of
from .dates import sortable, written
from .job_fields import plain_call, plain_meta, reader_of
from .opaque import NotPlainError, Opaque
from .rows import EVERY_JOB_HAS, UNREADABLE, Reader, Row, Rows, Test

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Reasons why a filter cannot be decided for a job. The calls that change jobs count them in their result.
NO_SUCH_JOB = 'no such job'
NO_KNOWN_END = 'no known end'
NO_KNOWN_ENQUEUE_TIME = 'no known enqueue time'
NO_KNOWN_START_TIME = 'no known start time'
NO_KNOWN_CREATION_TIME = 'no known creation time'
UNREADABLE_DATA = 'unreadable data'
# The value that a filter compares is an object in a pickle, which no filter makes.
NOT_PLAIN = 'not known without unpickling'

Predicate = Callable[[Any], bool]

# March 1973: a smaller number of seconds was meant as a duration, not as a timestamp.
_EARLIEST_TIMESTAMP = 10**8


class JobFilters(TypedDict, total=False):
    """The filters of find(), purge() and requeue_all(): a job is selected if it matches all that are given.

    Times are a datetime with a time zone, a timedelta before now (`timedelta(days=7)` is a week ago), or a Unix
    timestamp in seconds. A datetime without a time zone, or a number below 10**8, raises ValueError.

    If RQ recorded no end for a job that failed, was stopped or finished (because its worker was killed, for example),
    the time of its latest result is used. A job for which a filter cannot be decided, because a time is unknown or the
    data cannot be read, does not match; purge() and requeue_all() count it as skipped. A job whose hash is gone matches
    only filters on its id and score.

    Nothing is unpickled: in args, kwargs and meta, only None, bool, numbers, str, bytes, tuples, lists, dicts, sets and
    the types of datetime are known; a filter on another object cannot be decided. A serializer that is not RQ's is
    called. A dict as a value matches a dict that has these keys and values, among others.

    Attributes:
        job_id: The job's id: a glob as in fnmatch.fnmatchcase(), or a compiled regular expression to search for.
        func_name: The name of the function, as `job.func_name`; a glob or a regular expression.
        description: `job.description`; a glob or a regular expression.
        worker_name: The name of the worker that ran the job; a glob or a regular expression.
        exc_info: A text, not empty, that `job.exc_info` contains, or a regular expression to search for in it.
        exc_type: The class of the exception, as the traceback names it (`KeyError`, `json.decoder.JSONDecodeError`); a
            glob or a regular expression.
        exc_message: A text, not empty, that the message of the exception contains, or a regular expression.
        args: A mapping of positions and values of the positional arguments: {0: 'acme'}.
        kwargs: The name of a keyword argument, or a mapping of names and values: {'site': 'acme'}.
        meta: A key that `job.meta` has, or a mapping of keys and values that it has: {'user': {'id': 5}}, or
            {('user', 'id'): 5} with the path to a value.
        status: A JobStatus or its name, or a collection of these.
        created_before: The job was created earlier than this time.
        created_after: The job was created at this time or later.
        enqueued_before: The job was enqueued earlier than this time.
        enqueued_after: The job was enqueued at this time or later.
        started_before: The job was started earlier than this time.
        started_after: The job was started at this time or later.
        ended_before: The job ended earlier than this time.
        ended_after: The job ended at this time or later.
        min_score: The lowest score of the job's entry: in most registries, a Unix timestamp in seconds.
        max_score: The highest score of the job's entry.
    """

    job_id: str | re.Pattern[str]
    func_name: str | re.Pattern[str]
    description: str | re.Pattern[str]
    worker_name: str | re.Pattern[str]
    exc_info: str | re.Pattern[str]
    exc_type: str | re.Pattern[str]
    exc_message: str | re.Pattern[str]
    args: Mapping[int, Any]
    kwargs: str | Mapping[Any, Any]
    meta: str | Mapping[Any, Any]
    status: str | Collection[str]
    created_before: datetime | timedelta | float
    created_after: datetime | timedelta | float
    enqueued_before: datetime | timedelta | float
    enqueued_after: datetime | timedelta | float
    started_before: datetime | timedelta | float
    started_after: datetime | timedelta | float
    ended_before: datetime | timedelta | float
    ended_after: datetime | timedelta | float
    min_score: float
    max_score: float


# The arguments of the calls that are not filters: each call takes some of these.
_OPTIONS_OF_FIND = ('desc', 'fields', 'order_by')
_OPTIONS = (
    'at_front',
    'chunk_size',
    'delete_job',
    'dry_run',
    'keep_newest',
    'limit',
    'progress',
    'rate',
    'wait_replicas',
    *_OPTIONS_OF_FIND,
)


def _no_filter(name: str) -> str:
    if name in _OPTIONS_OF_FIND:
        return (
            f'this call takes no {name}: give {name} to find(), and what find() returns to '
            'remove_many(), requeue_many() or cancel_many()'
        )
    if name in _OPTIONS:
        return f'this call takes no {name}: it is no filter, and only some calls that change jobs take it'
    near = hint(name, [*JobFilters.__annotations__, *_OPTIONS], 3)
    return f'there is no filter {name!r}{near}: the filters are {", ".join(JobFilters.__annotations__)}'


class Filters:
    """The filters passed to a call, after they were checked.

    Attributes:
        is_empty: Whether every job matches.
        min_score: The lowest score, or None. The code that reads the entries applies the bounds.
        max_score: The highest score, or None.
    """

    __slots__ = ('_by_field', '_matches_id', '_moments', 'is_empty', 'max_score', 'min_score')

    @classmethod
    def of(cls, **filters: Unpack[JobFilters]) -> Filters:
        """Check the filters. Raises TypeError or ValueError, which names the filter, its value and what it accepts."""
        return cls(filters)

    def __init__(self, filters: Mapping[str, Any]) -> None:
        for name, value in filters.items():
            if name not in JobFilters.__annotations__:
                raise TypeError(_no_filter(name))
            # A variable that is None by mistake must not make purge() delete all jobs.
            if value is None:
                raise TypeError(f'{name}=None is not a filter: leave {name} out to match any value')
        self.is_empty = not filters
        self.min_score, self.max_score = scores_of(filters.get('min_score'), filters.get('max_score'))
        self._matches_id = _glob('job_id', filters['job_id']) if 'job_id' in filters else None
        self._moments = {column: bounds for column in _DATES if any(bounds := _bounds(column, filters))}
        self._by_field = {name: make(name, filters[name]) for name, make in _PREDICATES.items() if name in filters}

    def select(self, job_ids: Iterable[str]) -> list[str]:
        """Return the ids that match the filter `job_id`. No round trip."""
        return list(job_ids if self._matches_id is None else filter(self._matches_id, job_ids))

    def test(self, rows: Rows) -> Test:
        """Return a function that tests a job's row, and add the columns it needs to `rows`."""
        tests = [_between(rows, column, *bounds) for column, bounds in self._moments.items()]
        tests += [_holds(_reader(rows, field), predicate) for field, predicate in self._by_field.items()]
        if len(tests) < 2:
            return tests[0] if tests else lambda row: True
        return partial(_all_of, tests)

    def matching(self, registry: Any, job_ids: Iterable[str], unknown: Counter[str] | None = None) -> list[str]:
        """Return the ids that match all filters except those on scores, in the order given.

        Args:
            registry: The registry of the jobs.
            job_ids: The ids to filter.
            unknown: Counts, by reason, the jobs for which a filter cannot be decided.

        Raises:
            redis.exceptions.RedisError: The server or the connection failed.

        Round trips:
            One, or none if no field of the jobs is needed. One more if a job's end is only known from its results.
        """
        rows = Rows(registry)
        test = self.test(rows)
        selected = self.select(job_ids)
        if rows.are_empty or not selected:
            return selected
        return [job_id for job_id, _ in rows.matching(selected, test, unknown)]


def fixed_in_time(filters: JobFilters) -> JobFilters:
    """Return the filters with a datetime for each timedelta before now: the same time in all calls that follow."""
    now = utils.now()
    fixed = {name: now - value if isinstance(value, timedelta) else value for name, value in filters.items()}
    return cast('JobFilters', fixed)


# ---- Tests of rows


def _holds(read: Reader, predicate: Predicate) -> Test:
    def test(row: Row) -> bool | str:
        try:
            value = read(row)
        except UNREADABLE:
            return UNREADABLE_DATA
        try:
            return value is not None and predicate(value)
        except NotPlainError:
            return NOT_PLAIN
        except RecursionError:
            return UNREADABLE_DATA

    return test


def _reader(rows: Rows, field: str) -> Reader:
    """Return the reader of a field, by a way that runs nothing of the job's data."""
    if field in ('args', 'kwargs'):
        call_of, index = plain_call(rows), ('args', 'kwargs').index(field)
        return lambda row: (call := call_of(row)) and call[index]
    if field == 'status':
        # A job that is gone has no status, one whose hash has none is created.
        exists, status_of = rows.column(EVERY_JOB_HAS), reader_of(rows, field)
        column = rows.column(field)
        return lambda row: status_of(row) if row[exists] or row[column] else None
    return plain_meta(rows) if field == 'meta' else reader_of(rows, field)


def _between(rows: Rows, column: str, after: bytes, before: bytes) -> Test:
    """Compare dates as the bytes that RQ writes: their order is the order of the times."""
    date_of, reason = _DATES[column](rows), _UNKNOWN[column]
    # Distinguishes a job without this date from a job that is gone.
    rows.column(EVERY_JOB_HAS)

    def test(row: Row) -> bool | str:
        date = date_of(row)
        if not date:
            return reason if any(row) else NO_SUCH_JOB
        return after <= date and (not before or date < before)

    return test


def _all_of(tests: Iterable[Test], row: Row) -> bool | str:
    """Return False if a test fails, else the reason of the first test that cannot be decided, else True."""
    answer: bool | str = True
    for test in tests:
        found = test(row)
        if not found:
            return False
        if answer is True:
            answer = found
    return answer


def _column(name: str) -> Callable[[Rows], Callable[[Row], bytes]]:
    def date_of(rows: Rows) -> Callable[[Row], bytes]:
        column = rows.column(name)
        return lambda row: sortable(row[column])

    return date_of


_DATES: dict[str, Callable[[Rows], Callable[[Row], bytes]]] = {
    'created_at': _column('created_at'),
    'enqueued_at': _column('enqueued_at'),
    'started_at': _column('started_at'),
    'ended_at': Rows.end,
}
_UNKNOWN = {
    'created_at': NO_KNOWN_CREATION_TIME,
    'enqueued_at': NO_KNOWN_ENQUEUE_TIME,
    'started_at': NO_KNOWN_START_TIME,
    'ended_at': NO_KNOWN_END,
}


# ---- The values of the filters


def _glob(name: str, given: Any) -> Predicate:
    if isinstance(given, str):
        matches = re.compile(fnmatch.translate(given)).match
        return lambda text: matches(text) is not None
    return _search(name, given, 'a glob like "app.tasks.*"')


def _contained(name: str, given: Any) -> Predicate:
    if isinstance(given, str):
        # Every text contains it: a variable that is empty by mistake must not make purge() delete all jobs.
        if not given:
            raise ValueError(
                f"{name}='' is found in every text: give a text that the exception has, "
                f'or leave {name} out to match any value'
            )
        if given[:1] == '*' or given[-1:] == '*':
            raise ValueError(
                f'{name}={given!r} is searched for as it stands, with its *: give {given.strip("*")!r}, which is found '
                f'anywhere in the text, or re.compile({re.escape(given)!r}) if the * is part of it'
            )
        return lambda text: given in text
    return _search(name, given, 'a text that it contains')


def _search(name: str, given: Any, alternative: str) -> Predicate:
    if isinstance(given, re.Pattern) and isinstance(given.pattern, str):
        found: Callable[[str], Any] = given.search
        return lambda text: found(text) is not None
    if callable(given) and hasattr(given, '__qualname__'):
        alternative = f'its name, {_name_of(name, given)!r}'
    elif isinstance(given, Job):
        alternative = f'its id, {given.id!r}'
    elif isinstance(given, (list, tuple, set, frozenset)):
        alternative = 'one text, for several re.compile("one|other")'
    raise TypeError(f'{name}={given!r} is neither a str nor a pattern of str: give {alternative}, or re.compile(...)')


def _name_of(name: str, given: Any) -> str:
    """Return the name of a function or class as RQ stores it in the field; a traceback leaves out `builtins`."""
    is_bare = name.startswith('exc_') and given.__module__ in ('builtins', '__main__')
    return given.__qualname__ if is_bare else f'{given.__module__}.{given.__qualname__}'


def _pairs(name: str, given: Any) -> Predicate:
    """Return the predicate for a mapping: that it has a key, or these keys and values."""
    if isinstance(given, str):
        return lambda value: _value_at(value, given) is not _MISSING
    if not isinstance(given, Mapping):
        raise TypeError(f'{name}={given!r} is neither a str nor a mapping: give a key, or a dict of keys and values')
    if not given:
        raise ValueError(f'{name}={given!r} is empty: give the keys and values that the {name} must have')
    return partial(_has_all, dict(given))


def _positions(name: str, given: Any) -> Predicate:
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{name}={given!r} is not a mapping: give a dict of positions and values, like {{0: 'acme'}}, "
            'or kwargs= for an argument that is passed by its name'
        )
    if not given:
        raise ValueError(f'{name}={given!r} is empty: give the positions and values that the {name} must have')
    for position in given:
        if not isinstance(position, int) or isinstance(position, bool):
            raise TypeError(f'{name}={given!r}: {position!r} is not a position, which are counted from 0')
    required = dict(given)
    return lambda args: _has_all(
        required, {position: args[position] for position in required if -len(args) <= position < len(args)}
    )


def _has_all(required: Mapping[Any, Any], value: Any) -> bool:
    """Return whether a value is a mapping that has these keys and values; raise NotPlainError if that is not known."""
    is_decidable = True
    for key, wanted in required.items():
        try:
            found = _value_at(value, key)
            if found is _MISSING:
                return False
            # Every mapping has all of an empty one.
            if not (_has_all(wanted, found) if isinstance(wanted, Mapping) and wanted else found == wanted):
                return False
        except NotPlainError:
            is_decidable = False
    if not is_decidable:
        raise NotPlainError
    return True


_MISSING = object()


def _value_at(value: Any, key: Any) -> Any:
    """Return what a mapping has for a key, or at the end of a path; _MISSING if it has none."""
    if isinstance(value, Opaque):
        raise NotPlainError
    if not isinstance(value, Mapping):
        return _MISSING
    if key in value:
        return value[key]
    if not isinstance(key, tuple) or len(key) < 2:
        return _MISSING
    for step in key:
        value = _value_at(value, step)
        if value is _MISSING:
            break
    return value


def _statuses(name: str, given: Any) -> Predicate:
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, (bytes, re.Pattern)) or not isinstance(texts, Collection):
        raise TypeError(f'{name}={given!r} is not a status: give a JobStatus, its name, or a collection of these')
    known = {status.value for status in JobStatus}
    for text in texts:
        if not isinstance(text, str) or text not in known:
            raise ValueError(f'{text!r} in {name} is not a status: give some of {", ".join(map(repr, sorted(known)))}')
    if not texts:
        raise ValueError(f'{name}={given!r} is empty: give the statuses that match, or leave {name} out')
    return frozenset(JobStatus(text) for text in texts).__contains__


# In the order in which the filters are tested: the cheapest first.
_PREDICATES: dict[str, Callable[[str, Any], Predicate]] = {
    'status': _statuses,
    'worker_name': _glob,
    'description': _glob,
    'func_name': _glob,
    'meta': _pairs,
    'args': _positions,
    'kwargs': _pairs,
    'exc_info': _contained,
    'exc_type': _glob,
    'exc_message': _contained,
}


def _bounds(column: str, filters: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the (inclusive) lower and (exclusive) upper bound of a date as RQ writes them, b'' for no bound."""
    event = column.removesuffix('_at')
    after, before = (
        written(moment_of_filter(name, filters[name])) if name in filters else b''
        for name in (f'{event}_after', f'{event}_before')
    )
    if after and before and after > before:
        raise ValueError(
            f'{event}_after={filters[f"{event}_after"]!r} is later than '
            f'{event}_before={filters[f"{event}_before"]!r}, so nothing matches: swap them'
        )
    return after, before


def moment_of_filter(name: str, given: Any) -> datetime:
    """Check a time that is given as `name`, and return it in UTC."""
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
        f'{name}={given!r} is not a time: give a datetime with a time zone, a Unix timestamp in seconds, '
        'or a timedelta before now'
    )


def _in_utc(name: str, given: datetime) -> datetime:
    if given.utcoffset() is None:
        raise ValueError(
            f'{name}={given!r} has no time zone, and may be local time or UTC: '
            'give one like datetime.now(timezone.utc), value.astimezone() if it is local time, '
            'or a timedelta before now'
        )
    return given.astimezone(timezone.utc)


def _ago(name: str, given: timedelta) -> datetime:
    if given < timedelta(0):
        raise ValueError(f'{name}={given!r} is in the future: give a timedelta before now, which is not negative')
    return utils.now() - given


def _of_timestamp(name: str, given: float) -> datetime:
    if math.isfinite(given) and given < _EARLIEST_TIMESTAMP:
        raise ValueError(
            f'{name}={given!r} looks like a duration, but would be a Unix timestamp: '
            f'give timedelta(seconds={given!r}) for a time before now, or a datetime with a time zone'
        )
    try:
        return datetime.fromtimestamp(given, timezone.utc)
    except ValueError as error:
        raise ValueError(
            f'{name}={given!r} is out of the range of a datetime ({error}): give a Unix timestamp in seconds'
        ) from error
