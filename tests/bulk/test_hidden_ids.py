"""A program whose get_job_ids() leaves out a job: no call that changes many jobs changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
import rq.registry
from rq import Queue

import rqreg_ext
from rqreg_ext import FailedJobRegistry

CALLS: dict[str, Callable[[Any], Any]] = {
    'purge': lambda failed: failed.purge(),
    'purge by lowest score': lambda failed: failed.purge(min_score=1),
    'purge by both scores': lambda failed: failed.purge(min_score=1, max_score=float('inf')),
    'requeue_all': lambda failed: failed.requeue_all(),
    'requeue_all by highest score': lambda failed: failed.requeue_all(max_score=4e9),
}
CALLS_ON_ALL_QUEUES: dict[str, Callable[[Any], Any]] = {
    'purge': lambda client: rqreg_ext.purge(client, min_score=1),
    'requeue_all': lambda client: rqreg_ext.requeue_all(client, max_score=4e9),
}
get_job_ids_of_rq = rq.registry.BaseRegistry.get_job_ids


def get_job_ids_but_hidden(self: Any, *arguments: Any, **options: Any) -> list[str]:
    return [job_id for job_id in get_job_ids_of_rq(self, *arguments, **options) if job_id != 'hidden']


class HidingRegistry(FailedJobRegistry):
    get_job_ids = get_job_ids_but_hidden


def put_jobs(client: redis.Redis) -> None:
    queue = Queue(connection=client)
    for job_id, score in {'a': 3e9, 'hidden': 3e9, 'low': 0, 'high': 5e9}.items():
        queue.create_job(len, job_id=job_id, status='failed').save()
        client.zadd('rq:failed:default', {job_id: score or 0.5})


def assert_hidden_is_unchanged(client: redis.Redis) -> None:
    assert client.zscore('rq:failed:default', 'hidden') == 3e9
    assert client.hget('rq:job:hidden', 'status') == b'failed'
    assert client.zscore('rq:failed:default', 'a') is None


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('is_patched', [True, False], ids=['patched', 'overridden'])
def test_hidden_job_is_unchanged(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, name: str, is_patched: bool
) -> None:
    put_jobs(connection)
    if is_patched:
        monkeypatch.setattr(rq.registry.BaseRegistry, 'get_job_ids', get_job_ids_but_hidden)
    CALLS[name]((FailedJobRegistry if is_patched else HidingRegistry)(connection=connection))
    assert_hidden_is_unchanged(connection)
    # The cleanup has removed the lowest entry.
    assert (connection.zscore('rq:failed:default', 'high') == 5e9) is name.endswith('by highest score')


@pytest.mark.parametrize('name', CALLS_ON_ALL_QUEUES)
def test_hidden_job_is_unchanged_by_calls_on_all_queues(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put_jobs(connection)
    connection.sadd('rq:queues', 'rq:queue:default')
    monkeypatch.setattr(rq.registry.BaseRegistry, 'get_job_ids', get_job_ids_but_hidden)
    CALLS_ON_ALL_QUEUES[name](connection)
    assert_hidden_is_unchanged(connection)
