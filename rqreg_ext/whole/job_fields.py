"""What is asked about jobs, fetched a chunk at a time and decoded only as far as needed.

How RQ writes each attribute is rq.job.Job.to_dict(), and how it reads it Job.restore().
"""

from __future__ import annotations

import json
import pickle
import pickletools
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from rq import serializers
from rq.job import JobStatus, parse_job_id
from rq.results import Result
from rq.timeouts import BaseTimeoutException
from rq.utils import str_to_date

from .._exchange import VALUE, Command, exchange
from .._rights import is_denied

# The values of a job's hash that were asked for, in the order of their columns; behind them the job's latest result.
Row = list[Any]
Reader = Callable[[Row], Any]
# True, False, or the reason why nobody can tell.
Test = Callable[[Row], 'bool | str']

# A field by which a job without the other fields that are asked for is told from one that is gone.
EVERY_JOB_HAS = 'created_at'

# What a reader raises for a value that is not as RQ writes it.
UNREADABLE = (ValueError, zlib.error)

_results_key: Callable[[str], str] = Result.get_key


class Rows:
    """The columns that readers ask for, and the rows of jobs with them."""

    def __init__(self, registry: Any) -> None:
        self.serializer = registry.serializer
        self._registry = registry
        self._columns: dict[str, int] = {}
        self._with_results = False
        self._end: End | None = None
        # Whether the user may read hashes only as RQ does, with all their fields.
        self._by_hgetall = False

    @property
    def are_empty(self) -> bool:
        """Whether nothing is asked for that stands in the jobs."""
        return not self._columns

    def width(self) -> int:
        """Return how many columns a row has, before its job's latest result."""
        return len(self._columns)

    def column(self, name: str) -> int:
        """Return where a row has this field of the job's hash."""
        return self._columns.setdefault(name, len(self._columns))

    def add_results(self) -> None:
        """Have the job's latest result at the end of each row; not where the job is gone, which its results outlive."""
        self.column(EVERY_JOB_HAS)
        self._with_results = True

    def end(self) -> End:
        """Return what gives the end of a row's job. Where its hash has none, the row has its latest result."""
        if self._end is None:
            self._end = End(self)
        return self._end

    def reader(self, field: str) -> Reader:
        """Return what gives a row's value of an attribute of the job, as Job has it; it may raise UNREADABLE."""
        return _READERS[field](self)

    def matching(
        self, job_ids: Sequence[str], is_wanted: Test, unknown: Counter[str] | None = None
    ) -> list[tuple[str, Row]]:
        """Return the jobs that are wanted, each with its row; a row is of None where the job's hash is gone.

        unknown: where to count the jobs of which nobody can tell whether they are wanted, by reason.
        A row is looked at as soon as it is read, while the server reads the next ones. One round trip, and another one
        where a key is not RQ's, and one for the latest results of jobs whose hash has no end, if that is asked for.
        """
        # An entry that is no id of a job is cut by RQ before it looks for the hash.
        hashes = [parse_job_id(job_id) for job_id in job_ids]
        look = _Look(is_wanted, self._nothing(), self._end)
        if self._by_hgetall:
            replies = rows = [look.at_row(row) for row in self._read(hashes)]
        elif self._with_results:
            replies = self._ask(hashes, look.at_hash, look.at_results)
            rows = replies[1::2]
        else:
            rows = replies = self._ask(hashes, look.at_row)
        if any(isinstance(reply, Exception) for reply in replies):
            rows = list(map(look.at_row, self._read(hashes)))
        self._add_ends(hashes, rows, look)
        if unknown is not None:
            unknown.update(row for row in rows if isinstance(row, str))
        return [(job_id, row) for job_id, row in zip(job_ids, rows, strict=True) if isinstance(row, list)]

    def _add_ends(self, hashes: Sequence[str], rows: list[Any], look: _Look) -> None:
        """Look once more at the rows whose hash has no end, with the job's latest result."""
        places = [place for place, row in enumerate(rows) if isinstance(row, _RowWithoutEnd)]
        if not places:
            return
        results = self._replies([_latest_result(hashes[place], VALUE) for place in places])
        for place, result in zip(places, results, strict=True):
            # A key of another type holds no results.
            rows[place] = look.at_row([*rows[place], None if isinstance(result, Exception) else result])

    def _read(self, hashes: Sequence[str]) -> list[Row]:
        """Return the row of each job."""
        # A key of another type holds no job, and no results.
        replies = [reply if type(reply) is list else None for reply in self._ask(hashes, VALUE, VALUE)]
        if not self._with_results:
            return [reply or self._nothing() for reply in replies]
        rows = [reply or self._nothing() for reply in replies[::2]]
        for row, results in zip(rows, replies[1::2], strict=True):
            row.append(results if any(row) else None)
        return rows

    def _nothing(self) -> Row:
        return [None] * len(self._columns)

    def _ask(self, hashes: Sequence[str], of_hash: Any, of_results: Any = VALUE) -> list[Any]:
        """Return the replies in these shapes: of each job its hash, and behind it its results if asked for.

        Where the user turns out not to be allowed HMGET, the errors stand for the hashes; the next call goes without.
        """
        key_for = self._registry.job_class.key_for
        commands: list[Command] = []
        for job_id in hashes:
            key = key_for(job_id)
            if self._by_hgetall:
                commands.append((self._row_of_all, 'HGETALL', key))
            else:
                commands.append((of_hash, 'HMGET', key, *self._columns))
            if self._with_results:
                commands.append(_latest_result(job_id, of_results))
        return self._replies(commands)

    def _replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies. Raises the server's error, but for a key of another type."""
        replies = exchange(self._registry.connection, commands)
        if not self._by_hgetall and any(map(is_denied, replies[:: 1 + self._with_results])):
            self._by_hgetall = True
            return replies
        for reply in replies:
            if isinstance(reply, Exception) and not is_of_wrong_type(reply):
                raise reply
        return replies

    def _row_of_all(self, fields: Any) -> Row:
        """Return the row of a job of which the whole hash was read."""
        found = pairs_of(fields)
        return [found.get(name.encode(), found.get(name)) for name in self._columns]  # type: ignore[call-overload]


