"""Several applications on one Redis, each with rights to its own queues only, as Frappe's benches have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import rq.registry
from differential.database import differences, dump
from private_redis import PrivateRedis
from rq import Queue
from rq.job import JobStatus

import rqreg_ext
import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

OURS, THEIRS = 'a:default', 'b:default'
NEVER = 4_000_000_000
RULES = ('~rq:[^q]*', '~rq:queues', '~rq:queue:a:*', '+@all', '-@admin')


def fail(admin: redis.Redis, name: str, *job_ids: str) -> None:
    queue = Queue(name, connection=admin)
    admin.sadd('rq:queues', queue.key)
    for job_id in job_ids:
        job = queue.create_job('len', job_id=job_id)
        job.set_status(JobStatus.FAILED)
        job.save()
        admin.zadd(f'rq:failed:{name}', {job_id: NEVER})


@pytest.fixture
def bench(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    """A client of one bench's user, on a Redis that another bench uses too."""
    for name, first in ((OURS, 'a'), (THEIRS, 'b')):
        fail(connection, name, f'{first}1', f'{first}2')
        Queue(name, connection=connection).enqueue('len', job_id=f'{first}-waiting')
        connection.sadd('rq:workers', f'rq:worker:{first}')
        connection.hset(f'rq:worker:{first}', mapping={'state': 'busy', 'queues': name, 'birth': 'x'})
    connection.execute_command('ACL', 'SETUSER', 'bench-a', 'reset', 'on', '>x', *RULES)
    with redis_server.client(username='bench-a', password='x') as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.llen(f'rq:queue:{THEIRS}')
        yield client
    connection.execute_command('ACL', 'DELUSER', 'bench-a')


def of_theirs(admin: redis.Redis) -> dict[bytes, Any]:
    """Return the keys of the other bench."""
    keys = dump(admin)
    return {key: value for key, value in keys.items() if b'b:default' in key or b':b' in key}


def only_theirs(errors: dict[str, Exception]) -> bool:
    """Tell whether only the other bench's queue was left out, because access to it is denied."""
    return [*errors] == [THEIRS] and type(errors[THEIRS]).__name__ == 'NoPermissionError'


@pytest.mark.parametrize('options', [{}, {'scores': True}, {'cleanup': True}, {'cleanup': True, 'scores': True}])
def test_snapshot_leaves_out_denied_queue(
    bench: redis.Redis, connection: redis.Redis, options: dict[str, bool]
) -> None:
    taken = rqreg_ext.snapshot(bench, **options)
    complete = rqreg_ext.snapshot(connection, [OURS], **options)
    assert only_theirs(taken.errors)
    assert taken[OURS] == complete[OURS]
    assert taken.total == complete.total
    assert taken.workers == {'busy': 2}
    assert 'NoPermissionError' in taken.to_dict()['errors'][THEIRS]
    assert '1 left out' in repr(taken)
    assert f'  {THEIRS!r} was left out: NoPermissionError: ' in str(taken)
    assert complete.errors == {}


def test_snapshot_leaves_out_named_denied_queue(bench: redis.Redis) -> None:
    taken = rqreg_ext.snapshot(bench, [THEIRS])
    assert (dict(taken), only_theirs(taken.errors)) == ({}, True)


def test_snapshot_raises_if_command_is_denied_for_all_queues(bench: redis.Redis, connection: redis.Redis) -> None:
    connection.execute_command('ACL', 'SETUSER', 'bench-a', '-llen')
    with pytest.raises(redis.exceptions.NoPermissionError, match='llen'):
        rqreg_ext.snapshot(bench)


def test_snapshot_cleans_up_permitted_queues(bench: redis.Redis, connection: redis.Redis) -> None:
    fail(connection, 'a:other', 'a3')
    for name in (OURS, THEIRS, 'a:other'):
        connection.zadd(f'rq:finished:{name}', {'old': 1})
    rules = ['resetkeys', '~rq:queues', '~rq:*a:default', '~rq:*a:other', '~rq:worker*']
    connection.execute_command('ACL', 'SETUSER', 'bench-a', *rules)
    taken = rqreg_ext.snapshot(bench, cleanup=True)
    assert only_theirs(taken.errors)
    assert (taken[OURS].finished, taken['a:other'].finished) == (0, 0)
    assert connection.zcard(f'rq:finished:{THEIRS}') == 1


