"""Reading rows of many jobs: a chunk in one round trip, only the requested fields, and tests as the replies arrive."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

from rq.job import JobStatus, parse_job_id

from .._fastpath.exchange import VALUE, Command, exchange
from .._fastpath.rq_keys import results_key
from .._fastpath.server_errors import is_denied, is_wrong_type
from .dates import is_sortable, sortable, written
from .hashes import pairs_of

# The requested values of a job's hash, in the order of their columns; then the job's latest result if requested.
Row = list[Any]
# Reads one thing of a row. It may raise UNREADABLE.
Reader = Callable[[Row], Any]
# Returns True, False, or the reason why it cannot be decided.
Test = Callable[[Row], 'bool | str']

Made = TypeVar('Made')

# Every job has this field: a job without the other requested fields can be distinguished from one that is gone.
EVERY_JOB_HAS = 'created_at'

# The exceptions that a reader raises for a value that RQ would not have written.
UNREADABLE = (ValueError, RecursionError, zlib.error)


class Rows:
    """Reads rows: for each job, the columns that readers have requested."""

    def __init__(self, registry: Any) -> None:
        self.serializer = registry.serializer
        self._registry = registry
        self._columns: dict[str, int] = {}
        self._with_results = False
        self._end: End | None = None
        self._shared: dict[Callable[[Rows], Any], Any] = {}
        # Whether the user may not run HMGET, so that hashes are read by HGETALL, as RQ reads them.
        self._uses_hgetall = False

    @property
    def are_empty(self) -> bool:
        """Whether no column was requested."""
        return not self._columns

    def width(self) -> int:
        """Return the number of columns, not counting the job's latest result."""
        return len(self._columns)

    def column(self, name: str) -> int:
        """Request a field of the job's hash, and return its index in a row."""
        return self._columns.setdefault(name, len(self._columns))

    def add_results(self) -> None:
        """Append the job's latest result to each row; None if the job is gone, because results can outlive it."""
        self.column(EVERY_JOB_HAS)
        self._with_results = True

    def end(self) -> End:
        """Return a function of a row that returns when the job ended."""
        if self._end is None:
            self._end = End(self)
        return self._end

    def shared(self, make_reader: Callable[[Rows], Made]) -> Made:
        """Return the one reader that this function makes for these rows."""
        if make_reader not in self._shared:
            self._shared[make_reader] = make_reader(self)
        made: Made = self._shared[make_reader]
        return made

    def matching(
        self, job_ids: Sequence[str], test: Test, unknown: Counter[str] | None = None, read: Reader | None = None
    ) -> list[tuple[str, Any]]:
        """Return the ids and rows of the jobs that pass the test. If a job's hash is gone, its row has only None.

        Rows are tested as they arrive, while the server reads the next ones.

        Args:
            job_ids: The ids of the jobs.
            test: Called with each row.
            unknown: Counts, by reason, the jobs for which the test cannot be decided, or that cannot be read.
            read: Called with each row that passes. It returns what takes the place of the row, neither None nor a str;
                or the reason why that cannot be read, a str.

        Round trips:
            One. One more if a key has another type than RQ's, and one more for the latest results if the end of jobs
            is requested and the hash of some has none.
        """
        # An entry may hold more than the job id; RQ removes the rest before it reads the hash.
        hashes = [parse_job_id(job_id) for job_id in job_ids]
        tester = _RowTester(test, read, self._empty_row(), None if self._with_results else self._end)
        if self._uses_hgetall:
            replies = rows = [tester.test_row(row) for row in self._read(hashes)]
        elif self._with_results:
            replies = self._ask(hashes, tester.keep_hash, tester.test_results)
            rows = replies[1::2]
        else:
            rows = replies = self._ask(hashes, tester.test_row)
        if _have_error(replies):
            rows = list(map(tester.test_row, self._read(hashes)))
        self._test_with_results(hashes, rows, tester)
        if unknown is not None:
            unknown.update(row for row in rows if isinstance(row, str))
        return [
            (job_id, row)
            for job_id, row in zip(job_ids, rows, strict=True)
            if row is not None and not isinstance(row, str)
        ]

    def _test_with_results(self, hashes: Sequence[str], rows: list[Any], tester: _RowTester) -> None:
        """Read the latest results of the jobs whose hash has no end, and test their rows again."""
        indexes = [index for index, row in enumerate(rows) if isinstance(row, _RowWithoutEnd)]
        if not indexes:
            return
        results = self._replies([latest_result(hashes[index], VALUE) for index in indexes])
        for index, result in zip(indexes, results, strict=True):
            # A key of another type holds no results.
            rows[index] = tester.test_row([*rows[index], None if isinstance(result, Exception) else result])

    def _read(self, hashes: Sequence[str]) -> list[Row]:
        """Return the row of each job."""
        # A key of another type holds no job, and no results.
        replies = [reply if type(reply) is list else None for reply in self._ask(hashes, VALUE, VALUE)]
        if not self._with_results:
            return [reply or self._empty_row() for reply in replies]
        rows = [reply or self._empty_row() for reply in replies[::2]]
        for row, results in zip(rows, replies[1::2], strict=True):
            row.append(results if any(row) else None)
        return rows

    def _empty_row(self) -> Row:
        return [None] * len(self._columns)

    def _ask(self, hashes: Sequence[str], hash_shape: Any, results_shape: Any = VALUE) -> list[Any]:
        """Return the replies in these shapes: for each job its hash, followed by its latest result if requested.

        If the user may not run HMGET, the replies are errors, and the next call uses HGETALL.
        """
        key_for = self._registry.job_class.key_for
        commands: list[Command] = []
        for job_id in hashes:
            key = key_for(job_id)
            if self._uses_hgetall:
                commands.append((self._row_of_hash, 'HGETALL', key))
            else:
                commands.append((hash_shape, 'HMGET', key, *self._columns))
            if self._with_results:
                commands.append(latest_result(job_id, results_shape))
        return self._replies(commands)

    def _replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies. Raises the server's errors, except WRONGTYPE."""
        replies = exchange(self._registry.connection, commands)
        if not _have_error(replies):
            return replies
        if not self._uses_hgetall and any(map(is_denied, replies[:: 1 + self._with_results])):
            self._uses_hgetall = True
            return replies
        for reply in replies:
            if isinstance(reply, Exception) and not is_wrong_type(reply):
                raise reply
        return replies

    def _row_of_hash(self, fields: Any) -> Row:
        """Return the row of a job from all fields of its hash."""
        values = pairs_of(fields)
        return [values.get(name.encode(), values.get(name)) for name in self._columns]  # type: ignore[call-overload]


