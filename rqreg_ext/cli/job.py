"""`rqreg show`: all of a job, and where it stands."""

from __future__ import annotations

import json
import sys
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click
from rq.job import parse_job_id
from rq.results import Result

from .._all_queues.selection import requested_queues
from .._fastpath.exchange import ENTRIES, INTEGER, SCORE, TEXTS, VALUE, Command, exchange
from .._fastpath.rq_keys import REGISTRIES, JobKeys, execution_key, executions_key, queue_key, results_key
from .._query.hashes import pairs_of
from .._query.job_fields import FIELDS, plain_call, plain_meta, reader_of
from .._query.plain_values import plain_loader
from .._query.rows import UNREADABLE, Rows
from ..registry import FailedJobRegistry
from . import statuses
from .jobs import PICKLED
from .output import for_json, output_option, print_json, print_json_lines, printable, text_of
from .server import Server, server_options
from .terminal import say

# RQ keeps as many results of a job.
_RESULTS = 10
# What has a line of its own further down.
_LONG = ('exc_info',)


@click.command()
@click.argument('ids', nargs=-1, required=True, metavar='ID...')
@click.option(
    '--unpickle', is_flag=True, help='Read arguments and results as the worker does. Runs code of the pickles.'
)
@output_option('table', 'json', 'jsonl')
@server_options
def show(server: Server, ids: Sequence[str], unpickle: bool, output: str) -> None:
    """Show all of each job: its hash, results, executions, dependencies, where it stands, and when it expires.

    Objects in a pickle are shown as not read, unless --unpickle is given.
    """
    found = [JobReader(server, job_id, unpickle).read() for job_id in ids]
    if output == 'json':
        print_json({'jobs': found})
    elif output == 'jsonl':
        print_json_lines(found)
    else:
        for number, job in enumerate(found):
            if number:
                print()
            print('\n'.join(job_lines(job)))
        sys.stdout.flush()
    gone = [job['id'] for job in found if not job['exists']]
    for job_id in gone:
        say(f'there is no job {job_id!r}')
    if gone:
        raise click.exceptions.Exit(statuses.INCOMPLETE)