def spoil(admin: redis.Redis) -> None:
    """Create problems of the same kinds in the queues of both benches."""
    for name, first in ((OURS, 'a'), (THEIRS, 'b')):
        admin.zadd(f'rq:failed:{name}', {f'{first}-gone': NEVER})
        for status in ('queued', 'failed'):
            job = Queue(name, connection=admin).create_job('len', job_id=f'{first}-{status}')
            job.set_status(JobStatus(status))
            job.save()


def test_check_leaves_out_denied_queue(bench: redis.Redis, connection: redis.Redis) -> None:
    spoil(connection)
    report = rqreg_ext.check(bench, settle=0)
    assert only_theirs(report.errors)
    assert {problem.job_id for problem in report} == {'a-gone', 'a-queued', 'a-failed'}
    assert 'b:default was left out: NoPermissionError' in str(report)
    assert report.to_dict()['errors'][THEIRS].startswith('NoPermissionError')
    for part in (report[:1], report.lasting, report.of('orphan'), report + report):
        assert only_theirs(part.errors)


def test_check_without_problems_says_so_and_names_denied_queue(bench: redis.Redis) -> None:
    report = rqreg_ext.check(bench, settle=0)
    assert (len(report), only_theirs(report.errors)) == (0, True)
    assert str(report).startswith('no problems in ')


def test_check_finds_jobs_of_unlisted_queue_by_scan(bench: redis.Redis, connection: redis.Redis) -> None:
    """Its jobs are found by scanning all keys."""
    spoil(connection)
    connection.srem('rq:queues', f'rq:queue:{THEIRS}', f'rq:queue:{OURS}')
    report = rqreg_ext.check(bench, settle=0)
    assert only_theirs(report.errors)
    assert {problem.job_id for problem in report} == {None, 'a-gone', 'a-queued', 'a-failed'}
    assert [problem.detail for problem in report if problem.job_id is None and 'b:default' in problem.detail] == []


def test_check_of_registry_leaves_out_what_needs_denied_queue(bench: redis.Redis, connection: redis.Redis) -> None:
    """The user has the right to the registry, but not to its queue: checks that need the queue are left out."""
    spoil(connection)
    connection.hset('rq:job:b1', 'status', 'queued')
    report = FailedJobRegistry(THEIRS, connection=bench).check(settle=0, orphans=False)
    assert {problem.job_id for problem in report} == {'b-gone'}
    assert only_theirs(report.errors)


def test_check_leaves_out_denied_jobs(bench: redis.Redis, connection: redis.Redis) -> None:
    spoil(connection)
    rules = ['resetkeys', '~rq:job:*a*', '~rq:queues', '~rq:*a:default*', '~rq:w*', '~rq:execution*']
    connection.execute_command('ACL', 'SETUSER', 'bench-a', *rules)
    report = rqreg_ext.check(bench, settle=0)
    assert {problem.job_id for problem in report} == {'a-gone', 'a-queued', 'a-failed'}
    assert set(report.errors) == {THEIRS, 'rq:job:*'}


def test_repair_leaves_out_denied_queue(bench: redis.Redis, connection: redis.Redis) -> None:
    spoil(connection)
    connection.zadd(f'rq:failed:{OURS}', {'a-queued': NEVER})
    before = of_theirs(connection)
    done = rqreg_ext.repair(bench)
    assert only_theirs(done.errors)
    assert (done.failed, done.repaired['missing_job'], done.repaired['orphan']) == ([], 1, 1)
    assert 'b:default was left out' in str(done)
    assert THEIRS in done.to_dict()['errors']
    assert only_theirs((done + done).errors)
    assert differences(before, of_theirs(connection)) == []
    assert connection.zscore(f'rq:failed:{OURS}', 'a-gone') is None


