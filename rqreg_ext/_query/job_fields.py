"""Reading the fields of many jobs: a chunk in one round trip, decoding only what is needed.

RQ writes the fields in rq.job.Job.to_dict(), and reads them in Job.restore().
"""

from __future__ import annotations

import json
import pickle
import pickletools
import re
import zlib
from binascii import a2b_base64
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache, partial
from typing import Any

from rq import serializers
from rq.job import JobStatus, parse_job_id
from rq.results import Result
from rq.timeouts import BaseTimeoutException
from rq.utils import str_to_date

from .. import _core
from .._fastpath.exchange import VALUE, Command, exchange
from .._fastpath.locations import results_key
from .._fastpath.server_errors import is_denied, is_wrong_type
from .plain_values import plain_loader
from .tracebacks import ExceptionLine, exception_in

# The requested values of a job's hash, in the order of their columns; then the job's latest result if requested.
Row = list[Any]
FieldGetter = Callable[[Row], Any]
# Returns True, False, or the reason why it cannot be decided.
Test = Callable[[Row], 'bool | str']
# Returns what is wanted of a row, which is neither None nor a str, or the reason why that cannot be read.
Read = Callable[[Row], Any]

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
        self._exception: _LatestException | None = None
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

    def exception(self) -> _LatestException:
        """Return a function of a row that returns the exception of the job's latest failure."""
        if self._exception is None:
            self._exception = _LatestException(self)
        return self._exception

    def reader(self, field: str) -> FieldGetter:
        """Return a function of a row that returns this attribute as Job has it. It may raise UNREADABLE."""
        return _READERS[field](self)

    def matching(
        self, job_ids: Sequence[str], test: Test, unknown: Counter[str] | None = None, read: Read | None = None
    ) -> list[tuple[str, Any]]:
        """Return the ids and rows of the jobs that pass the test. If a job's hash is gone, its row has only None.

        Rows are tested as they arrive, while the server reads the next ones.

        Args:
            job_ids: The ids of the jobs.
            test: Called with each row.
            unknown: Counts, by reason, the jobs for which the test cannot be decided, or that cannot be read.
            read: Called with each row that passes; its result is returned in the place of the row.

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

    def __init__(self, test: Test, read: Read | None, empty_row: Row, end: End | None) -> None:
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


def pairs_of(reply: Any) -> dict[bytes, bytes]:
    """Return the fields of a hash or a stream entry as a dict; some clients return a dict, others a flat list."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


# ---- Plain values


def _of(name: str, decode: Callable[[bytes], Any], default: Any = None) -> Callable[[Rows], FieldGetter]:
    """Return the reader of one field of the hash, which returns `default` if the field is missing or empty."""

    def reader(rows: Rows) -> FieldGetter:
        column = rows.column(name)

        def read(row: Row) -> Any:
            value = row[column]
            return decode(value) if value else default

        return read

    return reader


def moment_of(date: bytes) -> datetime:
    """Return rq.utils.str_to_date(date), by a much faster way for dates in RQ's current format."""
    if is_sortable(date):
        return datetime.fromisoformat(f'{date[:-1].decode()}+00:00')
    return str_to_date(date)


# Dates in RQ's current format, in which the order of the bytes is the order of the times. This leaves out February 29,
# which not every year has: str_to_date() parses it.
_is_sortable = re.compile(
    rb"""
    (?!0000)\d{4}-
    (?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)
    T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z
    """,
    re.VERBOSE,
).fullmatch


def is_sortable(date: bytes) -> bool:
    """Return whether this is a date in RQ's current format; it may be False for one on February 29."""
    return _is_sortable(date) is not None


def sortable(date: bytes | None) -> bytes:
    """Return the date in RQ's current format; b'' if there is none, or if it cannot be parsed."""
    if not date:
        return b''
    if is_sortable(date):
        return date
    try:
        return written(str_to_date(date))
    except ValueError:
        return b''


def written(moment: datetime) -> bytes:
    """Format a time in UTC as rq.utils.utcformat() does, with four digits for every year."""
    return f'{moment.replace(tzinfo=None).isoformat(timespec="microseconds")}Z'.encode()


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


def _end(rows: Rows) -> FieldGetter:
    end_of = rows.end()

    def read(row: Row) -> datetime | None:
        end = end_of(row)
        return moment_of(end) if end else None

    return read


def _flag(value: bytes) -> bool:
    return bool(int(value))


def _status(value: bytes) -> JobStatus | str:
    status = value.decode()
    try:
        return JobStatus(status)
    except ValueError:
        # A status of another RQ release.
        return status


# ---- Serialized values


def _loads(serializer: Any, data: bytes) -> Any:
    try:
        return serializer.loads(data)
    except BaseTimeoutException:
        # The timeout of the RQ job that is running this code.
        raise
    except Exception as error:
        raise ValueError(f'the serializer cannot load {data[:100]!r}') from error