def _have_error(replies: Iterable[Any]) -> bool:
    # A loop, because any() of a generator takes three times as long, and there are thousands.
    for reply in replies:  # noqa: SIM110
        if isinstance(reply, Exception):
            return True
    return False


def latest_result(job_id: str, shape: Any) -> Command:
    """Return the command that reads the latest result of a job."""
    return (shape, 'XREVRANGE', results_key(job_id), '+', '-', 'COUNT', 1)


class _RowWithoutEnd(list[Any]):
    """A row of a job that has ended, according to its status, but has no end in its hash."""


class _RowTester:
    """Tests rows one after another, as their replies arrive."""

    def __init__(self, test: Test, read: Reader | None, empty_row: Row, end: End | None) -> None:
        self._test = test
        self._read = read
        self._row = empty_row
        self._end = end

    def test_row(self, row: Row) -> Any:
        """Return the row, or what is read of it, if it passes; None if it fails; or the reason why that is unknown."""
        passes = self._test(row)
        if passes is False:
            return None
        if self._end is not None and self._end.needs_result(row):
            return _RowWithoutEnd(row)
        if passes is not True:
            return str(passes)
        return row if self._read is None else self._read(row)

    def keep_hash(self, fields: Row) -> None:
        """Keep the fields of a hash until its results arrive, which are the next reply."""
        self._row = fields

    def test_results(self, results: Any) -> Any:
        """Append the latest result to the row of the last hash, and return what test_row() returns."""
        row = self._row
        row.append(results if any(row) else None)
        return self.test_row(row)


# ---- The end of a job

# The statuses of jobs that have run and will not run again by themselves.
_ENDED = tuple(status.value.encode() for status in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.FINISHED))


class End:
    """Returns when the job of a row ended, in RQ's current date format; b'' if that is unknown.

    RQ writes no `ended_at` if the worker was killed or the job was stopped, and keeps that of the previous run if
    the job was retried. Then the job's end is the time of its latest result, which is the id of a stream entry.
    """

    def __init__(self, rows: Rows) -> None:
        self._ended_at, self._started_at, self._enqueued_at, self._status = (
            rows.column(name) for name in ('ended_at', 'started_at', 'enqueued_at', 'status')
        )
        self._width = rows.width
        # A cache for one row, which is asked about several times in succession.
        self._last: Row | None = None
        self._last_end = b''

    def __call__(self, row: Row) -> bytes:
        """Return when the job ended, or b''."""
        end = self._in_hash(row)
        if end or not self._has_ended(row) or len(row) == self._width() or not row[-1]:
            return end
        result_id, _ = row[-1][0]
        try:
            return written(datetime.fromtimestamp(int(result_id.partition(b'-')[0]) / 1000, timezone.utc))
        except (ValueError, OverflowError, OSError):
            # An id that RQ did not make: a stream takes any number of milliseconds.
            return end

    def needs_result(self, row: Row) -> bool:
        """Return whether the end can only be known from the job's latest result, which the row does not have yet."""
        return not self._in_hash(row) and self._has_ended(row) and len(row) == self._width()

    def _has_ended(self, row: Row) -> bool:
        return row[self._status] in _ENDED

    def _in_hash(self, row: Row) -> bytes:
        if row is not self._last:
            self._last, self._last_end = row, self._read(row)
        return self._last_end

    def _read(self, row: Row) -> bytes:
        end, started_at, enqueued_at = row[self._ended_at], row[self._started_at], row[self._enqueued_at]
        # The usual case: all dates are in the current format, so they are compared without parsing.
        if end and is_sortable(end) and (started_at or b'') <= end and (enqueued_at or b'') <= end:
            return bytes(end)
        end = sortable(end)
        if not end or (sortable(started_at) <= end and sortable(enqueued_at) <= end):
            return end
        return b'' if self._has_ended(row) else end
