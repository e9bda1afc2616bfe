"""iter_job_ids() and iter_entries(): all entries in order, and nothing is changed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from depth import IS_DEEP
from differential.database import dump
from private_redis import PrivateRedis
from redis.exceptions import NoPermissionError, ResponseError

import rqreg_ext.registry
from rqreg_ext.executions import ExecutionRegistry
from rqreg_ext.registry import BaseRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

INF = float('inf')
SCORES = {'a': -INF, 'b': 0, 'c': 1.5, 'd': 1.5, 'é': 1.5, '𝄞': 1.5, 'e': 1_700_000_000, 'f': INF, 'g': INF}
REGISTRIES = [
    *(name for name in rqreg_ext.registry.__dir__() if name.endswith('JobRegistry') or name == 'BaseRegistry'),
    'ExecutionRegistry',
]


def registry_of(name: str, client: Any) -> Any:
    if name == 'ExecutionRegistry':
        return ExecutionRegistry('job', client)
    return getattr(rqreg_ext.registry, name)(connection=client)


def populate(registry: BaseRegistry, scores: dict[str, float] = SCORES) -> list[tuple[str, float]]:
    """Add entries, and return them in their order."""
    end = ':execution' if isinstance(registry, StartedJobRegistry) else ''
    registry.connection.zadd(registry.key, {member + end: score for member, score in scores.items()})
    return sorted(scores.items(), key=lambda item: (item[1], item[0].encode()))


@pytest.mark.covering(1)
@pytest.mark.parametrize('chunk_size', [1, 2, 3, 4, 8, 9, 1000])
def test_iteration_yields_all_entries_in_order(any_client: redis.Redis, chunk_size: int) -> None:
    registry = FailedJobRegistry(connection=any_client)
    entries = populate(registry)
    assert list(registry.iter_entries(chunk_size)) == entries
    assert list(registry.iter_job_ids(chunk_size)) == [job_id for job_id, _ in entries]
    assert list(registry.iter_entries(chunk_size, desc=True)) == entries[::-1]
    assert list(registry.iter_job_ids(chunk_size, desc=True)) == [job_id for job_id, _ in entries][::-1]


@pytest.mark.parametrize('name', REGISTRIES)
def test_iteration_of_every_registry_equals_get_job_ids(connection: redis.Redis, name: str) -> None:
    registry = registry_of(name, connection)
    entries = populate(registry)
    assert list(registry.iter_job_ids(2)) == registry.get_job_ids(cleanup=False)
    assert list(registry.iter_job_ids(2, desc=True)) == registry.get_job_ids(cleanup=False, desc=True)
    assert list(registry.iter_entries(2)) == entries


@pytest.mark.covering(1)
@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize(
    ('low', 'high'),
    [
        (None, 1.5),
        (1.5, None),
        (1.5, 1.5),
        (0, 0),
        (1, 1),
        (2, 1),
        (-INF, INF),
        (INF, None),
        (None, -INF),
        (1e300, 1e301),
    ],
)
def test_iteration_includes_entries_at_bounds(
    any_client: redis.Redis, low: float | None, high: float | None, desc: bool
) -> None:
    registry = FailedJobRegistry(connection=any_client)
    expected = [
        (job_id, score)
        for job_id, score in populate(registry)
        if (low is None or score >= low) and (high is None or score <= high)
    ]
    if desc:
        expected.reverse()
    for chunk_size in (1, 2, 3, 1000):
        arguments = {'chunk_size': chunk_size, 'desc': desc, 'min_score': low, 'max_score': high}
        assert list(registry.iter_entries(**arguments)) == expected
        assert list(registry.iter_job_ids(**arguments)) == [job_id for job_id, _ in expected]


def test_iteration_reads_nothing_before_first_item(connection: redis.Redis) -> None:
    registry = FailedJobRegistry(connection=connection)
    ids, entries = registry.iter_job_ids(), registry.iter_entries()
    populate(registry)
    assert len(list(ids)) == len(list(entries)) == len(SCORES)
    assert next(ids, None) is None


@pytest.mark.parametrize('registry_class', [FinishedJobRegistry, FailedJobRegistry, StartedJobRegistry])
def test_iteration_changes_nothing(connection: redis.Redis, registry_class: type[BaseRegistry]) -> None:
    registry = registry_class(connection=connection)
    long_ago = time.time() - 1000
    expired = [f'{name}:x' if registry_class is StartedJobRegistry else name for name in 'abc']
    connection.zadd(registry.key, dict.fromkeys(expired, long_ago))
    before = dump(connection)
    assert list(registry.iter_job_ids(1)) == ['a', 'b', 'c']
    assert list(registry.iter_entries(1)) == [(job_id, long_ago) for job_id in 'abc']
    assert dump(connection) == before


@pytest.mark.parametrize('call', ['iter_job_ids', 'iter_entries'])
@pytest.mark.parametrize(
    ('arguments', 'error', 'words'),
    [
        ({'chunk_size': 0}, ValueError, 'chunk_size=0: give a number of entries from 1 to '),
        ({'chunk_size': -1}, ValueError, 'chunk_size=-1: '),
        ({'chunk_size': 2**31}, ValueError, 'chunk_size=2147483648: '),
        ({'chunk_size': 10.0}, TypeError, 'chunk_size=10.0 is not an int'),
        ({'chunk_size': True}, TypeError, 'chunk_size=True is not an int'),
        ({'min_score': '(5'}, TypeError, r"min_score='\(5' is not a number: give a score"),
        ({'max_score': True}, TypeError, 'max_score=True is not a number'),
        ({'max_score': float('nan')}, ValueError, 'max_score=nan is not a score'),
        ({'min_score': 10**400}, ValueError, 'min_score=10+ is not a score'),
    ],
)
def test_bad_arguments_raise_before_iteration(call: str, arguments: dict[str, Any], error: type, words: str) -> None:
    nowhere = redis.Redis(port=1)
    with pytest.raises(error, match=words):
        getattr(FailedJobRegistry(connection=nowhere), call)(**arguments)


def each_call(registry: Any, **arguments: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: next(registry.iter_job_ids(**arguments))
    yield lambda: next(registry.iter_entries(**arguments))


def test_key_of_wrong_type_raises(connection: redis.Redis) -> None:
    registry = FailedJobRegistry(connection=connection)
    connection.set(registry.key, 'text')
    for call in each_call(registry):
        with pytest.raises(ResponseError, match='WRONGTYPE'):
            call()


@pytest.mark.parametrize('call', ['iter_job_ids', 'iter_entries'])
def test_iteration_ends_if_registry_is_deleted(connection: redis.Redis, call: str) -> None:
    registry = FailedJobRegistry(connection=connection)
    populate(registry)
    walk = getattr(registry, call)(2)
    next(walk)
    connection.delete(registry.key)
    assert len(list(walk)) == 1
    walk = getattr(registry, call)(2)
    assert list(walk) == []


def test_iteration_raises_if_registry_is_replaced_by_other_type(connection: redis.Redis) -> None:
    registry = FailedJobRegistry(connection=connection)
    populate(registry)
    walk = registry.iter_job_ids(2)
    next(walk)
    connection.delete(registry.key)
    connection.set(registry.key, 'text')
    next(walk)
    with pytest.raises(ResponseError, match='WRONGTYPE'):
        next(walk)


def test_iteration_of_undecodable_entry_raises(connection: redis.Redis) -> None:
    registry = FailedJobRegistry(connection=connection)
    connection.zadd(registry.key, {b'\xff': 1})
    with pytest.raises(UnicodeDecodeError):
        registry.get_job_ids(cleanup=False)
    for call in each_call(registry):
        with pytest.raises(UnicodeDecodeError):
            call()


# ---- Entries that are not ids


def test_iteration_yields_started_job_once_per_execution(any_client: redis.Redis) -> None:
    registry = StartedJobRegistry(connection=any_client)
    any_client.zadd(registry.key, {'a:one': 1, 'b:two': 2, 'a:three': 3})
    assert list(registry.iter_job_ids()) == ['a', 'b', 'a'] == registry.get_job_ids(cleanup=False)
    assert list(registry.iter_entries(1)) == [('a', 1), ('b', 2), ('a', 3)]


def test_iteration_warns_or_raises_for_malformed_started_entry(connection: redis.Redis) -> None:
    registry = StartedJobRegistry(connection=connection)
    connection.zadd(registry.key, {'alone': 1})
    for call in each_call(registry):
        with pytest.warns(DeprecationWarning, match='must contain job_id:execution_id, got alone'):
            call()
    connection.zadd(registry.key, {'a:b:c': 0})
    for call in each_call(registry):
        with pytest.raises(ValueError, match='too many values to unpack'):
            call()


@pytest.mark.parametrize('decodes', [False, True])
def test_overridden_parse_job_id_gets_same_argument_as_from_rq(
    redis_server: PrivateRedis, connection: redis.Redis, decodes: bool
) -> None:
    given: list[str | bytes] = []

    class Tagged(FailedJobRegistry):
        @staticmethod
        def parse_job_id(entry: Any) -> str:
            given.append(entry)
            return (entry if isinstance(entry, str) else entry.decode()).removeprefix('tag-')

    registry = Tagged(connection=redis_server.client(decode_responses=decodes))
    connection.zadd(registry.key, {'tag-a': 1, 'tag-é': 2})
    assert registry.get_job_ids(cleanup=False) == ['a', 'é']
    given_by_rq = given.copy()
    given.clear()
    assert list(registry.iter_job_ids()) == ['a', 'é']
    assert list(registry.iter_entries()) == [('a', 1), ('é', 2)]
    assert given == given_by_rq * 2


# ---- Read-only servers and users


def test_iteration_works_on_replica(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    entries = populate(FailedJobRegistry(connection=connection))
    with PrivateRedis(replicaof=f'127.0.0.1 {redis_server.port}') as replica, replica.client() as client:
        deadline = time.monotonic() + 60
        while client.zcard('rq:failed:default') < len(entries) and time.monotonic() < deadline:
            time.sleep(0.05)
        registry = FailedJobRegistry(connection=client)
        assert list(registry.iter_entries(2)) == entries
        assert list(registry.iter_job_ids(2)) == [job_id for job_id, _ in entries]


def test_iteration_needs_no_right_to_scripts_and_writes(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    entries = populate(FailedJobRegistry(connection=connection))
    rights = ['+@read', '-@scripting', '-@write']
    connection.acl_setuser('reader', enabled=True, passwords=['+secret'], reset=True, keys=['rq:*'], categories=rights)
    with redis_server.client(username='reader', password='secret') as client:
        registry = FailedJobRegistry(connection=client)
        with pytest.raises(NoPermissionError):
            client.eval('return 1', 0)
        assert list(registry.iter_entries(2)) == entries
        assert list(registry.iter_job_ids(2)) == [job_id for job_id, _ in entries]
    connection.acl_deluser('reader')


# ---- Memory

MEASURE = """
import os, sys
import redis
from rqreg_ext.registry import FailedJobRegistry