def _meta(rows: Rows) -> FieldGetter:
    column = rows.column('meta')
    serializer = rows.serializer

    def read(row: Row) -> Any:
        value = row[column]
        if not value:
            return {}
        try:
            return _loads(serializer, value)
        except ValueError:
            return {'unserialized': value}

    return read


def _inflated(data: bytes) -> bytes:
    """Decompress a value. Like RQ, accept one that is not compressed."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _part_of_call(index: int) -> Callable[[Rows], FieldGetter]:
    """Return the reader of one item of the job's call: function name, instance, args or kwargs."""

    def reader(rows: Rows) -> FieldGetter:
        column = rows.column('data')
        serializer = rows.serializer

        def read(row: Row) -> Any:
            data = row[column]
            if data is None:
                return None
            call = _loads(serializer, _inflated(data))
            if not isinstance(call, (tuple, list)) or len(call) != 4:
                raise ValueError(f'the data of a job is not a function, instance, args and kwargs: {call!r:.100}')
            return call[index]

        return read

    return reader


# ---- The name of the function, read without unpickling its arguments

# Data of up to this many bytes is decompressed completely: that is faster than decompressing its beginning first.
_SHORT = 1000
_BEGINNING = 512
_TEXTS = ('SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8', 'UNICODE')
_decode_json = json.JSONDecoder().raw_decode


def _func_name(rows: Rows) -> FieldGetter:
    loads = getattr(rows.serializer, 'loads', None)
    if loads is pickle.loads:
        first = _first_of_pickle
    elif loads is serializers.JSONSerializer.loads:
        first = _first_of_json
    else:
        return _loaded_func_name(rows)
    column = rows.column('data')

    def read(row: Row) -> Any:
        data = row[column]
        if data is None:
            return None
        if len(data) > _SHORT:
            try:
                return first(_beginning(data))
            except ValueError:
                # The name is longer than the beginning.
                pass
        return first(_inflated(data))

    return read


def _loaded_func_name(rows: Rows) -> FieldGetter:
    read = _part_of_call(0)(rows)

    def read_name(row: Row) -> Any:
        name = read(row)
        if not isinstance(name, str):
            raise ValueError(f'the function of a job is not a name: {name!r:.100}')
        return name

    return read_name


def _beginning(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _BEGINNING)
    except zlib.error:
        return data


def _first_of_pickle(data: bytes) -> Any:
    """Return the str that is the first item of a pickled tuple. Nothing in the pickle is executed."""
    # A fast way for what RQ's default serializer writes: PROTO, FRAME, MARK, SHORT_BINUNICODE, length, text.
    if data[:1] == b'\x80' and data[2:3] == b'\x95' and data[11:13] == b'(\x8c':
        return data[14 : 14 + data[13]].decode()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _TEXTS:
            return argument
        if opcode.name not in ('PROTO', 'FRAME', 'MARK'):
            break
    raise ValueError(f'the data of a job is not a pickled call: {data[:100]!r}')


def _first_of_json(data: bytes) -> Any:
    """Return the str that is the first item of a JSON array."""
    # The data may be cut in the middle of a character, which then comes after the name.
    text = data.decode(errors='ignore')
    if not text.startswith('["'):
        raise ValueError(f'the data of a job is not a call in JSON: {text[:100]!r}')
    return str(_decode_json(text, 1)[0])


# ---- The text of the exception

_FAILED = str(Result.Type.FAILED.value).encode()
_FIELDS_OF_FAILURE = [b'type', b'exc_string']


def _bytes_of(written: bytes) -> bytes:
    return zlib.decompress(_core.decode_base64(written) or a2b_base64(written))


def _text_of(written: bytes) -> str:
    return _bytes_of(written).decode()


def _exception_of(written: bytes) -> ExceptionLine:
    return exception_in(_bytes_of(written))


# Jobs that failed for the same reason have the same text, and decompressing it takes longer than everything else.
_short_text_of = lru_cache(maxsize=64)(_text_of)
_short_exception_of = lru_cache(maxsize=64)(_exception_of)
_SHORT_TEXT = 8000


def _latest_failure(
    rows: Rows, of_result: Callable[[bytes], Any], of_hash: Callable[[bytes], Any]
) -> Callable[[Row], Any]:
    """Return a function of a row that reads Job.exc_info: from the latest result if that is a failure, else the hash.

    It returns what one of the functions returns for what is written there; None if there is nothing.
    """
    column = rows.column('exc_info')
    rows.add_results()

    def read(row: Row) -> Any:
        if row[-1]:
            _, fields = row[-1][0]
            # The order in which RQ writes the fields, or any other.
            if type(fields) is list and fields[::4][:2] == _FIELDS_OF_FAILURE:
                kind, text = fields[1], fields[5]
            else:
                result = pairs_of(fields)
                kind, text = result.get(b'type'), result.get(b'exc_string')
            if kind == _FAILED:
                return of_result(text) if text else None
        value = row[column]
        return of_hash(value) if value else None

    return read


