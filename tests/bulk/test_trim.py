"""trim(): purge() by age, whatever the age of a job is in its registry."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import JobStatus
from rq.utils import utcformat

import rqreg_ext
from rqreg_ext import registry as registries

NOW = datetime.now(timezone.utc)
NAMES = {'failed': 'FailedJobRegistry', 'finished': 'FinishedJobRegistry', 'canceled': 'CanceledJobRegistry'}


def days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def fill(connection: redis.Redis, kind: str, name: str = 'q') -> Any:
    """Put jobs into a registry that ended, or were canceled, 0 to 9 days ago, in another order than by their expiry."""
    queue = Queue(name, connection=connection)
    connection.sadd('rq:queues', queue.key)
    registry = getattr(registries, NAMES[kind])(name, connection=connection)
    for days in range(10):
        job = queue.create_job('len', job_id=f'{name}-{days}')
        job.set_status(JobStatus(kind))
        job.save()
        if kind == 'canceled':
            connection.zadd(registry.key, {job.id: days_ago(days).timestamp()})
        else:
            connection.hset(job.key, 'ended_at', utcformat(days_ago(days)))
            connection.zadd(registry.key, {job.id: 4e9 + days * 7 % 10})
    return registry


def left(registry: Any) -> list[str]:
    return sorted(registry.get_job_ids(cleanup=False))


@pytest.mark.parametrize('kind', NAMES)
def test_trim_older_than_deletes_jobs_before_that_time(connection: redis.Redis, kind: str) -> None:
    for older_than in (timedelta(days=3, hours=12), days_ago(4) + timedelta(hours=12), days_ago(4).timestamp() + 43200):
        registry = fill(connection, kind)
        assert registry.trim(older_than=older_than, dry_run=True).done == 6
        result = registry.trim(older_than=older_than)
        assert (result.done, result.failed) == (6, [])
        assert left(registry) == [f'q-{days}' for days in range(4)]
        assert len(connection.keys('rq:job:*')) == 4
        connection.flushdb()


def test_trim_deletes_at_most_limit_at_most_so_many_a_second(connection: redis.Redis) -> None:
    registry = fill(connection, 'failed')
    started = time.monotonic()
    result = registry.trim(older_than=timedelta(days=3, hours=12), limit=3, rate=10, chunk_size=1)
    # The first job does not wait.
    assert time.monotonic() - started >= 0.2
    assert (result.done, len(left(registry))) == (3, 7)
    of_all = rqreg_ext.trim(connection, older_than=timedelta(days=3, hours=12), limit=2, rate=1000)
    assert (of_all.total.done, len(left(registry))) == (2, 5)
    assert registry.trim(keep=4, limit=10).done == 1


@pytest.mark.parametrize('kind', NAMES)
def test_trim_keeps_job_of_exactly_that_time(connection: redis.Redis, kind: str) -> None:
    registry = fill(connection, kind)
    assert registry.trim(older_than=days_ago(5)).done == 4
    assert left(registry) == [f'q-{days}' for days in range(6)]


@pytest.mark.parametrize('kind', NAMES)
def test_trim_keep_leaves_that_many_newest_jobs(connection: redis.Redis, kind: str) -> None:
    registry = fill(connection, kind)
    assert registry.trim(keep=3).done == 7
    assert left(registry) == ['q-0', 'q-1', 'q-2']


@pytest.mark.parametrize('kind', NAMES)
def test_filters_limit_what_trim_deletes(connection: redis.Redis, kind: str) -> None:
    registry = fill(connection, kind)
    assert registry.trim(older_than=timedelta(days=2, hours=1), job_id='q-[1-5]').done == 3
    assert left(registry) == [f'q-{days}' for days in (0, 1, 2, 6, 7, 8, 9)]
    assert registry.trim(keep=1, job_id='q-[6-9]').done == 3
    assert left(registry) == ['q-0', 'q-1', 'q-2', 'q-6']


def test_trim_keeps_to_bounds_on_scores_of_canceled_jobs(connection: redis.Redis) -> None:
    registry = fill(connection, 'canceled')
    highest = days_ago(7).timestamp()
    assert registry.trim(older_than=timedelta(days=3), min_score=days_ago(8).timestamp(), max_score=highest).done == 2
    assert left(registry) == [f'q-{days}' for days in (0, 1, 2, 3, 4, 5, 6, 9)]


@pytest.mark.parametrize('kind', NAMES)
def test_trim_over_many_queues_trims_each(connection: redis.Redis, kind: str) -> None:
    both = [fill(connection, kind, name) for name in ('mail', 'pdf')]
    result = rqreg_ext.trim(connection, kind, older_than=timedelta(days=7, hours=1))  # type: ignore[arg-type]
    assert {name: one.done for name, one in result.items()} == {'mail': 2, 'pdf': 2}
    result = rqreg_ext.trim(connection, kind, 'mail', keep=1)  # type: ignore[arg-type]
    assert {name: one.done for name, one in result.items()} == {'mail': 7}
    assert [len(left(registry)) for registry in both] == [1, 8]


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        ({}, ValueError),
        ({'keep': 1, 'older_than': timedelta(1)}, ValueError),
        ({'keep': 0}, ValueError),
        ({'keep': '5'}, TypeError),
        ({'older_than': 30}, ValueError),
        ({'older_than': datetime.now()}, ValueError),
        ({'older_than': timedelta(1), 'ended_before': timedelta(2)}, ValueError),
        ({'older_than': timedelta(1), 'fnc_name': 'x'}, TypeError),
    ],
)
def test_wrong_arguments_of_trim_raise_and_delete_nothing(
    connection: redis.Redis, options: dict[str, Any], error: type[Exception]
) -> None:
    registry = fill(connection, 'failed')
    for call in (registry.trim, lambda **options: rqreg_ext.trim(connection, 'failed', **options)):
        with pytest.raises(error):
            call(**options)
    assert len(left(registry)) == 10


def test_registries_of_unfinished_jobs_refuse_trim(connection: redis.Redis) -> None:
    for name in ('StartedJobRegistry', 'DeferredJobRegistry', 'ScheduledJobRegistry'):
        with pytest.raises(NotImplementedError, match=f'the jobs of a {name} have yet to run'):
            getattr(registries, name)('q', connection=connection).trim(keep=1)
    for wrong in ('started', 'deferred', 'scheduled'):
        with pytest.raises(NotImplementedError, match='have yet to run'):
            rqreg_ext.trim(connection, wrong, keep=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='names no registry'):
        rqreg_ext.trim(connection, 'faild', keep=1)  # type: ignore[arg-type]
