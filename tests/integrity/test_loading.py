"""Jobs that RQ cannot load, or not delete: check() names them before anything is done, and nothing else."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
import rq.job
from differential.world import TRAITS, AJob, World, Writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq.exceptions import NoSuchGroupError, NoSuchJobError
from rq.group import Group
from rq.job import Job

import rqreg_ext
from rqreg_ext import ProblemKind, Queue
from rqreg_ext._bulk.result import describe
from rqreg_ext._integrity import loading
from rqreg_ext.registry import FailedJobRegistry

from . import states

VALIDATES_IDS = hasattr(rq.job, 'validate_job_id')


def of_registry(queue: Queue) -> Any:
    return queue.failed_job_registry.check(settle=0)


def of_registry_without_scan(queue: Queue) -> Any:
    return queue.failed_job_registry.check(settle=0, orphans=False)


def of_database(queue: Queue) -> Any:
    return rqreg_ext.check(queue.connection, settle=0)


def of_named_queue(queue: Queue) -> Any:
    return rqreg_ext.check(queue.connection, [queue.name], settle=0)


CHECKS: list[Callable[[Queue], Any]] = [of_registry, of_registry_without_scan, of_database, of_named_queue]
by_each_check = pytest.mark.parametrize('check', CHECKS, ids=lambda check: check.__name__)

# ---- Fields


SPOILED: dict[str, tuple[str, bytes]] = {
    'exc_info': ('exc_info', b'\xff\xfe'),
    'exc_info compressed': ('exc_info', zlib.compress(b'\xff\xfe')),
    'description': ('description', b'\xff'),
    'worker_name': ('worker_name', b'\xff'),
    'timeout': ('timeout', b'soon'),
    'failure_ttl': ('failure_ttl', b'1 year'),
    'retries_left': ('retries_left', b'1.5'),
    'retry_intervals': ('retry_intervals', b'[1'),
    'enqueue_at_front': ('enqueue_at_front', b''),
    'failure_callback_timeout': ('failure_callback_timeout', b''),
    'dependency_ids': ('dependency_ids', b'\xff'),
    'dependency_ids no JSON': ('dependency_ids', b'parent'),
    **{
        f'{name} {date.decode()}': (name, date)
        for name in ('created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat')
        for date in (b'yesterday', b'2024-02-30T12:00:00.000000Z', b'2024-02-29 12:00:00.000000Z', b'1709208000')
    },
}


@pytest.mark.covering(1)
@by_each_check
@pytest.mark.parametrize('name', SPOILED)
def test_job_with_invalid_field_is_reported(connection: redis.Redis, check: Callable[[Queue], Any], name: str) -> None:
    queue = Queue('q', connection=connection)
    states.failed(queue, 'sound')
    spoiled = states.failed(queue, 'spoiled')
    field, value = SPOILED[name]
    connection.hset(spoiled.key, field, value)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever RQ says
        Job.fetch('spoiled', connection=connection)
    (problem,) = check(queue)
    assert (problem.kind, problem.job_id, problem.repair) == (ProblemKind.UNREADABLE_JOB, 'spoiled', None)
    assert describe(raised.value) in problem.detail


def test_job_with_invalid_field_is_reported_by_each_client(queue: Queue) -> None:
    connection = queue.connection
    job = states.failed(queue, 'spoiled')
    connection.hset(job.key, 'ended_at', 'yesterday')
    for check in CHECKS:
        assert states.kinds(check(queue)) == {'spoiled': 'unreadable_job'}
    report = queue.failed_job_registry.repair()
    assert [why for _, why in report.left] == ['there is no one safe repair']


def test_started_and_queued_jobs_with_invalid_fields_are_reported(connection: redis.Redis) -> None:
    queue = Queue('q', connection=connection)
    states.started(queue, 'runs')
    queue.enqueue('len', job_id='waits')
    for job_id in ('runs', 'waits'):
        connection.hset(Job.key_for(job_id), 'enqueued_at', 'long ago')
    assert states.kinds(queue.started_job_registry.check(settle=0, orphans=False)) == {'runs': 'unreadable_job'}
    assert states.kinds(rqreg_ext.check(connection, settle=0)) == {'runs': 'unreadable_job', 'waits': 'unreadable_job'}


def test_unreadable_orphan_is_not_queued(connection: redis.Redis) -> None:
    """A worker that takes it from the queue would end."""
    queue = Queue('q', connection=connection)
    job = queue.enqueue('len', job_id='lost')
    connection.lrem(queue.key, 0, 'lost')
    connection.hset(job.key, mapping={'enqueued_at': '2024-02-29T12:00:00.000000Z', 'started_at': 'never'})
    for check in (of_database, of_named_queue):
        assert states.kinds(check(queue)) == {'lost': 'unreadable_job'}
    rqreg_ext.repair(connection)
    assert queue.get_job_ids() == []


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    traits=st.lists(st.sampled_from(TRAITS), max_size=5, unique=True),
    field=st.sampled_from([None, *loading.FIELDS]),
    value=st.sampled_from(
        [b'', b'0', b'-7', b' 7 ', b'7.5', b'1_000', b'5m', b'null', b'"x"', b'\xff', b'x\x9c', b'\x00']
    ),
)
def test_jobs_are_reported_if_and_only_if_rq_cannot_load_them(
    connection: redis.Redis, traits: list[str], field: str | None, value: bytes
) -> None:
    connection.flushdb()
    with connection.pipeline(transaction=False) as pipe:
        Writer(World(jobs=[AJob('a', 'failed', traits)]), pipe, int(time.time())).write()
        pipe.execute()
    if field is not None and connection.type(Job.key_for('a')) == b'hash':
        connection.hset(Job.key_for('a'), field, value)
    connection.zadd('rq:failed:q', {'a': 4e9})
    try:
        Job.fetch('a', connection=connection)
        can_load = True
    except NoSuchJobError:
        # The hash has gone, or has no data.
        can_load = not connection.exists(Job.key_for('a'))
    except Exception:
        can_load = False
    report = FailedJobRegistry('q', connection=connection).check(settle=0, orphans=False)
    assert bool(report.of(ProblemKind.UNREADABLE_JOB)) is not can_load, str(report)


def test_job_class_with_own_restore_is_not_reported(connection: redis.Redis) -> None:
    class Forgiving(Job):
        def restore(self, raw_data: Any) -> Any:
            raw_data.pop(b'ended_at', None)
            return super().restore(raw_data)

    job = states.failed(Queue('q', connection=connection), 'a')
    connection.hset(job.key, 'ended_at', 'yesterday')
    Forgiving.fetch('a', connection=connection)
    assert not FailedJobRegistry('q', connection=connection, job_class=Forgiving).check(settle=0)


# ---- Ids


def with_id(queue: Queue, job_id: str) -> None:
    """Make a failed job with this id, as older releases of RQ allow."""
    job = states.failed(queue, 'new')
    queue.connection.rename(job.key, Job.key_for(job_id))
    queue.connection.zrem(queue.failed_job_registry.key, 'new')
    queue.connection.zadd(queue.failed_job_registry.key, {job_id: 4e9})


OLD_IDS = ['mail.send', 'someone@example.org', 'a b', 'grüße']


@by_each_check
@pytest.mark.parametrize('job_id', [*OLD_IDS, 'invoice:5'])
def test_job_with_refused_id_is_reported(connection: redis.Redis, check: Callable[[Queue], Any], job_id: str) -> None:
    queue = Queue('q', connection=connection)
    with_id(queue, job_id)
    expected = {job_id: 'refused_id'} if VALIDATES_IDS or ':' in job_id else {}
    report = check(queue)
    assert states.kinds(report) == expected
    assert all(problem.repair is None and not problem.repaired_by_rq for problem in report)
    before = connection.zrange(queue.failed_job_registry.key, 0, -1)
    assert len(rqreg_ext.repair(connection, report).left) == len(report)
    assert connection.zrange(queue.failed_job_registry.key, 0, -1) == before


@pytest.mark.skipif(not VALIDATES_IDS, reason='this RQ takes any id')
@pytest.mark.parametrize('status', ['failed', 'queued', 'deferred'])
def test_orphan_with_refused_id_is_not_repaired(connection: redis.Redis, status: str) -> None:
    queue = Queue('q', connection=connection)
    with_id(queue, 'mail.send')
    connection.zrem(queue.failed_job_registry.key, 'mail.send')
    connection.hset(Job.key_for('mail.send'), 'status', status)
    assert states.kinds(of_database(queue)) == {'mail.send': 'refused_id'}
    rqreg_ext.repair(connection)
    assert queue.get_job_ids() == []
    assert connection.exists(queue.failed_job_registry.key, queue.deferred_job_registry.key) == 0


@pytest.mark.skipif(not VALIDATES_IDS, reason='this RQ takes any id')
def test_deferred_job_with_refused_id_is_not_queued(connection: redis.Redis) -> None:
    queue = Queue('q', connection=connection)
    parent = queue.enqueue('len', job_id='parent')
    states.deferred(queue, 'new', parent)
    parent.set_status(rq.job.JobStatus.FINISHED)
    connection.zadd(queue.finished_job_registry.key, {'parent': 4e9})
    assert 'dependencies_met' in states.kinds(queue.deferred_job_registry.check(settle=0)).values()
    registry = queue.deferred_job_registry
    connection.rename(Job.key_for('new'), Job.key_for('mail.send'))
    connection.rename('rq:job::new:dependencies', 'rq:job::mail.send:dependencies')
    connection.hset(Job.key_for('mail.send'), 'status', 'deferred')
    connection.delete(queue.key, registry.key)
    connection.zadd(registry.key, {'mail.send': 4e9})
    assert states.kinds(registry.check(settle=0)) == {'mail.send': 'refused_id'}
    assert registry.repair().repaired == {}
    assert queue.get_job_ids() == []


# ---- Groups


def in_group(queue: Queue, *job_ids: str) -> Group:
    """Make failed jobs in a group by RQ itself."""
    group = Group.create(connection=queue.connection)
    group.enqueue_many(queue, [Queue.prepare_data('tests.nothing', job_id=job_id) for job_id in job_ids])
    states.work(queue)
    return group


@by_each_check
def test_job_of_missing_group_is_reported(queue: Queue, check: Callable[[Queue], Any]) -> None:
    in_group(queue, 'sound')
    group = in_group(queue, 'a', 'b')
    assert not check(queue)
    queue.connection.delete(group.key)
    report = check(queue)
    assert states.kinds(report) == {'a': 'missing_group', 'b': 'missing_group'}
    assert {problem.repair for problem in report} == {'remove the group from the job'}
    assert all(group.key in problem.detail and 'NoSuchGroupError' in problem.detail for problem in report)


def test_job_of_missing_group_can_be_deleted_after_repair(queue: Queue) -> None:
    """By RQ itself, which it could not before, and by purge()."""
    connection, registry = queue.connection, queue.failed_job_registry
    group = in_group(queue, 'a', 'b', 'c')
    connection.delete(group.key)
    with pytest.raises(NoSuchGroupError):
        Job.fetch('a', connection=connection).delete()
    # RQ has taken it out of the registry by then.
    connection.zadd(registry.key, {'a': 4e9})
    before = registry.purge()
    assert {(job_id, type(error)) for job_id, error in before.failed} == {
        (job_id, NoSuchGroupError) for job_id in ('a', 'b', 'c')
    }
    would = registry.repair(dry_run=True)
    assert dict(would.repaired) == {ProblemKind.MISSING_GROUP: 3}
    assert connection.hget(Job.key_for('a'), 'group_id') == group.name.encode()
    done = registry.repair()
    assert (dict(done.repaired), done.left, done.failed) == ({ProblemKind.MISSING_GROUP: 3}, [], [])
    assert Job.fetch('b', connection=connection).group_id is None
    assert not registry.check(settle=0)
    registry.remove('a', delete_job=True)
    assert registry.purge().done == 2
    assert connection.keys('rq:job:*') == []


def test_repair_leaves_job_whose_group_exists_again(queue: Queue) -> None:
    group = in_group(queue, 'a', 'b')
    queue.connection.delete(group.key)
    report = queue.failed_job_registry.check(settle=0)
    queue.connection.sadd(group.key, 'a')
    queue.connection.hset(Job.key_for('b'), 'group_id', 'another')
    assert dict(queue.failed_job_registry.repair(report).gone) == {ProblemKind.MISSING_GROUP: 2}
    assert queue.connection.hget(Job.key_for('a'), 'group_id') == group.name.encode()
    assert queue.connection.hget(Job.key_for('b'), 'group_id') == b'another'


def test_repaired_hash_equals_job_without_group(queue: Queue) -> None:
    group = in_group(queue, 'a')
    states.failed(queue, 'b')
    queue.connection.delete(group.key)
    queue.failed_job_registry.repair()
    of_a, of_b = (queue.connection.hgetall(Job.key_for(job_id)) for job_id in ('a', 'b'))
    assert of_a[b'group_id'] == of_b[b'group_id'] == b''