def resident():
    with open('/proc/self/statm') as statm:
        return int(statm.read().split()[1]) * os.sysconf('SC_PAGESIZE')

registry = FailedJobRegistry(connection=redis.Redis(port=int(sys.argv[1])))
walk = getattr(registry, sys.argv[2])()
# The memory of the code, the connection and the first chunk is not counted.
next(walk)
start = most = resident()
count = 1
for count, _ in enumerate(walk, 2):
    if count % 10_000 == 0:
        most = max(most, resident())
print(count, most - start)
"""


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='the resident set is read from /proc')
@pytest.mark.parametrize('call', ['iter_job_ids', 'iter_entries'])
def test_iteration_takes_constant_memory(redis_server: PrivateRedis, connection: redis.Redis, call: str) -> None:
    count = 10_000_000 if IS_DEEP else 300_000
    for start in range(0, count, 10_000):
        connection.zadd('rq:failed:default', {f'{n:036}': 1.7e9 + n for n in range(start, start + 10_000)})
    arguments = [sys.executable, '-c', MEASURE, str(redis_server.port), call]
    ran = subprocess.run(arguments, env=os.environ, capture_output=True, text=True, timeout=1200, check=True)
    yielded, grown = map(int, ran.stdout.split())
    assert yielded == count
    # The ids alone would take 25 MB, or 850.
    assert grown <= 4 << 20
