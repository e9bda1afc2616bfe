"""Jobs with ids that older RQ took, and this one refuses: no call passes them over, or takes their entries only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.job
from clients.prefixing import PREFIX, Prefixing
from differential.database import differences, dump
from rq import Queue
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry
from rqreg_ext.whole.result import BulkResult

if TYPE_CHECKING:
    from private_redis import PrivateRedis

# An id with a colon is cut by every RQ.
WITH_COLON = ['invoice:5']
REFUSED = ['mail.send', 'someone@example.org', 'a b', 'grüße', *WITH_COLON]
if not hasattr(rq.job, 'validate_job_id'):
    REFUSED = WITH_COLON
RQS_WORDS = 'Job ID must only contain letters' if REFUSED != WITH_COLON else "RQ takes 'invoice:5' for the id of job"

Bulk = Callable[..., BulkResult]
CALLS: dict[str, Bulk] = {
    'purge': lambda registry, **options: registry.purge(**options),
    'purge by filter': lambda registry, **options: registry.purge(func_name='os.*', **options),
    'remove_many': lambda registry, **options: registry.remove_many(REFUSED, delete_job=True, **options),
    'requeue_all': lambda registry, **options: registry.requeue_all(**options),
    'requeue_many': lambda registry, **options: registry.requeue_many(REFUSED, **options),
    'cancel_many': lambda registry, **options: registry.cancel_many(REFUSED, **options),
    'purge of queues': lambda registry, **options: rqreg_ext.purge(registry.connection, **options).total,
    'requeue_all of queues': lambda registry, **options: rqreg_ext.requeue_all(registry.connection, **options).total,
}
of_each_call = pytest.mark.parametrize('call', CALLS.values(), ids=list(CALLS))


def fail_with_id(client: Any, job_id: str) -> None:
    """Make a failed job of this id, as older RQ has."""
    job = Queue('q', connection=client).enqueue('os.getpid', job_id='new')
    client.lrem('rq:queue:q', 0, 'new')
    client.hset(job.key, 'status', 'failed')
    client.rename(job.key, Job.key_for(job_id))
    client.zadd('rq:failed:q', {job_id: 4e9})


@pytest.fixture
def registry(job_client: Any) -> FailedJobRegistry:
    for job_id in REFUSED:
        fail_with_id(job_client, job_id)
    return FailedJobRegistry('q', connection=job_client)


def test_rq_itself_refuses_them(registry: FailedJobRegistry) -> None:
    for job_id in REFUSED:
        with pytest.raises((ValueError, rq.exceptions.NoSuchJobError)):
            registry.requeue(job_id)


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('dry_run', [False, True])
def test_bulk_calls_leave_jobs_with_refused_ids_and_name_them(
    registry: FailedJobRegistry, name: str, dry_run: bool
) -> None:
    before = _kept(registry.connection)
    result = CALLS[name](registry, dry_run=dry_run)
    # A filter looks where RQ does.
    left = [job_id for job_id in REFUSED if name != 'purge by filter' or job_id not in WITH_COLON]
    assert sorted(job_id for job_id, _ in result.failed) == sorted(left), str(result)
    assert all(type(error) is ValueError and str(error).startswith(RQS_WORDS) for _, error in result.failed)
    assert (result.done, result.missing, result.skipped) == (0, 0, {})
    assert _kept(registry.connection) == before


def _kept(client: Any) -> tuple[list[bytes], dict[bytes, float]]:
    return sorted(client.keys('rq:job:*')), dict(client.zrange('rq:failed:q', 0, -1, withscores=True))


@pytest.fixture
def prefixing(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    """A client by which RQ's own methods do each job."""
    with Prefixing(port=redis_server.port) as client:
        yield client


def give_prefix(connection: redis.Redis) -> None:
    for key in connection.keys('*'):
        connection.rename(key, PREFIX + key)