def _latest_result(job_id: str, shape: Any) -> Command:
    return (shape, 'XREVRANGE', _results_key(job_id), '+', '-', 'COUNT', 1)


class _RowWithoutEnd(list[Any]):
    """A row whose job has ended, as its status says, and has no end in its hash."""


class _Look:
    """A look at rows, one after the other, while they are read."""

    def __init__(self, is_wanted: Test, nothing: Row, end: End | None) -> None:
        self._is_wanted = is_wanted
        self._row = nothing
        self._end = end

    def at_row(self, row: Row) -> Row | str | None:
        """Return the row if it is wanted, None if not, or the reason why nobody can tell."""
        verdict = self._is_wanted(row)
        if verdict is False:
            return None
        if self._end is not None and self._end.needs_result(row):
            return _RowWithoutEnd(row)
        return row if verdict is True else str(verdict)

    def at_hash(self, fields: Row) -> None:
        """Take note of what a hash has, for the reply that comes next."""
        self._row = fields

    def at_results(self, results: Any) -> Row | str | None:
        """Return what at_row() does of the row with the latest result at its end."""
        row = self._row
        row.append(results if any(row) else None)
        return self.at_row(row)


def is_of_wrong_type(error: Exception) -> bool:
    """Tell whether the server refused because the key holds something that is not RQ's."""
    return str(error).startswith('WRONGTYPE')


def pairs_of(reply: Any) -> dict[bytes, bytes]:
    """Return the fields of a hash or of a stream's entry, which come in line or, by some clients, as a dict."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


# ---- Plain values


def _of(column: str, decode: Callable[[bytes], Any], otherwise: Any = None) -> Callable[[Rows], Reader]:
    """Return what makes the reader of one field of the hash; where it is missing or empty, Job has `otherwise`."""

    def reader(rows: Rows) -> Reader:
        place = rows.column(column)

        def read(row: Row) -> Any:
            value = row[place]
            return decode(value) if value else otherwise

        return read

    return reader


def moment_of(date: bytes) -> datetime:
    """Return what RQ's str_to_date() does, which takes far longer for the dates that RQ writes today."""
    if is_sortable(date):
        return datetime.fromisoformat(f'{date[:-1].decode()}+00:00')
    return str_to_date(date)


