"""Jobs that RQ cannot load: where RQ's methods raise an error, ours report the same and change nothing."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry as RQFailedJobRegistry

from rqreg_ext import FailedJobRegistry

INVALID = {
    'exc_info': [zlib.compress(b'\xff\xfe'), zlib.compress(b'\xff', 1), b'x\x9c\x00garbage', b'x\x9c', b'\xff'],
    'ended_at': [b'x' * 26 + b'Z', b'2026-13-01T00:00:00.000000Z', b'yesterday', b'\xff' * 26 + b'Z'],
    'created_at': [b'0'],
    'started_at': [b'2024-01-01'],
    'last_heartbeat': [b'2024'],
    'timeout': [b'x', b'1h'],
    'ttl': [b'x'],
    'result_ttl': [b'x'],
    'retries_left': [b'x'],
    'retry_intervals': [b'x'],
    'dependency_ids': [b'{'],
    'description': [b'\xff'],
    'worker_name': [b'\xff'],
    'success_callback_name': [b'\xff'],
    'group_id': [b'\xff'],
}
LOADABLE = {
    'exc_info': [zlib.compress(b''), zlib.compress(b'Traceback'), zlib.compress(b'x' * 9, 9), b'xyz', b'x', b'h\x05!'],
    'ended_at': [b'2024-01-01T00:00:00Z', b'2024-02-29T00:00:00.000000Z'],
    'created_at': [b''],
    'timeout': [b'', b'-1'],
    'group_id': [b''],
    'meta': [b'\x80garbage'],
    'data': [b'garbage'],
}
CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    'remove': (lambda failed: failed.remove('a', delete_job=True), lambda failed: failed.remove('a', delete_job=True)),
    'requeue': (lambda failed: failed.requeue('a'), lambda failed: failed.requeue('a')),
    'requeue_all': (lambda failed: failed.requeue('a'), lambda failed: failed.requeue_all()),
    'cancel_many': (
        lambda failed: Job.fetch('a', failed.connection).cancel(),
        lambda failed: failed.cancel_many(['a']),
    ),
    'cancel_many, dry': (
        lambda failed: Job.fetch('a', failed.connection),
        lambda failed: failed.cancel_many(['a'], dry_run=True),
    ),
}


def put_job(client: redis.Redis, field: str, value: bytes) -> None:
    client.flushall()
    Queue(connection=client).create_job(len, job_id='a', status='failed').save()
    client.hset('rq:job:a', field, value)
    client.zadd('rq:failed:default', {'a': 4e9})


def keys_of(client: redis.Redis) -> set[Any]:
    return {*client.keys('*'), client.hget('rq:job:a', 'status'), client.hget('rq:job:a', 'exc_info')}


def error_of(call: Callable[[Any], Any], registry: Any) -> Exception | None:
    try:
        result = call(registry)
    except Exception as error:
        return error
    failed = getattr(result, 'failed', None)
    return failed[0][1] if failed else None


def cases(values: dict[str, list[bytes]]) -> list[tuple[str, bytes]]:
    return [(field, value) for field, of_field in values.items() for value in of_field]


@pytest.mark.covering(1)
@pytest.mark.parametrize(('field', 'value'), cases(INVALID))
@pytest.mark.parametrize('name', CALLS)
def test_unloadable_job_fails_with_error_of_rq(connection: redis.Redis, name: str, field: str, value: bytes) -> None:
    call_of_rq, call = CALLS[name]
    put_job(connection, field, value)
    expected = error_of(call_of_rq, RQFailedJobRegistry(connection=connection))
    put_job(connection, field, value)
    before = connection.hgetall('rq:job:a')
    error = error_of(call, FailedJobRegistry(connection=connection))
    assert (type(error), str(error)) == (type(expected), str(expected))
    assert error is not None
    assert connection.hgetall('rq:job:a') == before
    assert connection.zscore('rq:failed:default', 'a') == 4e9 or name == 'remove'


@pytest.mark.covering(1)
@pytest.mark.parametrize(('field', 'value'), cases(LOADABLE))
@pytest.mark.parametrize('name', CALLS)
def test_job_that_rq_can_load_is_changed_as_by_rq(connection: redis.Redis, name: str, field: str, value: bytes) -> None:
    call_of_rq, call = CALLS[name]
    put_job(connection, field, value)
    expected = error_of(call_of_rq, RQFailedJobRegistry(connection=connection)), keys_of(connection)
    put_job(connection, field, value)
    assert (error_of(call, FailedJobRegistry(connection=connection)), keys_of(connection)) == expected
