"""A key that RQ's methods write has another type: the job keeps its hash and its entry, as RQ's methods raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry as RQFailedJobRegistry

from rqreg_ext import FailedJobRegistry

KEYS = (
    'rq:queue:default',
    'rq:finished:default',
    'rq:canceled:default',
    'rq:group:g',
    'rq:executions:a',
    'rq:results:a',
    'rq:job:a:dependents',
    'rq:job::a:dependencies',
    'rq:job:parent:dependents',
)
BULK_CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    'purge': (lambda failed: failed.remove('a', delete_job=True), lambda failed: failed.purge()),
    'remove_many': (
        lambda failed: failed.remove('a', delete_job=True),
        lambda failed: failed.remove_many(['a'], delete_job=True),
    ),
    'requeue_all': (lambda failed: failed.requeue('a'), lambda failed: failed.requeue_all()),
    'cancel_many': (
        lambda failed: Job.fetch('a', failed.connection).cancel(remove_from_dependencies=True),
        lambda failed: failed.cancel_many(['a'], remove_from_dependencies=True),
    ),
}


def put_job(client: redis.Redis, key: str, has_group: bool, status: str) -> dict[bytes, Any]:
    """Save a failed job that depends on another, and set the key to a string; return all keys."""
    client.flushall()
    queue = Queue(connection=client)
    parent = queue.create_job(len, job_id='parent', status='finished')
    parent.save()
    job = queue.create_job(len, job_id='a', status='failed', depends_on=parent)
    if has_group:
        job.group_id = 'g'
        client.sadd('rq:group:g', 'a')
    job.save()
    client.hset(job.key, 'status', status)
    client.zadd('rq:failed:default', {'a': 4e9})
    client.set(key, 'x')
    return keys_of(client)


def keys_of(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.keys('*')}


@pytest.mark.covering(2)
@pytest.mark.parametrize('has_group', [False, True], ids=['no group', 'group'])
@pytest.mark.parametrize('status', ['failed', 'finished'])
@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('name', BULK_CALLS)
def test_job_is_unchanged_if_rq_would_raise_an_error_for_a_key(
    connection: redis.Redis, name: str, key: str, status: str, has_group: bool
) -> None:
    call_of_rq, call = BULK_CALLS[name]
    put_job(connection, key, has_group, status)
    error = None
    try:
        call_of_rq(RQFailedJobRegistry(connection=connection))
    except redis.ResponseError as raised:
        error = raised
    names = {name for name in keys_of(connection) if name != key.encode()}
    before = put_job(connection, key, has_group, status)
    result = call(FailedJobRegistry(connection=connection))
    if error is None:
        assert result.done == 1
        assert {name for name in keys_of(connection) if name != key.encode()} == names
    else:
        ((job_id, wrong_type),) = result.failed
        assert job_id == 'a'
        assert 'WRONGTYPE' in str(wrong_type)
        assert keys_of(connection) == before