@pytest.mark.parametrize('scripts', [True, False])
@pytest.mark.parametrize('name', ['purge', 'requeue_all'])
def test_calls_leave_out_denied_queue(bench: redis.Redis, connection: redis.Redis, name: str, scripts: bool) -> None:
    """RQ's loop would remove entries of the other bench, and fail at its queue."""
    if not scripts:
        connection.execute_command('ACL', 'SETUSER', 'bench-a', '-eval', '-evalsha')
    before = of_theirs(connection)
    result = getattr(rqreg_ext, name)(bench)
    assert only_theirs(result.errors)
    assert {queue: found.done for queue, found in result.items()} == {OURS: 2, THEIRS: 0}
    assert result[OURS].by_rq == (0 if scripts else 2)
    assert differences(before, of_theirs(connection)) == []
    assert connection.zcard(f'rq:failed:{OURS}') == 0


@pytest.mark.parametrize('name', ['purge', 'requeue_all', 'cancel_many'])
def test_job_of_denied_queue_in_permitted_registry_is_not_half_done(
    bench: redis.Redis, connection: redis.Redis, name: str
) -> None:
    """The result counts what was done, and no job is half done."""
    fail(connection, OURS, *(f'a{number}' for number in range(100, 200)))
    ids = [job_id.decode() for job_id in connection.zrange(f'rq:failed:{OURS}', 0, -1)]
    connection.hset(f'rq:job:{ids[70]}', 'origin', THEIRS)
    registry = FailedJobRegistry(OURS, connection=bench)
    with pytest.raises(redis.exceptions.NoPermissionError) as caught:
        registry.cancel_many(ids) if name == 'cancel_many' else getattr(registry, name)()
    result = caught.value.result  # type: ignore[attr-defined]
    done = [job_id for job_id in ids if connection.zscore(f'rq:failed:{OURS}', job_id) is None]
    assert result.done == len(done) >= 70
    assert (result.missing, result.failed) == (0, [])
    assert ids[70] not in done
    assert connection.hget(f'rq:job:{ids[70]}', 'status') == b'failed'
    assert connection.lrange(f'rq:queue:{THEIRS}', 0, -1) == [b'b-waiting']


SINGLE: dict[str, Any] = {
    'remove': lambda registry: registry.remove('a1', delete_job=True),
    'requeue': lambda registry: registry.requeue('a1').id,
}
MANY: dict[str, Any] = {
    'purge': lambda registry: registry.purge(),
    'requeue_all': lambda registry: registry.requeue_all(),
    'cancel_many': lambda registry: registry.cancel_many(['a1', 'a2']),
}
WRITES = ('lrem', 'unlink', 'del', 'zrem', 'hset', 'zadd', 'rpush', 'expire')


def outcome(call: Any, registry: Any) -> Any:
    try:
        return call(registry)
    except redis.exceptions.NoPermissionError as error:
        return type(error)


def begin(admin: redis.Redis) -> None:
    """Fill the bench's queue, with a failed job that is also in the queue and has a time to live."""
    admin.flushdb()
    fail(admin, OURS, 'a1', 'a2')
    admin.rpush(f'rq:queue:{OURS}', 'a1')
    admin.hset('rq:job:a1', 'ttl', 1000)


@pytest.mark.parametrize('denied', WRITES)
@pytest.mark.parametrize('name', SINGLE)
def test_single_call_with_denied_command_in_script_equals_rq(
    bench: redis.Redis, connection: redis.Redis, name: str, denied: str
) -> None:
    """RQ's call sends several commands, of which the first may succeed."""
    connection.execute_command('ACL', 'SETUSER', 'bench-a', f'-{denied}')
    sides = []
    for namespace in (rq.registry, rqreg_ext.registry):
        begin(connection)
        came = outcome(SINGLE[name], namespace.FailedJobRegistry(OURS, connection=bench))
        sides.append((came, dump(connection)))
    assert sides[0][0] == sides[1][0]
    assert differences(sides[0][1], sides[1][1]) == []


@pytest.mark.parametrize('denied', WRITES)
@pytest.mark.parametrize('name', MANY)
def test_bulk_call_with_denied_command_changes_nothing(
    bench: redis.Redis, connection: redis.Redis, name: str, denied: str
) -> None:
    connection.execute_command('ACL', 'SETUSER', 'bench-a', f'-{denied}')
    begin(connection)
    before = dump(connection)
    result = outcome(MANY[name], FailedJobRegistry(OURS, connection=bench))
    if result is redis.exceptions.NoPermissionError:
        assert differences(before, dump(connection)) == []
    else:
        assert result.done == 2