@pytest.mark.parametrize('dry_run', [False, True])
@of_each_call
def test_client_that_prefixes_keys_leaves_jobs_with_refused_ids(
    connection: redis.Redis, prefixing: redis.Redis, call: Bulk, dry_run: bool
) -> None:
    for job_id in REFUSED:
        fail_with_id(connection, job_id)
    give_prefix(connection)
    before = dump(connection)
    result = call(FailedJobRegistry('q', connection=prefixing), dry_run=dry_run)
    assert all(type(error) is ValueError for _, error in result.failed)
    assert (result.done, result.missing, result.skipped) == (0, 0, {})
    # A filter looks where RQ does, which finds none with a colon.
    assert len(result.failed) == result.total or [*{*REFUSED} - {job_id for job_id, _ in result.failed}] == WITH_COLON
    assert differences(before, dump(connection)) == []


@of_each_call
def test_client_that_prefixes_keys_finds_no_job_of_an_entry_with_refused_id(
    connection: redis.Redis, prefixing: redis.Redis, call: Bulk
) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.zadd('rq:failed:q', dict.fromkeys(REFUSED, 4e9))
    give_prefix(connection)
    result = call(FailedJobRegistry('q', connection=prefixing))
    by_filter = result.total == 0
    assert by_filter or (result.skipped, result.failed) == ({'no such job': len(REFUSED)}, [])


def test_entry_that_is_not_the_id_of_its_job_is_a_failure(connection: redis.Redis, prefixing: redis.Redis) -> None:
    """RQ finds the job `invoice`, which is in no registry."""
    Queue('q', connection=connection).enqueue('os.getpid', job_id='invoice')
    connection.zadd('rq:failed:q', {'invoice:5': 4e9})
    give_prefix(connection)
    result = FailedJobRegistry('q', connection=prefixing).requeue_all()
    assert (result.done, result.missing) == (0, 0)
    assert [str(error)[:49] for _, error in result.failed] == ["'invoice:5' is not the id of its job, 'invoice', "]


@of_each_call
def test_entry_with_refused_id_and_no_job_is_no_such_job(connection: redis.Redis, call: Bulk) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.zadd('rq:failed:q', dict.fromkeys(REFUSED, 4e9))
    result = call(FailedJobRegistry('q', connection=connection))
    by_filter = result.total == 0
    assert by_filter or (result.skipped, result.failed) == ({'no such job': len(REFUSED)}, [])


@of_each_call
def test_job_that_rq_would_take_another_for_is_left(connection: redis.Redis, call: Bulk) -> None:
    """RQ finds the job `invoice` by the id `invoice:5`, and would delete that."""
    fail_with_id(connection, 'invoice:5')
    Queue('other', connection=connection).enqueue('os.getpid', job_id='invoice')
    before = dump(connection)
    result = call(FailedJobRegistry('q', connection=connection))
    assert [job_id for job_id, _ in result.failed] == ['invoice:5']
    assert differences(before, dump(connection)) == []


def test_entries_alone_are_removed(registry: FailedJobRegistry) -> None:
    """As RQ's remove() does, which does not look at the job."""
    assert registry.remove_many(REFUSED).done == len(REFUSED)
    assert registry.connection.exists(*map(Job.key_for, REFUSED)) == len(REFUSED)


def test_job_class_with_ids_of_its_own_is_asked(connection: redis.Redis) -> None:
    class AnyId(Job):
        @property
        def id(self) -> str:
            return self._id or ''

        @id.setter
        def id(self, value: str) -> None:
            self._id = value

        def __init__(self, id: str | None = None, **options: Any) -> None:
            super().__init__(None, **options)
            self._id = id

    fail_with_id(connection, 'mail.send')
    result = FailedJobRegistry('q', connection=connection, job_class=AnyId).requeue_all()
    assert (result.done, result.failed) == (1, [])
    assert connection.lrange('rq:queue:q', 0, -1) == [b'mail.send']