def is_sortable(date: bytes) -> bool:
    """Tell whether the date is written as RQ writes it today, so that dates order as their bytes do."""
    return len(date) == len('2024-02-29T12:30:00.000000Z') and date.endswith(b'Z')


def sortable(date: bytes | None) -> bytes:
    """Return the date as RQ writes it today; empty for none, and for what is no date."""
    if not date:
        return b''
    if is_sortable(date):
        return date
    try:
        return written(str_to_date(date))
    except ValueError:
        return b''


def written(moment: datetime) -> bytes:
    """Return the moment, in UTC, as rq.utils.utcformat() writes it, with four digits for every year."""
    return f'{moment.replace(tzinfo=None).isoformat(timespec="microseconds")}Z'.encode()


# ---- The end of a job

# The statuses of jobs that have run, and do not run again by themselves.
_ENDED = tuple(status.value.encode() for status in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.FINISHED))


class End:
    """When a job ended, as RQ writes dates; empty where nobody knows.

    RQ writes no `ended_at` for a job whose worker was killed, or that was stopped, and leaves that of the run before
    where it was a retry. The end of such a job is the time of its latest result: the id of an entry of a stream.
    """

    def __init__(self, rows: Rows) -> None:
        self._ended_at, self._started_at, self._enqueued_at, self._status = (
            rows.column(name) for name in ('ended_at', 'started_at', 'enqueued_at', 'status')
        )
        self._width = rows.width
        # The row that was asked about last, which is asked about more than once, and the end in its hash.
        self._last: Row | None = None
        self._last_end = b''

    def __call__(self, row: Row) -> bytes:
        """Return the end of a row's job."""
        end = self._in_hash(row)
        if end or not self._has_ended(row) or len(row) == self._width() or not row[-1]:
            return end
        result_id, _ = row[-1][0]
        return written(datetime.fromtimestamp(int(result_id.partition(b'-')[0]) / 1000, timezone.utc))

    def needs_result(self, row: Row) -> bool:
        """Tell whether the job's latest result is to be added to the row."""
        return not self._in_hash(row) and self._has_ended(row) and len(row) == self._width()

    def _has_ended(self, row: Row) -> bool:
        return row[self._status] in _ENDED

    def _in_hash(self, row: Row) -> bytes:
        if row is not self._last:
            self._last, self._last_end = row, self._read(row)
        return self._last_end

    def _read(self, row: Row) -> bytes:
        end, started_at, enqueued_at = row[self._ended_at], row[self._started_at], row[self._enqueued_at]
        # Of most jobs, all dates are written so that they order as they are.
        if end and is_sortable(end) and (started_at or b'') <= end and (enqueued_at or b'') <= end:
            return bytes(end)
        end = sortable(end)
        if not end or (sortable(started_at) <= end and sortable(enqueued_at) <= end):
            return end
        return b'' if self._has_ended(row) else end


def _end(rows: Rows) -> Reader:
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
        # Of another RQ.
        return status


# ---- What the job's serializer wrote


def _loads(serializer: Any, data: bytes) -> Any:
    try:
        return serializer.loads(data)
    except BaseTimeoutException:
        # The time of the job that we run in is over.
        raise
    except Exception as error:
        raise ValueError(f'the serializer cannot load {data[:100]!r}') from error


def _meta(rows: Rows) -> Reader:
    place = rows.column('meta')
    serializer = rows.serializer

    def read(row: Row) -> Any:
        value = row[place]
        if not value:
            return {}
        try:
            return _loads(serializer, value)
        except ValueError:
            return {'unserialized': value}

    return read


def _inflated(data: bytes) -> bytes:
    """Return what RQ compressed; it takes what is not compressed too."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _part_of_call(index: int) -> Callable[[Rows], Reader]:
    """Return what makes the reader of a part of the job's call: function, instance, args, kwargs."""

    def reader(rows: Rows) -> Reader:
        place = rows.column('data')
        serializer = rows.serializer

        def read(row: Row) -> Any:
            data = row[place]
            if data is None:
                return None
            call = _loads(serializer, _inflated(data))
            if not isinstance(call, (tuple, list)) or len(call) != 4:
                raise ValueError(f'the data of a job is no function, instance, args and kwargs: {call!r:.100}')
            return call[index]

        return read

    return reader


