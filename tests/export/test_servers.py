"""Clients of each kind, users with few rights, lost connections, keys of another type, and what a restore refuses."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
from bulk.bulk_jobs import fill
from every_client import ClientWithout
from faults.relay import Cut, Relay
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext
from rqreg_ext._fastpath.releases import release
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from . import state as states
from .state import state

if TYPE_CHECKING:
    from private_redis import PrivateRedis

COUNT = 24


@pytest.fixture
def filled(connection: redis.Redis) -> redis.Redis:
    """A client of a Redis with jobs that failed, and nothing else."""
    fill(connection, COUNT)
    connection.sadd('rq:queues', 'rq:queue:q')
    connection.sadd('rq:groups', 'crew', 'équipe')
    connection.delete('rq:queue:q')
    return connection


def failed(client: Any) -> FailedJobRegistry:
    return FailedJobRegistry('q', connection=client)


def exported(client: Any) -> io.BytesIO:
    file = io.BytesIO()
    assert failed(client).export(file).done == COUNT
    file.seek(0)
    return file


def test_export_and_restore_work_on_each_kind_of_client(filled: redis.Redis, any_client: Any) -> None:
    if type(any_client).__name__ == 'FakeRedis':
        pytest.skip('it has a database of its own')
    before = state(filled)
    file = exported(any_client)
    assert file.getvalue().splitlines()[1:] == exported(filled).getvalue().splitlines()[1:]
    filled.flushdb()
    assert rqreg_ext.restore(any_client, file).total.done == COUNT
    assert state(filled) == before


def test_export_of_empty_registry_restores_nothing(connection: redis.Redis) -> None:
    file = io.BytesIO()
    assert failed(connection).export(file).total == 0
    file.seek(0)
    assert len(rqreg_ext.restore(connection, file)) == 0
    assert list(connection.scan_iter()) == []


def test_missing_ids_and_jobs_are_counted(filled: redis.Redis) -> None:
    filled.delete('rq:job:job-0003')
    file = io.BytesIO()
    result = failed(filled).export(file, ids=['job-0001', 'job-0003', 'nobody', 'job-0002'])
    assert (result.done, result.missing, dict(result.skipped)) == (2, 1, {'no such job': 1})
    assert [json.loads(line)['id'] for line in file.getvalue().splitlines()[1:-1]] == ['job-0001', 'job-0002']


def test_filters_select_exported_jobs(filled: redis.Redis) -> None:
    file = io.BytesIO()
    assert failed(filled).export(file, meta={'n': 3}).done == 1
    assert failed(filled).export(file, min_score=4_000_000_010).done == COUNT - 10
    result = failed(filled).export(file, ended_before=5e9)
    assert (result.done, dict(result.skipped)) == (0, {'no known end': COUNT})
    with pytest.raises(ValueError, match='either filters or ids='):
        failed(filled).export(file, ids=[], meta={'n': 3})


def test_waiting_jobs_are_restored_in_their_order(connection: redis.Redis) -> None:
    states.fill(connection)
    before = state(connection)
    ids = connection.lrange('rq:queue:mail', 0, -1)
    waiting = rqreg_ext.WaitingJobs('mail', connection=connection)
    file = io.BytesIO()
    assert waiting.export(file, chunk_size=2).done == len(ids) == 3
    found = [json.loads(line) for line in file.getvalue().splitlines()[1:-1]]
    assert [job['id'].encode() for job in found] == ids
    assert {(job['queue'], job['registry']) for job in found} == {('mail', 'queued')}
    assert rqreg_ext.export(connection, io.BytesIO(), 'queued').total.done == 2 * len(ids)
    for job_id in ids:
        connection.delete(b'rq:job:' + job_id, b'rq:dependencies:' + job_id)
    connection.delete('rq:queue:mail')
    file.seek(0)
    assert rqreg_ext.restore(connection, file)['mail'].done == len(ids)
    assert state(connection) == before


def test_export_of_waiting_jobs_takes_ids(connection: redis.Redis) -> None:
    states.fill(connection)
    waiting = rqreg_ext.WaitingJobs('mail', connection=connection)
    first, second, *_ = waiting.get_job_ids()
    (finished, *_) = connection.zrange('rq:finished:mail', 0, -1)
    file = io.BytesIO()
    result = waiting.export(file, ids=[second, finished, 'none', first], chunk_size=2)
    assert (result.done, result.missing) == (2, 2)
    assert [json.loads(line)['id'] for line in file.getvalue().splitlines()[1:-1]] == [second, first]
    with pytest.raises(TypeError, match='min_score'):
        waiting.export(io.BytesIO(), min_score=1)
    with pytest.raises(TypeError, match='min_score'):
        rqreg_ext.export(connection, io.BytesIO(), ['failed', 'queued'], min_score=1)


def test_export_of_many_queues_keeps_to_limit_and_ids(connection: redis.Redis) -> None:
    states.fill(connection)
    everywhere = ['failed', 'finished', 'queued', 'started', 'scheduled']

    def exported(**options: Any) -> list[str]:
        file = io.BytesIO()
        rqreg_ext.export(connection, file, everywhere, **options)
        *lines, last = file.getvalue().splitlines()[1:]
        assert json.loads(last)['jobs'] == len(lines)
        return [json.loads(line)['id'] for line in lines]

    every = exported()
    for limit in (0, 1, 5, len(every) - 1, len(every), 10**30):
        assert exported(limit=limit, chunk_size=3) == every[:limit]
    some = [every[-1], 'none', every[3], every[-1]]
    assert sorted(exported(ids=some)) == sorted({every[-1], every[3]})
    assert len(exported(ids=some, limit=1)) == 1
    connection.zadd('rq:failed:mail', {'gone': 1})
    # It has nothing to write.
    assert exported(limit=2) == every[:2]
    result = FailedJobRegistry('mail', connection=connection).export(io.BytesIO(), limit=2)
    assert (result.done, result.skipped['no such job'], result.remaining) == (2, 1, None)
    with pytest.raises(ValueError, match='limit=-1'):
        exported(limit=-1)
    with pytest.raises(ValueError, match='either filters or ids='):
        exported(ids=[], status='failed')


def test_started_jobs_are_one_line_each(connection: redis.Redis) -> None:
    states.fill(connection)
    started = StartedJobRegistry('mail', connection=connection)
    (entry,) = connection.zrange('rq:wip:mail', 0, -1, withscores=True)
    job_id = started.parse_job_id(entry[0])
    # With which RQ cannot delete it.
    connection.hdel(f'rq:job:{job_id}', b'na\xffme')
    connection.zadd('rq:wip:mail', {f'{job_id}:second': entry[1] + 1})
    connection.zadd(f'rq:executions:{job_id}', {'second': entry[1] + 61})
    connection.hset(f'rq:execution:{job_id}:second', mapping={'id': 'second', 'created_at': 1, 'last_heartbeat': 2})
    before = state(connection)
    for options in ({}, {'ids': [job_id]}, {'description': '*started*'}):
        file = io.BytesIO()
        assert started.export(file, **options).done == 1
        (line,) = map(json.loads, file.getvalue().splitlines()[1:-1])
        assert list(line['entries'].values()) == [entry[1], entry[1] + 1]
        assert len(line['executions']) == 2
    assert started.remove_many([job_id], delete_job=True).done == 1
    file.seek(0)
    assert rqreg_ext.restore(connection, file)['mail'].done == 1
    assert state(connection) == before


def test_job_that_has_expired_is_skipped(filled: redis.Redis) -> None:
    filled.pexpireat('rq:job:job-0001', 4_102_444_800_000)
    file = exported(filled)
    data = file.getvalue().replace(b'"hash": 41024448', b'"hash": 11024448')
    filled.flushdb()
    result = rqreg_ext.restore(filled, io.BytesIO(data))['q']
    assert (result.done, dict(result.skipped)) == (COUNT - 1, {'expired': 1})
    assert filled.zscore('rq:failed:q', 'job-0001') is None


def test_job_of_unknown_registry_is_failed(filled: redis.Redis) -> None:
    data = exported(filled).getvalue().replace(b'"registry": "failed"', b'"registry": "later"', 1)
    filled.flushdb()
    result = rqreg_ext.restore(filled, io.BytesIO(data))['q']
    assert (result.done, len(result.failed)) == (COUNT - 1, 1)
    assert "the installed RQ has no 'later' registry" in str(result.failed[0][1])


def test_nothing_of_an_existing_job_is_changed(filled: redis.Redis) -> None:
    file = exported(filled)
    filled.flushdb()
    filled.hset('rq:job:job-0001', 'status', 'queued')
    # A result without a job.
    lines = file.getvalue().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"hash": ', b'"results": [["5-0", {"type": "1"}]], "hash": ')
    if release.deletes_results:
        filled.xadd('rq:results:job-0002', {'type': 2}, id='9-0')
    before = state(filled)
    existing = 2 if release.deletes_results else 1
    for skip_existing in (False, True):
        result = rqreg_ext.restore(filled, io.BytesIO(b''.join(lines)), skip_existing=skip_existing)['q']
        expected = (COUNT, 0) if skip_existing else (0, existing)
        assert (result.skipped['exists already'], len(result.failed)) == expected
        assert {key: state(filled)[key] for key in before} == before
    assert {job_id for job_id, _ in rqreg_ext.restore(filled, io.BytesIO(b''.join(lines)))['q'].failed} >= {'job-0001'}


@pytest.mark.skipif(release.deletes_results, reason='RQ deletes the results of a job that it deletes')
def test_results_that_rq_left_of_deleted_job_are_replaced(filled: redis.Redis) -> None:
    lines = exported(filled).getvalue().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"hash": ', b'"results": [["5-0", {"type": "1"}]], "hash": ')
    filled.flushdb()
    filled.xadd('rq:results:job-0002', {'type': 2}, id='9-0')
    result = rqreg_ext.restore(filled, io.BytesIO(b''.join(lines)))['q']
    assert (result.done, result.failed) == (COUNT, [])
    assert filled.xrange('rq:results:job-0002') == [(b'5-0', {b'type': b'1'})]


def test_dry_run_of_restore_counts_and_changes_nothing(filled: redis.Redis) -> None:
    file = exported(filled)
    filled.delete(*[f'rq:job:job-{number:04}' for number in range(10)])
    before = state(filled)
    result = rqreg_ext.restore(filled, file, dry_run=True, skip_existing=True)
    assert (result.total.done, result.total.skipped['exists already'], result.dry_run) == (10, COUNT - 10, True)
    assert state(filled) == before


@pytest.mark.parametrize('key', ['rq:failed:q', 'rq:queues', 'rq:group:crew', 'rq:groups'])
def test_restore_leaves_no_job_if_key_is_of_another_type(filled: redis.Redis, key: str) -> None:
    file = exported(filled)
    filled.flushdb()
    filled.set(key, 'text')
    result = rqreg_ext.restore(filled, file)['q']
    assert result.failed
    assert all('WRONGTYPE' in str(error) for _, error in result.failed)
    for job_id, _ in result.failed:
        assert not filled.exists(f'rq:job:{job_id}')
    assert len(filled.keys('rq:job:*')) == result.done == COUNT - len(result.failed)


def test_job_with_key_of_another_type_is_not_exported(filled: redis.Redis) -> None:
    filled.set('rq:results:job-0001', 'text')
    filled.delete('rq:job:job-0002')
    filled.set('rq:job:job-0002', 'text')
    result = failed(filled).export(io.BytesIO())
    assert (result.done, sorted(job_id for job_id, _ in result.failed)) == (COUNT - 2, ['job-0001', 'job-0002'])


def test_error_of_queue_names_its_key(filled: redis.Redis) -> None:
    filled.set('rq:finished:q', 'text')
    file = io.BytesIO()
    result = rqreg_ext.export(filled, file, ('failed', 'finished'))
    assert (result.total.done, result.errors['q'].key) == (COUNT, 'rq:finished:q')  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    'command', ['evalsha', 'eval', 'hset', 'xadd', 'sadd', 'zadd', 'pexpireat', 'del', 'exists', 'time']
)
def test_without_a_right_no_job_is_half_restored(
    connection: redis.Redis, client_without: ClientWithout, command: str
) -> None:
    states.fill(connection)
    before = state(connection)
    file = io.BytesIO()
    rqreg_ext.export(connection, file, ['failed', 'finished', 'deferred', 'started'])
    for key in connection.scan_iter():
        if not key.startswith((b'rq:queue', b'rq:scheduled')):
            connection.delete(key)
    for key in (b'rq:canceled:mail', b'rq:canceled:\xc3\xa9tiquettes'):
        connection.delete(key)
    connection.script_flush()
    left = state(connection)
    file.seek(0)
    with pytest.raises(redis.exceptions.ResponseError):
        rqreg_ext.restore(client_without(command), file)
    found = state(connection)
    for key in found.keys() - left.keys():
        # A job that needs none of the commands is restored, and has all of its keys.
        assert found[key] == before[key] or not key.startswith((b'rq:job:', b'rq:results:')), key
        if key.startswith(b'rq:results:'):
            assert key.replace(b':results:', b':job:') in found
    file.seek(0)
    assert not rqreg_ext.restore(connection, file, skip_existing=True).total.failed
    found = state(connection)
    assert {key: found[key] for key in before if key.startswith((b'rq:failed', b'rq:results'))} == {
        key: value for key, value in before.items() if key.startswith((b'rq:failed', b'rq:results'))
    }


@pytest.mark.parametrize('command', ['time', 'pttl', 'hgetall', 'xrevrange', 'smembers', 'zscore', 'zrange'])
def test_without_a_right_nothing_is_exported(
    filled: redis.Redis, client_without: ClientWithout, command: str, tmp_path: Any
) -> None:
    with pytest.raises(redis.exceptions.ResponseError):
        failed(client_without(command)).export(tmp_path / 'jobs')
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def relay(redis_server: PrivateRedis) -> Iterator[Relay]:
    with Relay(redis_server.port) as relay:
        yield relay


def test_resent_chunk_is_unconfirmed(filled: redis.Redis, relay: Relay) -> None:
    before = state(filled)
    file = exported(filled)
    filled.flushdb()
    client = redis.Redis(**relay.address, retry=Retry(NoBackoff(), 3), retry_on_error=[redis.ConnectionError])  # type: ignore[arg-type]
    # The server knows the script then.
    rqreg_ext.restore(filled, file)
    filled.flushdb()
    file.seek(0)
    # It is connected then.
    assert failed(client).count == 0
    relay.arm(Cut(60))
    result = rqreg_ext.restore(client, file)['q']
    assert not relay.is_armed
    assert (result.done + result.unconfirmed, result.failed) == (COUNT, [])
    assert result.unconfirmed > 0
    assert state(filled) == before
    client.close()


def test_lost_connection_leaves_no_job_half_restored(filled: redis.Redis, relay: Relay) -> None:
    before = state(filled)
    file = exported(filled)
    for octets in range(0, 150, 10):
        filled.flushdb()
        file.seek(0)
        client = redis.Redis(**relay.address, retry=None)  # type: ignore[arg-type]
        relay.arm(Cut(octets))
        with contextlib.suppress(redis.ConnectionError):
            rqreg_ext.restore(client, file)
        client.close()
        done = filled.zcard('rq:failed:q')
        assert len(filled.keys('rq:job:*')) == done
        file.seek(0)
        assert rqreg_ext.restore(filled, file, skip_existing=True).total.done == COUNT - done
        assert state(filled) == before


def test_restore_puts_jobs_into_another_queue(connection: redis.Redis) -> None:
    states.fill(connection)
    file = io.BytesIO()
    counts = rqreg_ext.export(connection, file, ['failed', 'deferred', 'started'], 'mail').total.done
    before = state(connection)
    connection.flushdb()
    file.seek(0)
    assert rqreg_ext.restore(connection, file, to_queue='spare')['spare'].done == counts
    found = state(connection)
    assert found[b'rq:queues'] == {b'rq:queue:spare'}
    for name in (b'failed', b'deferred', b'wip'):
        assert found[b'rq:%s:spare' % name] == before[b'rq:%s:mail' % name]
    for key, value in found.items():
        if key.startswith(b'rq:job:') and isinstance(value, dict):
            assert value == {**before[key], b'origin': b'spare'}
    # Where no job is restored, the queue is not listed.
    file.seek(0)
    result = rqreg_ext.restore(connection, file, to_queue='other', skip_existing=True)['other']
    assert (result.done, result.skipped) == (0, {'exists already': counts})
    assert connection.smembers('rq:queues') == {b'rq:queue:spare'}
    for wrong in ('', 5, b'spare'):
        with pytest.raises(TypeError, match='to_queue='):
            rqreg_ext.restore(connection, file, to_queue=wrong)  # type: ignore[arg-type]
