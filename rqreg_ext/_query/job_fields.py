"""The fields of jobs, read of rows: a reader for each, which decodes no more than is needed.

RQ writes the fields in rq.job.Job.to_dict(), and reads them in Job.restore().
"""

from __future__ import annotations

import json
import pickle
import pickletools
import zlib
from binascii import a2b_base64
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from rq import serializers
from rq.job import JobStatus
from rq.results import Result
from rq.timeouts import BaseTimeoutException

from .. import _core
from .dates import moment_of
from .hashes import pairs_of
from .plain_values import plain_loader
from .rows import EVERY_JOB_HAS, Reader, Row, Rows
from .tracebacks import ExceptionLine, exception_in

# Makes the reader of a field for rows, of which it requests the columns.
MakeReader = Callable[[Rows], Reader]


# ---- Plain values


def _of(name: str, decode: Callable[[bytes], Any], default: Any = None) -> MakeReader:
    """Return what makes the reader of a field of the hash; it returns `default` if the field is missing or empty."""

    def make_reader(rows: Rows) -> Reader:
        column = rows.column(name)

        def read(row: Row) -> Any:
            value = row[column]
            return decode(value) if value else default

        return read

    return make_reader


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


def _meta(rows: Rows) -> Reader:
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


def _part_of_call(index: int) -> MakeReader:
    """Return what makes the reader of one item of the job's call: function name, instance, args or kwargs."""

    def make_reader(rows: Rows) -> Reader:
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

    return make_reader


# ---- The name of the function, read without unpickling its arguments

# Data of up to this many bytes is decompressed completely: that is faster than decompressing its beginning first.
_SHORT = 1000
_BEGINNING = 512
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


def _loaded_func_name(rows: Rows) -> Reader:
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


def _latest_failure(rows: Rows, of_result: Callable[[bytes], Any], of_hash: Callable[[bytes], Any]) -> Reader:
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


def _exc_info(rows: Rows) -> Reader:
    return _latest_failure(
        rows,
        lambda text: _short_text_of(text) if len(text) <= _SHORT_TEXT else _text_of(text),
        lambda text: _inflated(text).decode(),
    )


class LatestException:
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


def _of_exception(index: int) -> MakeReader:
    """Return what makes the reader of the type or the message of the exception."""

    def make_reader(rows: Rows) -> Reader:
        exception_of = rows.shared(LatestException)

        def read(row: Row) -> str | None:
            exception = exception_of(row)
            return None if exception is None else exception[index]

        return read

    return make_reader


# ---- Values for filters, in which nothing of the data is run


def plain_meta(rows: Rows) -> Reader:
    """Return a function of a row that returns the metadata, plain values only; None if the job is gone.

    It may raise UNREADABLE. A serializer that is not RQ's is called.
    """
    column, loads = rows.column('meta'), _plain_loads(rows.serializer)
    rows.column(EVERY_JOB_HAS)
    return lambda row: loads(row[column]) if row[column] else ({} if any(row) else None)


def plain_call(rows: Rows) -> Reader:
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


_READER_MAKERS: dict[str, MakeReader] = {
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
FIELDS = tuple(_READER_MAKERS)


def reader_of(rows: Rows, field: str) -> Reader:
    """Return a function of a row that returns this attribute as Job has it. It may raise UNREADABLE."""
    return _READER_MAKERS[field](rows)


def fields_of(names: Any) -> tuple[str, ...]:
    """Check `fields`, and return the names without duplicates."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f'fields={names!r} is not a collection of names: for one, give ("func_name",)')
    fields = tuple(dict.fromkeys(names))
    for name in fields:
        if name not in _READER_MAKERS:
            raise ValueError(f'{name!r} in fields is not a field: give some of {", ".join(FIELDS)}')
    return fields
