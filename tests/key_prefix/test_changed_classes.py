"""A program that puts a prefix into the class attributes of RQ's keys, after calls without it."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import rq
import rq.executions
import rq.registry
from rq.job import Job

import rqreg_ext

PREFIX = 'app:'
ATTRIBUTES = [
    (Job, 'redis_job_namespace_prefix'),
    (rq.Queue, 'redis_queue_namespace_prefix'),
    (rq.Queue, 'redis_queues_keys'),
    (rq.executions.ExecutionRegistry, 'key_template'),
    *((getattr(rq.registry, name), 'key_template') for name in vars(rq.registry) if name.endswith('JobRegistry')),
]
CALLS: dict[str, Any] = {
    'check': lambda client: rqreg_ext.check(client, settle=0),
    'check a registry': lambda client: rqreg_ext.FailedJobRegistry(connection=client).check(settle=0),
    'repair': lambda client: rqreg_ext.repair(client, rqreg_ext.check(client, settle=0)),
    'snapshot': rqreg_ext.snapshot,
    'snapshot with cleanup': lambda client: rqreg_ext.snapshot(client, cleanup=True),
    'snapshot with scores': lambda client: rqreg_ext.snapshot(client, scores=True),
    'snapshot with details': lambda client: rqreg_ext.snapshot(client, worker_details=True, oldest=True),
    'list_jobs': rqreg_ext.list_jobs,
    'get_jobs': lambda client: rqreg_ext.get_jobs(client, ['a', 'b']),
    'purge but the newest': lambda client: rqreg_ext.purge(client, keep_newest=1),
    'requeue_all': rqreg_ext.requeue_all,
    'purge': rqreg_ext.purge,
}


def put_jobs(client: redis.Redis, key_of_failed: str) -> None:
    queue = rq.Queue(connection=client)
    for job_id in ('a', 'b'):
        job = queue.create_job(len, job_id=job_id, status='failed')
        job.save()
        client.zadd(key_of_failed, {job_id: 4e9})
    # One without a job, and one that has expired.
    client.zadd(key_of_failed, {'gone': 4e9, 'expired': 5})
    client.sadd(queue.redis_queues_keys, queue.key)


def keys_without_prefix(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.keys('*') if not key.startswith(PREFIX.encode())}


def set_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ATTRIBUTES:
        monkeypatch.setattr(owner, name, PREFIX + getattr(owner, name))


@pytest.mark.parametrize('name', CALLS)
def test_calls_use_keys_that_rqs_classes_have_now(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put_jobs(connection, 'rq:failed:default')
    for read in ('check', 'snapshot', 'snapshot with scores'):
        CALLS[read](connection)
    others = keys_without_prefix(connection)
    set_prefix(monkeypatch)
    put_jobs(connection, f'{PREFIX}rq:failed:default')
    CALLS[name](connection)
    assert keys_without_prefix(connection) == others


def test_results_are_of_keys_that_rqs_classes_have_now(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_jobs(connection, 'rq:failed:default')
    connection.zadd('rq:failed:default', {'c': 4e9})
    assert (rqreg_ext.snapshot(connection).total.failed, len(rqreg_ext.check(connection, settle=0))) == (5, 3)
    set_prefix(monkeypatch)
    assert (rqreg_ext.snapshot(connection).total.failed, len(rqreg_ext.check(connection, settle=0))) == (0, 0)
    put_jobs(connection, f'{PREFIX}rq:failed:default')
    found = rqreg_ext.check(connection, settle=0)
    count = rq.Queue(connection=connection).failed_job_registry.count
    assert rqreg_ext.snapshot(connection, cleanup=True).total.failed == count
    assert {problem.key for problem in found} == {f'{PREFIX}rq:failed:default'}
