"""What workers leave in Redis, without what no two runs have in common: moments, process ids, names that RQ makes up.

A lifetime, the seconds from a job's end until RQ forgets it, is told in whole minutes: jobs that are compared have
lifetimes of minutes, and no two sides take half of one longer to write it down.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from differential.database import Dump, dump

DATES = re.compile(r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{6})?(Z|\+00:00)?|<now.*?>')
UNIX_TIMES = re.compile(r'\b\d{10}\.\d+\b')
ADDRESSES = re.compile(r'\b0x[0-9a-f]{6,}\b')
MADE_UP = re.compile(r'\b[0-9a-f]{32}\b')
# By field: of jobs, results, workers and executions.
CHANCE = {
    b'worker_name', b'execution_id', b'execution_started_at', b'execution_ended_at', b'pid', b'ip_address',
    b'total_working_time',
}  # fmt: skip
JOB = b'rq:job:'
RESULTS = b'rq:results:'
# Sorted sets whose score is when the job is forgotten, beginning with these; any other score is a moment.
FORGETTING = (b'rq:finished:', b'rq:failed:')

# Keys that are not compared: the tests' own; those whose name RQ made up, of executions and workers without a name; and
# the one that maintenance leaves if it meets a job between its queue and its start.
FIRST_SEEN = ':intermediate:first_seen:'
OF_TESTS = 'tests:'

Picture = dict[str, Any]


def masked(text: bytes) -> str:
    shown = DATES.sub('<date>', text.decode('latin-1'))
    return MADE_UP.sub('<made up>', ADDRESSES.sub('0x..', shown))


def picture(client: Any) -> Picture:
    """Return the client's database with all that is chance masked."""
    return picture_of(dump(client), ended_dates(client))


def ended_dates(client: Any) -> dict[bytes, float]:
    """Return when each job of the database ended, by id, in Unix time."""
    keys = list(client.scan_iter(JOB + b'*', 10_000, 'hash'))
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hget(key, 'ended_at')
        dates = pipe.execute()
    return {key[len(JOB) :]: _unix_time(date) for key, date in zip(keys, dates, strict=True) if date}


def _unix_time(date: bytes) -> float:
    return datetime.fromisoformat(date.decode().rstrip('Z')).replace(tzinfo=timezone.utc).timestamp()


def picture_of(database: Dump, ended: dict[bytes, float]) -> Picture:
    shown: Picture = {}
    for key, value in database.items():
        name = masked(key)
        if name.startswith(OF_TESTS) or FIRST_SEEN in name or MADE_UP.search(key.decode('latin-1')):
            continue
        shown[name] = {'kind': value.kind, 'content': _content(key, value.kind, value.content, ended)}
        shown[name]['forgotten'] = _lifetime(_owner(key), value.expires and value.expires / 1000, ended)
    return shown


def _owner(key: bytes) -> bytes:
    for prefix in (JOB, RESULTS):
        if key.startswith(prefix):
            return key[len(prefix) :]
    return b''


def _lifetime(job_id: bytes, moment: float | None, ended: dict[bytes, float]) -> str:
    if moment is None:
        return 'never'
    if job_id not in ended:
        return 'some time'
    return f'{round((moment - ended[job_id]) / 60)} minutes after its end'


def _content(key: bytes, kind: str, content: Any, ended: dict[bytes, float]) -> Any:
    if kind == 'hash':
        return _fields(content)
    if kind == 'stream':
        return [_fields(payload) for _, payload in content]
    if kind == 'zset':
        return {masked(member): _score(key, member, float(score), ended) for member, score in content}
    if kind == 'string':
        return UNIX_TIMES.sub('<date>', masked(content))
    return sorted(masked(member) for member in content) if kind == 'set' else [masked(member) for member in content]


def _fields(content: dict[bytes, bytes]) -> dict[str, str]:
    return {masked(name): '<chance>' if value and name in CHANCE else masked(value) for name, value in content.items()}


def _score(key: bytes, member: bytes, score: float, ended: dict[bytes, float]) -> str:
    if not key.startswith(FORGETTING):
        return 'a moment'
    return _lifetime(member, None if score == float('inf') else score, ended)


def differences(plain: Any, accelerated: Any, where: str = '') -> list[str]:
    """Return a line for each place in which the two pictures, or parts of them, differ."""
    if isinstance(plain, dict) and isinstance(accelerated, dict):
        return [
            line
            for key in sorted(plain.keys() | accelerated.keys())
            for line in differences(plain.get(key), accelerated.get(key), f'{where} {key}')
        ]
    return [] if plain == accelerated else [f'{where}: {plain!r} by RQ, {accelerated!r} by ours']
