"""Jobs with ids that older RQ accepted and this one refuses: calls neither skip them nor remove only their entries."""

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
from rqreg_ext._bulk.result import BulkResult
from rqreg_ext.registry import FailedJobRegistry

if TYPE_CHECKING:
    from private_redis import PrivateRedis

# Every RQ cuts off an id at a colon.
WITH_COLON = ['invoice:5']
REFUSED = ['mail.send', 'someone@example.org', 'a b', 'grüße', *WITH_COLON]
if not hasattr(rq.job, 'validate_job_id'):
    REFUSED = WITH_COLON
RQ_MESSAGE = 'Job ID must only contain letters' if REFUSED != WITH_COLON else "RQ takes 'invoice:5' for the id of job"

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
    """Create a failed job with this id, as older RQ could."""
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


def test_rq_refuses_ids(registry: FailedJobRegistry) -> None:
    for job_id in REFUSED:
        with pytest.raises((ValueError, rq.exceptions.NoSuchJobError)):
            registry.requeue(job_id)


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('dry_run', [False, True])
def test_jobs_with_refused_ids_are_unchanged_and_in_failed(
    registry: FailedJobRegistry, name: str, dry_run: bool
) -> None:
    before = _kept(registry.connection)
    result = CALLS[name](registry, dry_run=dry_run)
    # With a filter, RQ's key of an id with a colon is read, where there is no job.
    left = [job_id for job_id in REFUSED if name != 'purge by filter' or job_id not in WITH_COLON]
    assert sorted(job_id for job_id, _ in result.failed) == sorted(left), str(result)
    assert all(type(error) is ValueError and str(error).startswith(RQ_MESSAGE) for _, error in result.failed)
    assert (result.done, result.missing, result.skipped) == (0, 0, {})
    assert _kept(registry.connection) == before


def _kept(client: Any) -> tuple[list[bytes], dict[bytes, float]]:
    return sorted(client.keys('rq:job:*')), dict(client.zrange('rq:failed:q', 0, -1, withscores=True))


