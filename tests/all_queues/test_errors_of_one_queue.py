"""Calls over many queues: an error of one queue is in `errors`, with its key, and the other queues are processed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import rq.registry
from faults.test_refusing_servers import REFUSALS
from private_redis import PrivateRedis
from rq import Queue

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

NEVER = 4_000_000_000
QUEUES = ('a', 'b', 'c')


def fill(client: Any) -> None:
    """Create in each queue a queued job, a failed job, and an entry without a job."""
    client.flushall()
    for name in QUEUES:
        queue = Queue(name, connection=client)
        queue.enqueue('len', job_id=f'{name}-waiting')
        job = queue.create_job('len', job_id=f'{name}-failed', status='failed')  # type: ignore[arg-type]
        job.save()
        client.zadd(f'rq:failed:{name}', {job.id: NEVER, f'{name}-gone': NEVER})


# What each call returns for the queues that it processes.
def done(result: Any) -> Any:
    return {name: (found.done, found.skipped['no such job']) for name, found in result.items()}


def counted(result: Any) -> Any:
    return {name: (counts.queued, counts.failed) for name, counts in result.items()}


def named(result: Any) -> Any:
    return sorted((problem.kind.value, problem.job_id) for problem in result)


def repaired(result: Any) -> Any:
    return dict(result.repaired)


CALLS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    'purge': (rqreg_ext.purge, done),
    'purge of entries': (lambda client, **options: rqreg_ext.purge(client, delete_job=False, **options), done),
    'purge by filter': (lambda client, **options: rqreg_ext.purge(client, func_name='len', **options), done),
    'requeue_all': (rqreg_ext.requeue_all, done),
    'cancel_all': (lambda client, **options: rqreg_ext.cancel_all(client, 'failed', **options), done),
    'trim': (lambda client, **options: rqreg_ext.trim(client, keep=1, **options), done),
    'export': (lambda client, **options: rqreg_ext.export(client, io.BytesIO(), **options), done),
    'count_by': (
        lambda client, **options: rqreg_ext.count_by(client, 'queue', **options),
        lambda groups: {group.values['queue']: group.count for group in groups},
    ),
    'dry run': (lambda client, **options: rqreg_ext.requeue_all(client, dry_run=True, **options), done),
    'snapshot': (rqreg_ext.snapshot, counted),
    'snapshot(scores)': (lambda client, **options: rqreg_ext.snapshot(client, scores=True, **options), counted),
    'snapshot(cleanup)': (lambda client, **options: rqreg_ext.snapshot(client, cleanup=True, **options), counted),
    'check': (lambda client, **options: rqreg_ext.check(client, settle=0, **options), named),
    'repair': (rqreg_ext.repair, repaired),
}
of_each_call = pytest.mark.parametrize('name', CALLS)


def spoil(client: Any, key: str) -> None:
    client.delete(key)
    client.set(key, 'text')


def outcome_of_others(client: Any, name: str) -> Any:
    """Return the outcome of the call if there is no queue `b`."""
    fill(client)
    client.srem('rq:queues', 'rq:queue:b')
    client.delete('rq:queue:b', 'rq:failed:b', 'rq:job:b-waiting', 'rq:job:b-failed')
    call, said = CALLS[name]
    return said(call(client))


def without_b(said: Any) -> Any:
    return {name: value for name, value in said.items() if name != 'b'} if isinstance(said, dict) else said


@of_each_call
@pytest.mark.parametrize('queues', [None, QUEUES], ids=['all', 'named'])
def test_registry_of_other_type_is_error_of_its_queue(connection: redis.Redis, name: str, queues: Any) -> None:
    others = outcome_of_others(connection, name)
    fill(connection)
    spoil(connection, 'rq:failed:b')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        rq.registry.FailedJobRegistry('b', connection=connection).get_job_ids()
    call, said = CALLS[name]
    result = call(connection, queues=queues)
    assert without_b(said(result)) == others
    assert [*result.errors] == ['b']
    assert str(result.errors['b']).startswith('WRONGTYPE')
    assert result.errors['b'].key == 'rq:failed:b'
    text = result.to_dict()['errors']['b']
    assert text.startswith('ResponseError: WRONGTYPE')
    assert text.endswith('(key rq:failed:b)')
    if 'snapshot' not in name:
        assert text in str(result)


READING_ALL = [name for name in CALLS if name.startswith(('snapshot', 'check', 'repair'))]


@pytest.mark.parametrize('name', READING_ALL)
@pytest.mark.parametrize('key', ['rq:queue:b', 'rq:wip:b', 'rq:scheduled:b', 'rq:finished:b'])
def test_other_key_of_other_type_is_error_of_its_queue(connection: redis.Redis, name: str, key: str) -> None:
    others = outcome_of_others(connection, name)
    fill(connection)
    spoil(connection, key)
    call, said = CALLS[name]
    result = call(connection)
    assert [*result.errors] == ['b']
    assert result.errors['b'].key == key
    if name == 'repair':
        assert connection.zrange('rq:failed:a', 0, -1) == [b'a-failed']
    else:
        # check() also reports what it found before it read the key.
        found = said(result)
        assert others == (found if 'snapshot' in name else [one for one in found if not one[1].startswith('b-')])


@pytest.mark.parametrize('name', READING_ALL)
def test_unlisted_queue_with_key_of_other_type_is_found_by_check_only(connection: redis.Redis, name: str) -> None:
    """check() finds its keys nevertheless."""
    fill(connection)
    connection.srem('rq:queues', 'rq:queue:b')
    spoil(connection, 'rq:failed:b')
    result = CALLS[name][0](connection)
    assert [*result.errors] == ([] if 'snapshot' in name else ['b'])


@pytest.fixture
def limited(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    """A client whose user has all rights except to the failed registry of `b`."""
    keys = ['~rq:[^f]*', '~rq:finished*', '~rq:failed:[^b]']
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '+@all', *keys)
    with redis_server.client(username='limited', password='x') as client:
        yield client
    connection.execute_command('ACL', 'DELUSER', 'limited')


@of_each_call
def test_denied_registry_is_error_of_its_queue(connection: redis.Redis, limited: redis.Redis, name: str) -> None:
    others = outcome_of_others(connection, name)
    fill(connection)
    call, said = CALLS[name]
    result = call(limited)
    assert without_b(said(result)) == others
    assert [*result.errors] == ['b']
    assert type(result.errors['b']).__name__ == 'NoPermissionError'
    assert result.errors['b'].key == 'rq:failed:b'
    assert result.to_dict()['errors']['b'].startswith('NoPermissionError: ')


@of_each_call
def test_undecodable_entry_is_error_of_its_queue(connection: redis.Redis, name: str) -> None:
    others = outcome_of_others(connection, name)
    fill(connection)
    connection.zadd('rq:failed:b', {b'\xff': NEVER})
    call, said = CALLS[name]
    result = call(connection)
    if 'snapshot' in name:
        assert (result.errors, result['b'].failed) == ({}, 3)
        return
    assert without_b(said(result)) == others
    assert [*result.errors] == ['b']
    assert type(result.errors['b']) is UnicodeDecodeError


@of_each_call
@pytest.mark.parametrize('reason', ['BUSY', 'MASTERDOWN'])
def test_error_of_whole_server_is_raised(name: str, reason: str) -> None:
    with PrivateRedis(save='3600 1000') as server:
        admin = server.client()
        fill(admin)
        spoil(admin, 'rq:failed:b')
        with REFUSALS[reason](server, admin), pytest.raises(redis.RedisError, match=r'(?i)busy|master|replica'):
            CALLS[name][0](server.client(retry=None))


@of_each_call
def test_denied_command_is_raised(redis_server: PrivateRedis, connection: redis.Redis, name: str) -> None:
    fill(connection)
    spoil(connection, 'rq:failed:b')
    denied = ['-zrange', '-zrem', '-zcard', '-zcount', '-zrangebyscore']
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '~*', '+@all', *denied)
    try:
        client = redis_server.client(username='limited', password='x')
        with pytest.raises(redis.exceptions.NoPermissionError, match=r'z(range|rem|card|count)'):
            CALLS[name][0](client)
    finally:
        connection.execute_command('ACL', 'DELUSER', 'limited')


@pytest.mark.parametrize('name', ['purge', 'requeue_all', 'snapshot', 'check', 'repair'])
def test_error_of_key_of_no_queue_is_raised(connection: redis.Redis, name: str) -> None:
    fill(connection)
    spoil(connection, 'rq:queues')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        CALLS[name][0](connection)


def test_each_call_of_batch_has_own_error(connection: redis.Redis) -> None:
    fill(connection)
    spoil(connection, 'rq:failed:b')
    with rqreg_ext.batch(connection) as batch:
        counts = {name: batch.count(FailedJobRegistry(name, connection=connection)) for name in QUEUES}
    assert (counts['a'].result(), counts['c'].result()) == (2, 2)
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        counts['b'].result()


def test_denied_cleanup_is_error_of_its_problem(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """The user has no right to write the keys of one registry, which RQ's cleanup() would."""
    for name in QUEUES:
        queue = Queue(name, connection=connection)
        queue.create_job('len', job_id=f'{name}-lost', status='started').save()  # type: ignore[arg-type]
        connection.sadd('rq:queues', queue.key)
        connection.zadd(f'rq:wip:{name}', {f'{name}-lost:run': 1})
    problems = rqreg_ext.check(connection, settle=0).of('abandoned')
    assert len(problems) == 3
    keys = ['~rq:[^w]*', '~rq:wip:[^b]']
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '+@all', *keys)
    try:
        with redis_server.client(username='limited', password='x') as client:
            report = rqreg_ext.repair(client, problems)
    finally:
        connection.execute_command('ACL', 'DELUSER', 'limited')
    assert dict(report.repaired) == {'abandoned': 2}
    assert [problem.job_id for problem, _ in report.failed] == ['b-lost']
    assert 'abandoned failed: ' in str(report)
    assert 'auth:' not in str(report) + str(report.to_dict())