# ---- The function's name, without loading what the function is called with

# Up to this many bytes are decompressed whole, which takes less time than to begin with a part.
_SHORT = 1000
_OPENING = 512
_TEXTS = ('SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8', 'UNICODE')
_decode_json = json.JSONDecoder().raw_decode


def _func_name(rows: Rows) -> Reader:
    loads = getattr(rows.serializer, 'loads', None)
    if loads is pickle.loads:
        first = _first_of_pickle
    elif loads is serializers.JSONSerializer.loads:
        first = _first_of_json
    else:
        return _loaded_func_name(rows)
    place = rows.column('data')

    def read(row: Row) -> Any:
        data = row[place]
        if data is None:
            return None
        if len(data) > _SHORT:
            try:
                return first(_opening(data))
            except ValueError:
                # The name is longer than the opening.
                pass
        return first(_inflated(data))

    return read


def _loaded_func_name(rows: Rows) -> Reader:
    read = _part_of_call(0)(rows)

    def read_name(row: Row) -> Any:
        name = read(row)
        if not isinstance(name, str):
            raise ValueError(f'the function of a job is no name: {name!r:.100}')
        return name

    return read_name


def _opening(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _OPENING)
    except zlib.error:
        return data


def _first_of_pickle(data: bytes) -> Any:
    """Return the text that a pickled tuple begins with; nothing of the pickle is executed."""
    # As RQ's own serializer writes it: PROTO, FRAME, MARK, then a text of up to 255 bytes and its length.
    if data[:1] == b'\x80' and data[2:3] == b'\x95' and data[11:13] == b'(\x8c':
        return data[14 : 14 + data[13]].decode()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _TEXTS:
            return argument
        if opcode.name not in ('PROTO', 'FRAME', 'MARK'):
            break
    raise ValueError(f'the data of a job is no pickled call: {data[:100]!r}')


def _first_of_json(data: bytes) -> Any:
    """Return the text that a JSON array begins with."""
    # An opening may end inside a character; that stands behind the name.
    text = data.decode(errors='ignore')
    if not text.startswith('["'):
        raise ValueError(f'the data of a job is no call in JSON: {text[:100]!r}')
    return str(_decode_json(text, 1)[0])


# ---- The exception's text

_FAILED = str(Result.Type.FAILED.value).encode()


def _text_of(written: bytes) -> str:
    return zlib.decompress(b64decode(written)).decode()


# Jobs that failed in the same way have the same text, and to decompress it takes longer than all the rest.
_short_text_of = lru_cache(maxsize=64)(_text_of)


def _exc_info(rows: Rows) -> Reader:
    """As Job.exc_info: of the latest result if that is a failure, else what stands in the hash."""
    place = rows.column('exc_info')
    rows.add_results()

    def read(row: Row) -> str | None:
        if row[-1]:
            _, fields = row[-1][0]
            result = pairs_of(fields)
            if result.get(b'type') == _FAILED:
                text = result.get(b'exc_string')
                if not text:
                    return None
                return _short_text_of(text) if len(text) <= _SHORT else _text_of(text)
        value = row[place]
        return _inflated(value).decode() if value else None

    return read


_READERS: dict[str, Callable[[Rows], Reader]] = {
    'func_name': _func_name,
    'instance': _part_of_call(1),
    'args': _part_of_call(2),
    'kwargs': _part_of_call(3),
    'description': _of('description', bytes.decode),
    'meta': _meta,
    'exc_info': _exc_info,
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
    """Return the names of the fields asked for, each once."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f'fields={names!r} is no collection of names: for one, give ("func_name",)')
    fields = tuple(dict.fromkeys(names))
    for name in fields:
        if name not in _READERS:
            raise ValueError(f'{name!r} in fields is none of those that can be read: {", ".join(FIELDS)}')
    return fields