@pytest.fixture
def prefixing(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    """A client that changes keys, so that RQ's methods process each job."""
    with Prefixing(port=redis_server.port) as client:
        yield client


def give_prefix(connection: redis.Redis) -> None:
    for key in connection.keys('*'):
        connection.rename(key, PREFIX + key)


@pytest.mark.parametrize('dry_run', [False, True])
@of_each_call
def test_prefixing_client_leaves_jobs_with_refused_ids(
    connection: redis.Redis, prefixing: redis.Redis, call: Bulk, dry_run: bool
) -> None:
    for job_id in REFUSED:
        fail_with_id(connection, job_id)
    give_prefix(connection)
    before = dump(connection)
    result = call(FailedJobRegistry('q', connection=prefixing), dry_run=dry_run)
    assert all(type(error) is ValueError for _, error in result.failed)
    assert (result.done, result.missing, result.skipped) == (0, 0, {})
    # With a filter, RQ's key of an id with a colon is read, where there is no job.
    assert len(result.failed) == result.total or [*{*REFUSED} - {job_id for job_id, _ in result.failed}] == WITH_COLON
    assert differences(before, dump(connection)) == []


@of_each_call
def test_prefixing_client_skips_refused_id_without_job(
    connection: redis.Redis, prefixing: redis.Redis, call: Bulk
) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.zadd('rq:failed:q', dict.fromkeys(REFUSED, 4e9))
    give_prefix(connection)
    result = call(FailedJobRegistry('q', connection=prefixing))
    is_filtered = result.total == 0
    assert is_filtered or (result.skipped, result.failed) == ({'no such job': len(REFUSED)}, [])


def test_entry_with_id_of_other_job_fails(connection: redis.Redis, prefixing: redis.Redis) -> None:
    """RQ loads the job `invoice`, which is in no registry."""
    Queue('q', connection=connection).enqueue('os.getpid', job_id='invoice')
    connection.zadd('rq:failed:q', {'invoice:5': 4e9})
    give_prefix(connection)
    result = FailedJobRegistry('q', connection=prefixing).requeue_all()
    assert (result.done, result.missing) == (0, 0)
    assert [str(error)[:49] for _, error in result.failed] == ["'invoice:5' is not the id of its job, 'invoice', "]


@of_each_call
def test_refused_id_without_job_is_skipped(connection: redis.Redis, call: Bulk) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.zadd('rq:failed:q', dict.fromkeys(REFUSED, 4e9))
    result = call(FailedJobRegistry('q', connection=connection))
    is_filtered = result.total == 0
    assert is_filtered or (result.skipped, result.failed) == ({'no such job': len(REFUSED)}, [])


@of_each_call
def test_job_whose_id_rq_cuts_off_is_unchanged(connection: redis.Redis, call: Bulk) -> None:
    """RQ would load and delete the job `invoice` for the id `invoice:5`."""
    fail_with_id(connection, 'invoice:5')
    Queue('other', connection=connection).enqueue('os.getpid', job_id='invoice')
    before = dump(connection)
    result = call(FailedJobRegistry('q', connection=connection))
    assert [job_id for job_id, _ in result.failed] == ['invoice:5']
    assert differences(before, dump(connection)) == []


def test_entries_with_refused_ids_are_removed(registry: FailedJobRegistry) -> None:
    """RQ's remove() does not load the job either."""
    assert registry.remove_many(REFUSED).done == len(REFUSED)
    assert registry.connection.exists(*map(Job.key_for, REFUSED)) == len(REFUSED)


def test_job_class_with_own_id_rules_is_used(connection: redis.Redis) -> None:
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


# ---- The empty id, which RQ accepts


def test_requeue_of_empty_id_equals_rq(connection: redis.Redis) -> None:
    """RQ can load, requeue and delete the job, so check() reports no problem, and bulk calls process it."""
    sides = []
    for loop in (True, False):
        connection.flushdb()
        fail_with_id(connection, '')
        assert Job.fetch('', connection=connection).id == ''
        assert [*rqreg_ext.check(connection, settle=0)] == []
        if loop:
            rq.registry.FailedJobRegistry('q', connection=connection).requeue('')
        else:
            assert FailedJobRegistry('q', connection=connection).requeue_all().done == 1
        sides.append((connection.lrange('rq:queue:q', 0, -1), connection.hget('rq:job:', 'status')))
    assert sides[0] == sides[1] == ([b''], b'queued')


@pytest.mark.parametrize('name', CALLS)
def test_bulk_calls_process_job_with_empty_id(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fail_with_id(connection, '')
    monkeypatch.setattr(f'{__name__}.REFUSED', [''])
    result = CALLS[name](FailedJobRegistry('q', connection=connection))
    assert (result.done, result.total) == (1, 1)
    assert connection.zcard('rq:failed:q') == 0


def test_check_reports_problem_of_empty_id(connection: redis.Redis) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.zadd('rq:failed:q', {'': 4e9})
    (problem,) = rqreg_ext.check(connection, settle=0)
    assert (problem.kind, problem.job_id) == (rqreg_ext.ProblemKind.MISSING_JOB, '')


# ---- Ids that cannot be encoded, and so cannot be sent

UNSENDABLE = ['\udcff', 'a\ud800b']
MANY: dict[str, tuple[Callable[..., BulkResult], Callable[[Any, str], Any]]] = {
    'remove_many': (
        lambda registry, ids, **options: registry.remove_many(ids, **options),
        lambda registry, job_id: registry.remove(job_id),
    ),
    'remove_many(delete_job)': (
        lambda registry, ids, **options: registry.remove_many(ids, delete_job=True, **options),
        lambda registry, job_id: registry.remove(job_id, delete_job=True),
    ),
    'requeue_many': (
        lambda registry, ids, **options: registry.requeue_many(ids, **options),
        lambda registry, job_id: registry.requeue(job_id),
    ),
    'cancel_many': (
        lambda registry, ids, **options: registry.cancel_many(ids, **options),
        lambda registry, job_id: Job.fetch(job_id, connection=registry.connection).cancel(),
    ),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize('waiting', [0, 500])
@pytest.mark.parametrize('dry_run', [False, True])
@pytest.mark.parametrize('name', MANY)
def test_unencodable_id_fails_as_in_rq_and_others_are_done(
    job_client: Any, name: str, dry_run: bool, waiting: int
) -> None:
    call, by_rq = MANY[name]
    others = ['one', 'two', 'three']
    for job_id in others:
        fail_with_id(job_client, job_id)
    if waiting:
        job_client.rpush('rq:queue:q', *range(waiting))
    expected = []
    for job_id in UNSENDABLE:
        with pytest.raises(ValueError, match=r'encode|Job ID must') as raised:
            by_rq(rq.registry.FailedJobRegistry('q', connection=job_client), job_id)
        expected.append((job_id, type(raised.value), str(raised.value)))
    given = ['one', UNSENDABLE[0], 'two', 'gone', UNSENDABLE[1], 'three']
    result = call(FailedJobRegistry('q', connection=job_client), given, dry_run=dry_run)
    assert (result.done, result.missing, result.total) == (3, 1, 6)
    failed = [(job_id, type(error), str(error)) for job_id, error in result.failed]
    if dry_run:
        failed, expected = ([job_id for job_id, *_ in each] for each in (failed, expected))  # type: ignore[misc]
    assert failed == expected
    assert job_client.zcard('rq:failed:q') == (3 if dry_run else 0)


def test_many_unencodable_ids_fail(connection: redis.Redis) -> None:
    ids = [f'job-{number}' if number % 7 else f'\udcff{number}' for number in range(1500)]
    connection.zadd('rq:failed:q', dict.fromkeys([job_id for job_id in ids if job_id.isascii()], 4e9))
    registry = FailedJobRegistry('q', connection=connection)
    assert registry.contains_many(ids) == [job_id.isascii() for job_id in ids]
    result = registry.remove_many(ids)
    assert [job_id for job_id, _ in result.failed] == [job_id for job_id in ids if not job_id.isascii()]
    assert (result.done, result.missing, connection.zcard('rq:failed:q')) == (1500 - len(result.failed), 0, 0)


@pytest.mark.parametrize('registry_class', [FailedJobRegistry, rqreg_ext.StartedJobRegistry])
def test_unencodable_id_is_in_no_registry(any_client: Any, registry_class: Any) -> None:
    registry = registry_class('q', connection=any_client)
    any_client.zadd(registry.key, {'a:1' if 'Started' in registry_class.__name__ else 'a': 4e9})
    assert registry.contains_many([UNSENDABLE[0], 'a', 'b', UNSENDABLE[1]]) == [False, True, False, False]
