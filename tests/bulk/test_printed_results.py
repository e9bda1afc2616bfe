"""What results show when they are printed: counts, correct wording, and the server's error messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from private_redis import PrivateRedis
from rq import Queue

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

NEVER = 4_000_000_000


def enter(client: redis.Redis, queue: str, *job_ids: str) -> None:
    """Add entries without jobs to the failed registry."""
    client.sadd('rq:queues', f'rq:queue:{queue}')
    client.zadd(f'rq:failed:{queue}', dict.fromkeys(job_ids, NEVER))


@pytest.fixture
def limited(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[redis.Redis]:
    """A client whose user has rights to all keys except those of the queue `secret`."""
    keys = ['~rq:queues', '~rq:*[^t]']
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '+@all', *keys)
    with redis_server.client(username='limited', password='x') as client:
        yield client
    connection.execute_command('ACL', 'DELUSER', 'limited')


def test_check_without_problems_lists_skipped_queues(connection: redis.Redis, limited: redis.Redis) -> None:
    enter(connection, 'secret', 'x')
    report = rqreg_ext.check(limited, settle=0)
    lines = str(report).splitlines()
    assert lines[0].startswith('no problems in what could be read, 0 entries and 0 jobs in ')
    assert lines[1].startswith('secret was left out: NoPermissionError: ')
    assert lines[1].endswith(' (key rq:queue:secret)')
    assert repr(report) == '<CheckReport of 0 problems, 1 left out>'


def test_repair_without_problems_lists_skipped_queues(connection: redis.Redis, limited: redis.Redis) -> None:
    enter(connection, 'secret', 'x')
    report = rqreg_ext.repair(limited)
    lines = str(report).splitlines()
    assert lines[0].startswith('no problems in what could be read, ')
    assert lines[1].startswith('secret was left out: NoPermissionError: ')
    assert repr(report) == '<RepairReport of 0 problems, 1 left out>'


def test_complete_check_lists_no_skipped_queue(connection: redis.Redis) -> None:
    assert str(rqreg_ext.check(connection, settle=0)).startswith('no problems in 0 entries and 0 jobs in ')
    assert str(rqreg_ext.repair(connection)).startswith('no problems in 0.')


def test_count_of_one_is_singular(connection: redis.Redis) -> None:
    enter(connection, 'q', 'gone')
    report = rqreg_ext.check(connection, settle=0)
    assert str(report).startswith('1 problem in 1 entry and 0 jobs in ')
    assert repr(report) == '<CheckReport of 1 problem>'
    repaired = rqreg_ext.repair(connection, report, dry_run=True)
    assert str(repaired).startswith('1 problem in 0.')
    assert ' s: 1 would be repaired, ' in str(repaired)
    assert repr(repaired) == '<RepairReport of 1 problem>'
    assert repr(rqreg_ext.snapshot(connection)).startswith('<Snapshot of 1 queue at ')
    assert str(rqreg_ext.purge(connection)).startswith('1 queue: 0 of 1 done, ')


def test_larger_counts_are_plural(connection: redis.Redis) -> None:
    for queue in ('a', 'b'):
        enter(connection, queue, f'{queue}1', f'{queue}2')
        Queue(queue, connection=connection).create_job('len').save()
    report = rqreg_ext.check(connection, settle=0)
    assert str(report).startswith('6 problems in 4 entries and 2 jobs in ')
    assert repr(rqreg_ext.snapshot(connection)).startswith('<Snapshot of 2 queues at ')
    assert str(rqreg_ext.purge(connection)).startswith('2 queues: ')


def test_result_without_queues_says_no_queues(connection: redis.Redis) -> None:
    result = rqreg_ext.purge(connection)
    assert str(result).startswith('no queues: nothing matched; ')
    assert repr(result) == f'<BulkResults of {result}>'


@pytest.mark.parametrize('dry_run', [False, True])
def test_result_without_jobs_says_nothing_matched(connection: redis.Redis, dry_run: bool) -> None:
    enter(connection, 'q', 'gone')
    failed = FailedJobRegistry('q', connection=connection)
    for result in (failed.purge(job_id='x*', dry_run=dry_run), failed.requeue_many([], dry_run=dry_run)):
        assert str(result).startswith('nothing matched; ')
        assert repr(result) == f'<BulkResult: {result}>'


def test_failed_queue_is_not_reported_as_empty(connection: redis.Redis) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.set('rq:failed:q', 'text')
    lines = str(rqreg_ext.purge(connection)).splitlines()
    assert lines[0] == '1 queue, 1 of them ended with an error: nothing done'
    assert lines[1].startswith("  'q' ended with ResponseError: WRONGTYPE ")
    enter(connection, 'r', 'gone')
    assert str(rqreg_ext.purge(connection)).startswith('2 queues, 1 of them ended with an error: 0 of 1 done, ')


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_interrupted_result_is_not_printed_as_complete(connection: redis.Redis, error: type[BaseException]) -> None:
    enter(connection, 'q', 'a', 'b', 'c')

    def give_up(processed: int, total: int) -> None:
        raise error

    failed = FailedJobRegistry('q', connection=connection)
    with pytest.raises(error) as raised:
        failed.purge(chunk_size=2, progress=give_up)
    result = raised.value.result  # type: ignore[attr-defined]
    assert (result.interrupted, result.stopped, result.total) == (True, False, 2)
    assert result.to_dict()['interrupted']
    assert ', interrupted before the end; ' in str(result)
    assert (result + failed.purge()).interrupted
    assert not failed.purge().interrupted


def test_failed_queue_does_not_interrupt_the_call(connection: redis.Redis) -> None:
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.set('rq:failed:q', 'text')
    result = rqreg_ext.purge(connection)
    assert (result['q'].interrupted, result.interrupted, result.total.interrupted) == (True, False, False)


def test_failed_repair_shows_server_error(connection: redis.Redis) -> None:
    enter(connection, 'q', 'gone')
    enter(connection, 'r', 'gone')
    report = rqreg_ext.check(connection, settle=0)
    connection.delete('rq:failed:q')
    connection.set('rq:failed:q', 'text')
    done = rqreg_ext.repair(connection, report)
    (error,) = (problem['error'] for problem in done.to_dict()['failed'])
    assert error.startswith('ResponseError: ')
    assert 'WRONGTYPE Operation against a key holding the wrong kind of value' in error
    assert f'missing_job failed: {error}' in str(done)
