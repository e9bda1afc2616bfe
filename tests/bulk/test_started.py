"""stop_many(), stop_all(), fail_many() and remove_many() of a started registry: what RQ itself leaves."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import redis
import rq.command
from differential.database import differences, dump
from private_redis import PrivateRedis
from rq import Callback, Queue, Retry, SimpleWorker
from rq.exceptions import InvalidJobOperation
from rq.executions import Execution
from rq.group import Group
from rq.job import Job, JobStatus
from rq.results import Result

import rqreg_ext
from rqreg_ext._bulk import started as started_module

called: list[str] = []


def note_failure(job: Job, *_: Any) -> None:
    """The failure callback of the jobs."""
    called.append(job.id)


def raise_error(job: Job, *_: Any) -> None:
    """A failure callback that fails."""
    raise ValueError(job.id)


def begin(client: Any, job_id: str, queue: str = 'q', worker: str = 'w', **options: Any) -> Job:
    """Have a worker begin with a job, as RQ does; return the job."""
    job = Queue(queue, connection=client).enqueue('time.sleep', 60, job_id=job_id, **options)
    client.lrem(f'rq:queue:{queue}', 0, job_id)
    by = SimpleWorker([queue], name=worker, connection=client)
    by.prepare_execution(job)
    by.prepare_job_execution(job)
    return job


def populate(client: Any) -> None:
    """Begin with a job of each kind."""
    client.flushdb()
    begin(client, 'plain')
    begin(client, 'retried', retry=Retry(max=2))
    begin(client, 'retried-later', retry=Retry(max=1, interval=60))
    begin(client, 'calls', on_failure=Callback(note_failure))
    begin(client, 'parent')
    begin(client, 'forgotten', failure_ttl=0)
    begin(client, 'kept', failure_ttl=-1)
    Queue('q', connection=client).enqueue('len', (), job_id='child', depends_on='parent')
    Queue('q', connection=client).enqueue(
        'len', (), job_id='willing', depends_on=rq.job.Dependency(['parent'], allow_failure=True)
    )
    begin(client, 'other')


FAILED = ['plain', 'retried', 'retried-later', 'calls', 'parent', 'forgotten', 'kept']


def registry_of(client: Any) -> rqreg_ext.StartedJobRegistry:
    return rqreg_ext.StartedJobRegistry('q', connection=client)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    called.clear()


# ---- Failing


def keys_of(client: Any) -> dict[str, Any]:
    """Return what the keys hold, by type, with statuses."""
    found: dict[str, Any] = {}
    for key in sorted(client.keys('*')):
        kind = client.type(key)
        name = re.sub(r'[0-9a-f]{32}', 'EXECUTION', key.decode())
        if kind == b'zset':
            found[name] = sorted(re.sub(rb'[0-9a-f]{32}', b'EXECUTION', member) for member in client.zrange(key, 0, -1))
        elif kind == b'hash':
            hashed = client.hgetall(key)
            found[name] = (sorted(hashed), hashed.get(b'status'), hashed.get(b'retries_left'))
        elif kind == b'list':
            found[name] = client.lrange(key, 0, -1)
        elif kind == b'stream':
            found[name] = [sorted(fields) for _, fields in client.xrange(key)]
        else:
            found[name] = kind
        found[name] = (found[name], client.ttl(key) if client.ttl(key) < 0 else round(client.ttl(key) / 30))
    return found


def test_fail_many_leaves_what_rqs_cleanup_leaves_of_abandoned_jobs(connection: redis.Redis) -> None:
    populate(connection)
    handled: list[str] = []
    registry = registry_of(connection)
    entries = {entry: 1 for entry in connection.zrange('rq:wip:q', 0, -1) if entry.split(b':')[0].decode() in FAILED}
    connection.zadd('rq:wip:q', entries)  # type: ignore[arg-type]
    rq.registry.StartedJobRegistry('q', connection=connection).cleanup(
        exception_handlers=[lambda job, *_: handled.append(job.id)]
    )
    expected, expected_calls = keys_of(connection), (sorted(called), sorted(handled))

    called.clear()
    handled.clear()
    populate(connection)
    result = registry.fail_many(FAILED, exception_handlers=[lambda job, *_: handled.append(job.id)])
    assert (result.done, result.by_rq, result.failed, result.missing) == (7, 7, [], 0)
    found = keys_of(connection)
    # RQ puts jobs that are retried, and dependents, into the queue in the order in which it comes to them.
    for keys in (found, expected):
        keys['rq:queue:q'] = (sorted(keys['rq:queue:q'][0]), keys['rq:queue:q'][1])
    assert found == expected
    assert (sorted(called), sorted(handled)) == expected_calls
    assert registry.get_job_ids(cleanup=False) == ['other']
    assert 'plain' in rq.registry.FailedJobRegistry('q', connection=connection).get_job_ids()


def test_failed_jobs_tell_why(connection: redis.Redis) -> None:
    begin(connection, 'a')
    registry_of(connection).fail_many(['a'])
    job = Job.fetch('a', connection)
    assert job.get_status() == JobStatus.FAILED
    result = job.latest_result()
    assert result is not None
    assert result.type == Result.Type.FAILED
    assert 'AbandonedJobError' in (result.exc_string or '')


def test_fail_many_leaves_broken_jobs_and_counts_missing_ones(connection: redis.Redis) -> None:
    for job_id in ('good', 'gone', 'broken'):
        begin(connection, job_id)
    connection.delete('rq:job:gone')
    connection.hset('rq:job:broken', 'status', 'odd')
    before = connection.zscore('rq:wip:q', *[e for e in connection.zrange('rq:wip:q', 0, -1) if b'broken' in e])
    result = registry_of(connection).fail_many(['good', 'gone', 'broken', 'nobody', 'good'])
    assert (result.done, result.missing, dict(result.skipped)) == (1, 2, {'no such job': 1})
    assert [(job_id, type(error)) for job_id, error in result.failed] == [('broken', ValueError)]
    [entry] = connection.zrange('rq:wip:q', 0, -1)
    assert entry.startswith(b'broken:')
    assert connection.zscore('rq:wip:q', entry) == before


def test_job_whose_worker_keeps_it_is_not_failed(connection: redis.Redis) -> None:
    """A heartbeat sets the score of the entry anew."""
    begin(connection, 'a')
    registry = registry_of(connection)
    [entry] = connection.zrange('rq:wip:q', 0, -1)
    cleanup = registry.cleanup
    lives = [True] * 5

    def cleanup_after_sign_of_life(*arguments: Any) -> None:
        if lives.pop():
            connection.zadd('rq:wip:q', {entry: 4e9})
        cleanup(*arguments)

    with mock.patch.object(registry, 'cleanup', cleanup_after_sign_of_life):
        result = registry.fail_many(['a'])
        assert [type(error) for _, error in result.failed] == [InvalidJobOperation]
        assert (result.done, len(lives)) == (0, 2)
        lives[:] = [False, True]
        assert registry.fail_many(['a']).done == 1


def test_failing_callbacks_are_those_of_rq(connection: redis.Redis) -> None:
    begin(connection, 'a', on_failure=Callback(raise_error))
    result = registry_of(connection).fail_many(['a'])
    if rq.VERSION >= '3':
        assert result.done == 1
    else:
        assert [(job_id, type(error)) for job_id, error in result.failed] == [('a', ValueError)]


def test_overridden_cleanup_is_called(connection: redis.Redis) -> None:
    calls: list[Any] = []

    class Mine(rqreg_ext.StartedJobRegistry):
        def cleanup(self, timestamp: float | None = None, exception_handlers: list[Any] | None = None) -> Any:
            calls.append(timestamp)
            return super().cleanup(timestamp, exception_handlers)

    begin(connection, 'a')
    assert Mine('q', connection=connection).fail_many(['a']).done == 1
    assert calls == [1]


# ---- Removing


def test_remove_many_removes_what_execution_delete_removes(connection: redis.Redis) -> None:
    begin(connection, 'a')
    begin(connection, 'b')
    before = connection.keys('*')
    [execution] = Job.fetch('a', connection).get_executions()
    with connection.pipeline() as pipeline:
        execution.delete(Job.fetch('a', connection), pipeline)
        pipeline.execute()
    expected = keys_of(connection)

    connection.flushdb()
    begin(connection, 'a')
    begin(connection, 'b')
    result = registry_of(connection).remove_many(['a', 'nobody'])
    assert (result.done, result.missing) == (1, 1)
    assert keys_of(connection) == expected
    assert len(connection.keys('*')) < len(before)
    assert Job.fetch('a', connection).get_status() == JobStatus.STARTED


def test_remove_many_with_delete_job_leaves_no_keys_of_jobs(connection: redis.Redis) -> None:
    group = Group.create(connection=connection, name='crew')
    begin(connection, 'a', worker='w')
    begin(connection, 'b', worker='w')
    begin(connection, 'c', worker='w')
    connection.hset('rq:job:b', 'group_id', 'crew')
    connection.sadd(group.key, 'b')
    # The hash of an execution expires sooner than its entry.
    [execution] = [entry for entry in connection.zrange('rq:wip:q', 0, -1) if entry.startswith(b'c:')]
    connection.delete(f'rq:execution:{execution.decode()}')
    result = registry_of(connection).remove_many(['a', 'b', 'c'], delete_job=True)
    assert (result.done, result.failed) == (3, [])
    assert connection.zcard('rq:wip:q') == 0
    assert [key for key in connection.keys('*') if not key.startswith((b'rq:worker', b'rq:queues', b'rq:groups'))] == []
    # As RQ does where the hash is gone that has the name of the worker.
    assert connection.smembers('rq:worker:w:executions') <= {execution}


@pytest.mark.skipif(not hasattr(Job, 'has_rate_limit'), reason='this RQ has no rate limits')
def test_deleted_job_gives_its_turn_to_the_next_of_its_rate_limit(connection: redis.Redis) -> None:
    from rq.rate_limit import RateLimit

    begin(connection, 'a', rate_limit=RateLimit('k', 1))
    queue = Queue('q', connection=connection)
    queue.enqueue('len', (), job_id='b', rate_limit=RateLimit('k', 1))
    assert queue.get_job_ids() == []
    assert registry_of(connection).remove_many(['a'], delete_job=True).done == 1
    assert queue.get_job_ids() == ['b']


def test_jobs_that_are_gone_leave_the_registry(connection: redis.Redis) -> None:
    begin(connection, 'a')
    begin(connection, 'b')
    connection.delete('rq:job:a', 'rq:job:b')
    registry = registry_of(connection)
    assert registry.remove_many(['a']).done == 1
    assert dict(registry.remove_many(['b'], delete_job=True).skipped) == {'no such job': 1}
    assert connection.zcard('rq:wip:q') == 0
    assert connection.keys('rq:execution*') == []


def test_job_of_another_queue_leaves_the_registry(connection: redis.Redis) -> None:
    begin(connection, 'a')
    connection.hset('rq:job:a', 'origin', 'elsewhere')
    assert registry_of(connection).remove_many(['a'], delete_job=True).done == 1
    assert connection.exists('rq:wip:q', 'rq:job:a') == 0


def test_all_executions_of_a_job_are_removed(connection: redis.Redis) -> None:
    job = begin(connection, 'a')
    with connection.pipeline() as pipeline:
        Execution.create(job, ttl=100, pipeline=pipeline)
        pipeline.execute()
    assert connection.zcard('rq:wip:q') == 2
    assert registry_of(connection).remove_many([job]).done == 1
    assert connection.zcard('rq:wip:q') == 0
    assert connection.keys('rq:execution*') == []


# ---- Stopping


class Listening:
    """Collects the commands that workers get."""

    def __init__(self, client: Any, *names: str) -> None:
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        for name in names:
            self._pubsub.subscribe(rq.command.PUBSUB_CHANNEL_TEMPLATE % name)
        for _ in names:
            self._pubsub.get_message(timeout=5)

    def heard(self) -> list[tuple[str, bytes]]:
        found = []
        while (message := self._pubsub.get_message(timeout=0.3)) is not None:
            found.append((message['channel'].decode().rpartition(':')[2], message['data']))
        return found


@pytest.fixture
def listening(connection: redis.Redis) -> Iterator[Listening]:
    pubsub = Listening(connection, 'w1', 'w2')
    yield pubsub
    pubsub._pubsub.close()


def test_stop_many_sends_what_rq_sends(connection: redis.Redis, listening: Listening) -> None:
    for number in range(4):
        begin(connection, f'job-{number}', worker=f'w{number % 2 + 1}')
    for number in range(3):
        rq.command.send_stop_job_command(connection, f'job-{number}')
    expected = listening.heard()
    assert len(expected) == 3
    result = registry_of(connection).stop_many(['job-0', 'job-1', 'job-2', 'nobody'])
    assert (result.done, result.missing, result.by_rq) == (3, 1, 0)
    assert listening.heard() == expected
    with mock.patch.object(rq.command, 'send_command') as sent:
        assert registry_of(connection).stop_many(['job-3']).by_rq == 1
    sent.assert_called_once_with(connection, 'w2', 'stop-job', job_id='job-3')


def test_stop_all_stops_only_jobs_that_match(connection: redis.Redis, listening: Listening) -> None:
    begin(connection, 'a', worker='w1', description='slow')
    begin(connection, 'b', worker='w2', description='fast')
    registry = registry_of(connection)
    assert registry.stop_all(description='slow', dry_run=True).done == 1
    assert listening.heard() == []
    counts: list[tuple[int, int]] = []
    result = registry.stop_all(description='slow', progress=lambda *count: counts.append(count))
    assert (result.done, counts) == (1, [(2, 2)])
    assert [name for name, _ in listening.heard()] == ['w1']
    assert registry.stop_all(started_before=timedelta(0)).done == 2
    assert len(listening.heard()) == 2


def test_stop_many_counts_jobs_that_no_worker_stops(connection: redis.Redis, listening: Listening) -> None:
    for job_id in ('unheard', 'gone', 'without-worker', 'unreadable', 'heard'):
        begin(connection, job_id, worker='w1' if job_id == 'heard' else 'elsewhere')
    connection.delete('rq:job:gone')
    connection.hdel('rq:job:without-worker', 'worker_name')
    connection.hset('rq:job:unreadable', 'worker_name', b'\xff')
    with pytest.raises(UnicodeDecodeError) as by_rq:
        rq.command.send_stop_job_command(connection, 'unreadable')
    result = registry_of(connection).stop_all()
    assert (result.done, dict(result.skipped)) == (1, {'no worker listens': 1, 'no such job': 1})
    assert [(job_id, type(error), str(error)) for job_id, error in result.failed] == [
        ('unreadable', UnicodeDecodeError, str(by_rq.value)),
        ('without-worker', InvalidJobOperation, 'Job is not currently executing'),
    ]


@pytest.mark.parametrize('denied', ['hget', 'exists'])
def test_rights_to_read_a_job_as_rq_does_are_enough_to_stop_it(
    connection: redis.Redis, listening: Listening, client_without: Any, denied: str
) -> None:
    for job_id in ('a', 'gone', 'without-worker'):
        begin(connection, job_id, worker='w1')
    connection.delete('rq:job:gone')
    connection.hdel('rq:job:without-worker', 'worker_name')
    result = registry_of(client_without(denied)).stop_many(['a', 'gone', 'without-worker'])
    assert (result.done, dict(result.skipped)) == (1, {'no such job': 1})
    assert [(job_id, str(error)) for job_id, error in result.failed] == [
        ('without-worker', 'Job is not currently executing')
    ]
    assert len(listening.heard()) == 1


def test_client_with_its_own_connection_that_decodes_stops_jobs(
    connection: redis.Redis, listening: Listening, redis_server: PrivateRedis
) -> None:
    begin(connection, 'a', worker='w1')
    options = {'single_connection_client': True, 'decode_responses': True}
    with redis_server.client(**options) as client:
        assert registry_of(client).stop_all().done == 1
    assert len(listening.heard()) == 1


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_stop_many_stops_jobs_of_real_workers(connection: redis.Redis, redis_server: PrivateRedis) -> None:
    queue = Queue('q', connection=connection)
    jobs = [queue.enqueue('time.sleep', 60) for _ in range(2)]
    program = [sys.executable, '-m', 'rq.cli', 'worker', '--burst', '-u', redis_server.url, 'q']
    processes = [subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in jobs]
    try:
        wait(lambda: all(job.get_status() == JobStatus.STARTED for job in jobs))
        wait(lambda: connection.pubsub_numsub(*connection.pubsub_channels()).__len__() == 2)
        assert registry_of(connection).stop_all().done == 2
        wait(lambda: all(job.get_status() == JobStatus.STOPPED for job in jobs))
        for process in processes:
            process.wait(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert registry_of(connection).count == 0


# ---- All of them


@pytest.mark.parametrize('method', ['stop_many', 'fail_many', 'remove_many'])
def test_dry_run_changes_nothing(connection: redis.Redis, method: str) -> None:
    populate(connection)
    before = dump(connection)
    result = getattr(registry_of(connection), method)(['plain', 'calls', 'nobody'], dry_run=True)
    assert (result.done, result.missing, result.dry_run) == (2, 1, True)
    assert differences(before, dump(connection)) == []
    assert called == []


@pytest.mark.parametrize('method', ['stop_many', 'fail_many', 'remove_many'])
def test_progress_is_called_after_each_chunk_and_stops_call(
    connection: redis.Redis, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        begin(connection, f'job-{number}')
    counts: list[tuple[int, int | None]] = []

    def progress(*count: Any) -> bool:
        counts.append(count)
        return len(counts) < 2

    ids = [f'job-{number}' for number in range(7)]
    result = getattr(registry_of(connection), method)(ids, progress=progress, chunk_size=3)
    assert (counts, result.total, result.stopped) == ([(3, 7), (6, 7)], 6, True)


def test_other_registries_have_no_stop_or_fail_methods(connection: redis.Redis) -> None:
    for registry in (
        rqreg_ext.FailedJobRegistry('q', connection=connection),
        rqreg_ext.ExecutionRegistry('a', connection),
    ):
        assert not hasattr(registry, 'stop_all')
    with pytest.raises(NotImplementedError, match=r'stop_many\(\) of a started registry'):
        registry_of(connection).purge()
    with pytest.raises(TypeError, match=r"there is no filter 'funcname'"):
        registry_of(connection).stop_all(funcname='x')
    with pytest.raises(TypeError, match='is not a collection of job ids'):
        registry_of(connection).fail_many('a')
    assert started_module._ABANDONED < 10**8
