"""The lines of an export, each a JSON object: a header, a line for each job, and the end.

A value that is UTF-8 is a JSON string, any other is {"base64": "..."}. So each octet comes back as it was.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import rq
from rq import defaults

from .._core import fields_from_json

# It changes when a key is renamed or gets another meaning.
SCHEMA = 1
# What of a job has a key of its own, by the names in a line.
PARTS = ('hash', 'results', 'dependents', 'dependencies', 'executions')


class DamagedFileError(ValueError):
    """A file is not an export, or is damaged, or ends too early."""


# ---- Writing


def header() -> bytes:
    """Return the first line."""
    values = {
        'rqreg_export': SCHEMA,
        'time': datetime.now(timezone.utc).isoformat().replace('+00:00', 'Z'),
        'rq_version': rq.__version__,
        'key_prefix': getattr(defaults, 'RQ_KEY_PREFIX', 'rq'),
    }
    return json.dumps(values).encode() + b'\n'


def end(counts: Mapping[str, int]) -> bytes:
    """Return the last line, from the number of jobs of each queue."""
    return json.dumps({'end': True, 'jobs': sum(counts.values()), 'queues': dict(counts)}).encode() + b'\n'


def score_of(score: float) -> str:
    """Return the JSON of a score. It has no infinite numbers."""
    return repr(score) if math.isfinite(score) else f'"{score}"'


# ---- Reading

# A value as it is sent to Redis.
Value = str | bytes


class ExportedExecution(NamedTuple):
    """An execution of a job: its id, its score among those of the job, its fields, and when it expires."""

    id: str
    score: float
    fields: list[Value]
    expires: int | None


class ExportedJob(NamedTuple):
    """A job of an export.

    Attributes:
        id: Its id.
        queue: The queue in whose registry it stood.
        registry: The name of the registry, or 'queued' for the queue itself.
        entries: What stood in the registry, with the scores; in a started one an entry for each execution.
        fields: The hash, as names and values.
        results: The id of each result, and its fields.
        dependents: The ids of the jobs that wait for this one.
        dependencies: The ids of the jobs that this one waits for.
        executions: Its executions.
        group: The group that it was a member of.
        expires: When the keys expire, in milliseconds since 1970, by what they hold.
    """

    id: str
    queue: str
    registry: str
    entries: dict[str, float]
    fields: list[Value]
    results: list[tuple[str, list[Value]]]
    dependents: list[Value]
    dependencies: list[Value]
    executions: list[ExportedExecution]
    group: str | None
    expires: dict[str, int]


def check_header(line: bytes) -> dict[str, Any]:
    """Return the header. Raises DamagedFileError if this is none, or one of a later release."""
    if not line:
        raise DamagedFileError('it is empty')
    values = _loaded(line)
    if not isinstance(values, dict) or 'rqreg_export' not in values:
        raise DamagedFileError('it does not begin as an export does')
    if values['rqreg_export'] != SCHEMA:
        raise DamagedFileError(
            f'its schema is {values["rqreg_export"]!r}, and this release of rqreg_ext reads {SCHEMA}: use a later one'
        )
    return values


def read_line(line: bytes) -> ExportedJob | dict[str, Any]:
    """Return the job of a line, or the values of the last line. Raises DamagedFileError."""
    values = _loaded(line)
    try:
        if 'end' in values:
            return dict(values)
        return _job_of(values)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise DamagedFileError(f'it is not a job ({type(error).__name__}: {error})') from error


def _loaded(line: bytes) -> Any:
    try:
        values = json.loads(line)
        if rb'\ud' in line:
            # Half of a character can be written so, and cannot be sent.
            json.dumps(values, ensure_ascii=False).encode()
        return values
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f'it is not JSON ({error})') from error


def _job_of(values: dict[str, Any]) -> ExportedJob:
    job_id, queue, registry = (_text(values[name]) for name in ('id', 'queue', 'registry'))
    fields = fields_from_json(values['hash'])
    if not fields:
        raise ValueError('its hash is empty')
    # Without an entry, it would be restored into no registry.
    if registry != 'queued' and not ('score' in values or values.get('entries')):
        raise ValueError('it has no score')
    get = values.get
    if 'score' in values:
        entries = {job_id: float(values['score'])}
    else:
        entries = {_text(entry): float(score) for entry, score in get('entries', {}).items()}
    group = get('group')
    return ExportedJob(
        job_id,
        queue,
        registry,
        entries,
        fields,
        [(_text(result_id), fields_from_json(payload)) for result_id, payload in get('results', ())],
        [value if type(value) is str else _value(value) for value in get('dependents', ())],
        [value if type(value) is str else _value(value) for value in get('dependencies', ())],
        [
            ExportedExecution(
                _text(one['id']), float(one['score']), fields_from_json(one['hash']), _milliseconds(one.get('expires'))
            )
            for one in get('executions', ())
        ],
        None if group is None else _text(group),
        {_part(name): int(moment) for name, moment in get('expires', {}).items()},
    )


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f'{value!r} is not text')
    return value


def _part(name: str) -> str:
    if name not in PARTS:
        raise ValueError(f'{name!r} is not a part of a job')
    return name


def _milliseconds(value: Any) -> int | None:
    return None if value is None else int(value)


def _value(value: Any) -> bytes:
    return b64decode(value['base64'], validate=True)