def _exc_info(rows: Rows) -> FieldGetter:
    return _latest_failure(
        rows,
        lambda text: _short_text_of(text) if len(text) <= _SHORT_TEXT else _text_of(text),
        lambda text: _inflated(text).decode(),
    )


class _LatestException:
    """Returns the exception that the text of a job's latest failure ends with; None if there is no text."""

    def __init__(self, rows: Rows) -> None:
        self._read = _latest_failure(
            rows,
            lambda text: _short_exception_of(text) if len(text) <= _SHORT_TEXT else _exception_of(text),
            lambda text: exception_in(_inflated(text)),
        )
        # A cache for one row, which is asked about several times in succession.
        self._last: Row | None = None
        self._last_exception: ExceptionLine | None = None

    def __call__(self, row: Row) -> ExceptionLine | None:
        """Return the exception, or None. It may raise UNREADABLE."""
        if row is not self._last:
            exception = self._read(row)
            self._last, self._last_exception = row, exception
        return self._last_exception


def _of_exception(index: int) -> Callable[[Rows], FieldGetter]:
    """Return the reader of the type or the message of the exception."""

    def reader(rows: Rows) -> FieldGetter:
        exception_of = rows.exception()

        def read(row: Row) -> str | None:
            exception = exception_of(row)
            return None if exception is None else exception[index]

        return read

    return reader


# ---- Values for filters, in which nothing of the data is run


def plain_meta(rows: Rows) -> FieldGetter:
    """Return a function of a row that returns the metadata, plain values only; None if the job is gone.

    It may raise UNREADABLE. A serializer that is not RQ's is called.
    """
    column, loads = rows.column('meta'), _plain_loads(rows.serializer)
    rows.column(EVERY_JOB_HAS)
    return lambda row: loads(row[column]) if row[column] else ({} if any(row) else None)


def plain_call(rows: Rows) -> FieldGetter:
    """Return a function of a row that returns the job's args and kwargs, as plain_meta() does."""
    column, loads = rows.column('data'), _plain_loads(rows.serializer)
    # Filters on args and on kwargs ask for the same row.
    last: Any = None
    last_call: Any = None

    def read(row: Row) -> Any:
        nonlocal last, last_call
        data = row[column]
        if data is None:
            return None
        if data is not last:
            last, last_call = data, _arguments_in(loads(_inflated(data)))
        return last_call

    return read


def _plain_loads(serializer: Any) -> Callable[[bytes], Any]:
    return plain_loader(serializer) or partial(_loads, serializer)


def _arguments_in(call: Any) -> tuple[Any, Any]:
    is_call = isinstance(call, (tuple, list)) and len(call) == 4
    if not is_call or not isinstance(call[2], (tuple, list)) or not isinstance(call[3], dict):
        raise ValueError('the data of a job is not a function, instance, args and kwargs')
    return call[2], call[3]


_READERS: dict[str, Callable[[Rows], FieldGetter]] = {
    'func_name': _func_name,
    'instance': _part_of_call(1),
    'args': _part_of_call(2),
    'kwargs': _part_of_call(3),
    'description': _of('description', bytes.decode),
    'meta': _meta,
    'exc_info': _exc_info,
    'exc_type': _of_exception(0),
    'exc_message': _of_exception(1),
    'status': _of('status', _status, JobStatus.CREATED),
    'origin': _of('origin', bytes.decode, ''),
    'worker_name': _of('worker_name', bytes.decode),
    'group_id': _of('group_id', bytes.decode),
    'created_at': _of('created_at', moment_of),
    'enqueued_at': _of('enqueued_at', moment_of),
    'started_at': _of('started_at', moment_of),
    'ended_at': _of('ended_at', moment_of),
    'end': _end,
    'last_heartbeat': _of('last_heartbeat', moment_of),
    'timeout': _of('timeout', int),
    'ttl': _of('ttl', int),
    'result_ttl': _of('result_ttl', int),
    'failure_ttl': _of('failure_ttl', int),
    'retries_left': _of('retries_left', int),
    'number_of_retries': _of('number_of_retries', int),
    'retry_intervals': _of('retry_intervals', json.loads),
    'repeats_left': _of('repeats_left', int),
    'repeat_intervals': _of('repeat_intervals', json.loads),
    'enqueue_at_front': _of('enqueue_at_front', _flag),
    'allow_dependency_failures': _of('allow_dependency_failures', _flag),
}
FIELDS = tuple(_READERS)


def fields_of(names: Any) -> tuple[str, ...]:
    """Check `fields`, and return the names without duplicates."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f'fields={names!r} is not a collection of names: for one, give ("func_name",)')
    fields = tuple(dict.fromkeys(names))
    for name in fields:
        if name not in _READERS:
            raise ValueError(f'{name!r} in fields is not a field: give some of {", ".join(FIELDS)}')
    return fields