class JobReader:
    """Reads all of a job."""

    def __init__(self, server: Server, job_id: str, unpickle: bool) -> None:
        self._client: Any = server.client
        self._id = job_id
        # Any registry: it says what class the jobs have, and what they are written by.
        self._registry: Any = FailedJobRegistry('default', connection=server.client, **server.job_options)
        self._keys = JobKeys(self._registry.job_class)
        self._unpickle = unpickle
        plain = plain_loader(self._registry.serializer)
        self._load = self._registry.serializer.loads if unpickle or plain is None else plain

    def read(self) -> dict[str, Any]:
        """Return what is known of the job. Four round trips."""
        fields = self._fields()
        hash_id = parse_job_id(self._id)
        ids, expires, results, executions, dependents, dependencies = self._ask(
            (VALUE, 'HMGET', self._keys.job(hash_id), 'dependency_ids', 'dependency_id'),
            (INTEGER, 'PTTL', self._keys.job(hash_id)),
            (VALUE, 'XREVRANGE', results_key(hash_id), '+', '-', 'COUNT', _RESULTS),
            (ENTRIES, 'ZRANGE', executions_key(hash_id), 0, -1, 'WITHSCORES'),
            (TEXTS, 'SMEMBERS', self._keys.dependents(hash_id)),
            (TEXTS, 'SMEMBERS', self._keys.dependencies(hash_id)),
        )
        needed = dict.fromkeys((*_dependency_ids(ids), *sorted(dependencies or ())))
        execution_ids = [execution for execution, _ in executions or ()]
        return {
            'id': self._id,
            'exists': any(value is not None for value in fields.values()),
            'ttl': expires / 1000 if expires is not None and expires >= 0 else None,
            'places': list(self._places(fields.get('origin'), execution_ids)),
            'job': fields,
            'results': [self._result(*result) for result in results or ()],
            'executions': self._executions(hash_id, execution_ids),
            'dependencies': self._with_status(list(needed)),
            'dependents': self._with_status(sorted(dependents or ())),
        }

    def _ask(self, *commands: Command) -> list[Any]:
        """Return the replies; None for what the user may not read, or what is of another type."""
        return [None if isinstance(reply, Exception) else reply for reply in exchange(self._client, commands)]

    def _fields(self) -> dict[str, Any]:
        rows = Rows(self._registry)
        readers: dict[str, Any] = {
            name: reader_of(rows, name) for name in FIELDS if self._unpickle or name not in PICKLED
        }
        if not self._unpickle:
            call = plain_call(rows)
            readers['args'] = lambda row: (found := call(row)) and found[0]
            readers['kwargs'] = lambda row: (found := call(row)) and found[1]
            readers['meta'] = plain_meta(rows)
        found = rows.matching([self._id], lambda row: True)
        row = found[0][1]
        if not any(row):
            return dict.fromkeys(readers)
        return {name: _value_of(read, row) for name, read in readers.items()}

    def _result(self, result_id: bytes | str, payload: Any) -> dict[str, Any]:
        fields = {_text(name): _text(value) for name, value in pairs_of(payload).items()}
        kind = fields.get('type', '')
        names = {str(known.value): known.name.lower() for known in Result.Type}
        milliseconds = int(_text(result_id).partition('-')[0])
        return {
            'id': _text(result_id),
            'time': _moment(milliseconds / 1000),
            'type': names.get(kind, kind),
            'worker_name': fields.get('worker_name') or None,
            'return_value': self._return_value(fields.get('return_value')),
            'exc_info': _exception(fields.get('exc_string')),
        }

    def _return_value(self, written: str | None) -> Any:
        if not written:
            return None
        try:
            return self._load(b64decode(written))
        except Exception as error:
            return {'unreadable': f'{type(error).__name__}: {error}'}

    def _executions(self, job_id: str, execution_ids: Sequence[str]) -> list[dict[str, Any]]:
        hashes = self._ask(*((VALUE, 'HGETALL', execution_key(job_id, execution)) for execution in execution_ids))
        return [
            {'id': execution, **_execution(pairs_of(fields or []))}
            for execution, fields in zip(execution_ids, hashes, strict=True)
        ]

    def _with_status(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        replies = self._ask(*((VALUE, 'HGET', self._keys.job(job_id), 'status') for job_id in job_ids))
        return [
            {'id': job_id, 'status': reply and _text(reply)} for job_id, reply in zip(job_ids, replies, strict=True)
        ]

    def _places(self, origin: str | None, execution_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield where the job stands: in which queue, at which position, and in which registries."""
        queues = dict.fromkeys([*filter(None, [origin]), *requested_queues(self._client, None)])
        asked = [
            (queue, name, (SCORE, 'ZSCORE', kind.key(queue), entry))
            for queue in queues
            for name, kind in REGISTRIES.items()
            for entry in (
                [f'{self._id}:{execution}' for execution in execution_ids] if name == 'started' else [self._id]
            )
        ]
        position, *scores = self._ask(
            (VALUE, 'LPOS', queue_key(origin or ''), self._id), *(command for _, _, command in asked)
        )
        if position is not None:
            yield {'queue': origin, 'place': 'queued', 'position': position, 'score': None}
        for (queue, name, _), score in zip(asked, scores, strict=True):
            if score is not None:
                yield {'queue': queue, 'place': name, 'position': None, 'score': score}


def _value_of(read: Any, row: Any) -> Any:
    try:
        return read(row)
    except UNREADABLE as error:
        return {'unreadable': str(error)}


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors='backslashreplace')


def _dependency_ids(reply: Any) -> list[str]:
    """Return the ids in the fields `dependency_ids` and `dependency_id`, of which RQ reads the second if it must."""
    several, one = reply or (None, None)
    if not several:
        return [_text(one)] if one else []
    try:
        job_ids = json.loads(several)
    except ValueError:
        return []
    return [job_id for job_id in job_ids if isinstance(job_id, str)] if isinstance(job_ids, list) else []


def _exception(written: str | None) -> str | None:
    if not written:
        return None
    try:
        return zlib.decompress(b64decode(written)).decode(errors='backslashreplace')
    except (ValueError, zlib.error):
        return None


def _execution(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    found = {_text(name): _text(value) for name, value in fields.items()}
    times = {name: found.get(name) for name in ('created_at', 'last_heartbeat')}
    return {
        **{name: _moment(value) if value else None for name, value in times.items()},
        'worker_name': found.get('worker_name') or None,
    }


def _moment(timestamp: float | str) -> datetime | dict[str, str]:
    try:
        return datetime.fromtimestamp(float(timestamp), timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        return {'unreadable': f'{timestamp} is not a time: {error}'}


# ---- Text


def job_lines(job: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a job, as JobReader has read it."""
    yield _line('id', job['id'])
    for place in job['places']:
        yield _line('stands in', _place(place))
    if job['exists'] and not job['places']:
        yield _line('stands in', 'no queue and no registry')
    if job['ttl'] is not None:
        yield _line('expires in', f'{job["ttl"]:.0f} s')
    for name, value in job['job'].items():
        if value is not None and name not in _LONG:
            yield _line(name, text_of(value))
    for title in ('dependencies', 'dependents'):
        for other in job[title]:
            yield _line(title, f'{other["id"]} ({other["status"] or "gone"})')
    for execution in job['executions']:
        yield _line('execution', f'{execution["id"]} since {text_of(execution["created_at"])}')
    for result in job['results']:
        value = '' if result['return_value'] is None else f': {text_of(result["return_value"])}'
        yield _line('result', f'{text_of(result["time"])} {result["type"]}{value}')
    if job['job']['exc_info']:
        yield 'exc_info'
        yield from (f'  {printable(line)}' for line in str(job['job']['exc_info']).splitlines())


def _place(place: Mapping[str, Any]) -> str:
    if place['place'] == 'queued':
        return f'queue {place["queue"]}, position {place["position"]}'
    return f'{place["place"]} registry of {place["queue"]}, score {for_json(place["score"])}'


def _line(name: str, value: str) -> str:
    return printable(f'{name:<26}{value}')
