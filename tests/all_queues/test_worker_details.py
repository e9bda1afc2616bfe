"""snapshot(worker_details=True, oldest=True): what RQ's Worker objects and Job objects tell, in two round trips."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis
from clients.recording import Recorder
from rq import Queue, SimpleWorker, Worker
from rq.executions import Execution
from rq.job import Job
from rq.worker_registration import REDIS_WORKER_KEYS

import rqreg_ext
from rqreg_ext import snapshot
from rqreg_ext._all_queues import workers
from rqreg_ext._fastpath import rq_keys

if TYPE_CHECKING:
    from private_redis import PrivateRedis

HAS_EXECUTION_SETS = rq_keys.worker_executions_key('w') is not None


def worker(client: Any, name: str, queues: list[str], state: str | None = 'idle') -> SimpleWorker:
    made = SimpleWorker(queues, name=name, connection=client)
    made.register_birth()
    if state is not None:
        made.set_state(state)
    return made


def execute(client: Any, by: SimpleWorker, queue: str, job_id: str) -> Any:
    """Have a worker begin with a job, as RQ does, and return the execution; before RQ 3, None."""
    job = Queue(queue, connection=client).enqueue('time.sleep', 60, job_id=job_id)
    by.prepare_execution(job)
    by.prepare_job_execution(job)
    return by.execution


@pytest.fixture
def busy(connection: redis.Redis) -> redis.Redis:
    """Store three workers, of which one executes a job, and another has done some."""
    execute(connection, worker(connection, 'w1', ['low', 'high']), 'low', 'running')
    done = worker(connection, 'w2', ['low'])
    with connection.pipeline() as pipeline:
        done.increment_successful_job_count(pipeline=pipeline)
        done.increment_successful_job_count(pipeline=pipeline)
        done.increment_failed_job_count(pipeline=pipeline)
        done.increment_total_working_time(timedelta(seconds=2.5), pipeline)
        pipeline.execute()
    worker(connection, 'w3', ['high'], None)
    return connection


def by_rq(client: Any) -> dict[str, Any]:
    """Return what RQ's own workers tell."""
    return {
        each.name: (
            each.get_state(),
            [queue.name for queue in each.queues],
            each.birth_date,
            each.last_heartbeat,
            each.hostname,
            each.pid,
            each.successful_job_count,
            each.failed_job_count,
            each.total_working_time,
            each.get_current_job_id(),
        )
        for each in Worker.all(connection=client)
    }


def by_us(taken: rqreg_ext.Snapshot) -> dict[str, Any]:
    return {
        name: (
            each.state,
            each.queues,
            each.birth_date,
            each.last_heartbeat,
            each.hostname,
            each.pid,
            each.successful_job_count,
            each.failed_job_count,
            each.total_working_time,
            each.current_job_id,
        )
        for name, each in taken.worker_details.items()
    }


@pytest.mark.parametrize('protocol', [2, 3])
def test_details_equal_rqs_workers(busy: redis.Redis, redis_server: PrivateRedis, protocol: int) -> None:
    with redis_server.client(protocol=protocol) as client:
        taken = snapshot(client, worker_details=True)
    assert by_us(taken) == by_rq(busy)
    assert taken.workers == snapshot(busy).workers
    assert taken['low'].workers == snapshot(busy)['low'].workers
    w1 = taken.worker_details['w1']
    assert (w1.name, w1.current_job_id) == ('w1', 'running')
    assert w1.last_heartbeat is not None
    assert w1.heartbeat_age is not None
    assert w1.heartbeat_age == taken.timestamp - w1.last_heartbeat.timestamp()
    started = w1.current_job_started_at
    if HAS_EXECUTION_SETS:
        assert started == w1_execution(busy).created_at
    else:
        assert started == Job.fetch('running', busy).started_at


def w1_execution(client: Any) -> Any:
    [execution] = Worker.find_by_key('rq:worker:w1', connection=client).get_current_executions()  # type: ignore[union-attr]
    return execution


@pytest.mark.skipif(not HAS_EXECUTION_SETS, reason='this RQ has no sets of executions')
def test_current_job_is_of_execution_that_runs_longest_and_is_not_expired(busy: redis.Redis) -> None:
    first = w1_execution(busy)
    with busy.pipeline() as pipeline:
        for job_id, minutes in (('later', 1), ('earlier', -1), ('expired', -2)):
            other = Execution(id=f'of-{job_id}', job_id=job_id, connection=busy, worker_name='w1')
            other.created_at = first.created_at + timedelta(minutes=minutes)
            if job_id != 'expired':
                other.save(ttl=60, pipeline=pipeline)
            pipeline.sadd(other.worker_executions_key, other.composite_key)
        pipeline.execute()
    w1 = snapshot(busy, worker_details=True).worker_details['w1']
    assert (w1.current_job_id, w1.current_job_started_at) == ('earlier', first.created_at - timedelta(minutes=1))


def test_current_job_of_rq_2_worker_is_read_from_its_hash(busy: redis.Redis) -> None:
    busy.hset('rq:worker:w2', 'current_job', 'running')
    w2 = snapshot(busy, worker_details=True).worker_details['w2']
    assert w2.current_job_id == 'running'
    assert w2.current_job_started_at == Job.fetch('running', busy).started_at
    busy.delete('rq:job:running')
    assert snapshot(busy, worker_details=True).worker_details['w2'].current_job_started_at is None


def test_damaged_values_of_workers_are_none(busy: redis.Redis) -> None:
    busy.hset('rq:worker:w2', mapping={'last_heartbeat': 'yesterday', 'birth': ''})
    busy.hdel('rq:worker:w2', 'pid', 'hostname', 'queues')
    busy.set('rq:worker:w3:executions', 'text')
    busy.sadd(REDIS_WORKER_KEYS, 'rq:worker:gone')
    taken = snapshot(busy, worker_details=True)
    w2 = taken.worker_details['w2']
    assert (w2.birth_date, w2.last_heartbeat, w2.heartbeat_age, w2.pid, w2.hostname, w2.queues) == (
        *[None] * 5,
        [],
    )
    assert taken.worker_details['w3'].current_job_id is None
    assert set(taken.worker_details) == {'w1', 'w2', 'w3'}


def test_details_of_real_worker_name_its_job(busy: redis.Redis, redis_server: PrivateRedis) -> None:
    job = Queue('real', connection=busy).enqueue('time.sleep', 30, job_id='sleeping')
    program = [sys.executable, '-m', 'rq.cli', 'worker', '-u', redis_server.url, '-n', 'real', 'real']
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: job.get_status() == 'started')
        of_it = snapshot(busy, worker_details=True).worker_details['real']
        assert (of_it.state, of_it.current_job_id, of_it.queues) == ('busy', 'sleeping', ['real'])
        assert of_it.current_job_started_at is not None
        assert abs((of_it.current_job_started_at - datetime.now(timezone.utc)).total_seconds()) < 20
    finally:
        # The second signal has the worker kill the process that executes the job.
        process.terminate()
        time.sleep(0.5)
        process.terminate()
        process.wait(timeout=60)


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# ---- The oldest waiting job


def enqueue(client: Any, queue: str, job_id: str, minutes: int, at_front: bool = False) -> datetime:
    """Enqueue a job as of some minutes ago; return when."""
    Queue(queue, connection=client).enqueue('len', (), job_id=job_id, at_front=at_front)
    moment = datetime.now(timezone.utc) - timedelta(minutes=minutes)
    client.hset(f'rq:job:{job_id}', 'enqueued_at', moment.strftime('%Y-%m-%dT%H:%M:%S.%fZ'))
    return moment


def test_oldest_is_time_of_job_that_waits_longest(connection: redis.Redis) -> None:
    oldest = enqueue(connection, 'q', 'a', 10)
    enqueue(connection, 'q', 'b', 5)
    enqueue(connection, 'q', 'first', 1, at_front=True)
    connection.sadd('rq:queues', 'rq:queue:empty')
    taken = snapshot(connection, oldest=True)
    assert taken['q'].oldest == oldest
    assert taken['q'].oldest_age == taken.timestamp - oldest.timestamp()
    assert (taken['empty'].oldest, taken['empty'].oldest_age) == (None, None)
    connection.hdel('rq:job:a', 'enqueued_at')
    assert snapshot(connection, oldest=True)['q'].oldest == Job.fetch('b', connection).enqueued_at
    connection.delete('rq:job:a', 'rq:job:b', 'rq:job:first')
    assert snapshot(connection, oldest=True)['q'].oldest is None


def test_jobs_after_the_first_ten_are_not_looked_at(connection: redis.Redis) -> None:
    enqueue(connection, 'q', 'old', 10)
    for number in range(9):
        enqueue(connection, 'q', f'job-{number}', 0, at_front=True)
    assert snapshot(connection, oldest=True)['q'].oldest == Job.fetch('old', connection).enqueued_at
    enqueue(connection, 'q', 'job-9', 0, at_front=True)
    assert snapshot(connection, oldest=True)['q'].oldest != Job.fetch('old', connection).enqueued_at


# ---- Both


def values(client: Any, **options: Any) -> dict[str, Any]:
    taken = snapshot(client, worker_details=True, oldest=True, **options)
    found = json.loads(json.dumps(taken.to_dict()))
    found['timestamp'] = 0
    for each in found['worker_details'].values():
        each['heartbeat_age'] = 0
    for each in found['queues'].values():
        each['oldest_age'] = each['oldest_age'] is not None
    return found  # type: ignore[no-any-return]


def test_to_dict_has_requested_values_only(busy: redis.Redis) -> None:
    enqueued = enqueue(busy, 'high', 'waits', 3)
    found = values(busy)
    w1 = found['worker_details']['w1']
    assert (w1['name'], w1['current_job_id'], found['queues']['high']['oldest']) == (
        'w1',
        'running',
        enqueued.timestamp(),
    )
    plain = snapshot(busy)
    assert 'worker_details' not in plain.to_dict()
    assert 'oldest' not in plain['high'].to_dict()
    with pytest.raises(AttributeError, match='worker_details=True'):
        _ = plain.worker_details
    with pytest.raises(AttributeError, match='oldest=True'):
        _ = plain['high'].oldest_age


@pytest.fixture
def recorded(redis_server: PrivateRedis, busy: redis.Redis) -> Iterator[tuple[Recorder, Any]]:
    enqueue(busy, 'high', 'waits', 3)
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        snapshot(client)
        recorder.clear()
        yield recorder, client


def test_details_and_oldest_take_no_more_round_trips(recorded: tuple[Recorder, Any]) -> None:
    recorder, client = recorded
    snapshot(client, worker_details=True, oldest=True)
    counts = 2 * (1 + len(rq_keys.REGISTRIES))
    assert [len(block) for block in recorder.blocks] == [2, 1 + counts + 2 + (3 if HAS_EXECUTION_SETS else 1)]
    recorder.clear()
    snapshot(client, ['low', 'high'], worker_details=True)
    assert len(recorder.blocks) == 2
    recorder.clear()
    snapshot(client, ['low', 'high'], oldest=True)
    assert len(recorder.blocks) == 1


def test_plain_snapshot_sends_no_commands_for_details(recorded: tuple[Recorder, Any]) -> None:
    recorder, client = recorded
    snapshot(client, ['low'])
    assert [sorted(set(block)) for block in recorder.blocks] == [
        ['EXISTS', 'LLEN', 'SISMEMBER', 'SORT', 'TIME', 'ZCARD']
    ]
    assert recorder.blocks[0].count('SORT') == 1


def major_version(client: redis.Redis) -> int:
    return int(client.info('server')['redis_version'].partition('.')[0])


@pytest.mark.parametrize('rules', [['~*', '-sort'], ['~*', '-sort', '-hmget'], ['%R~*', '-sort']])
def test_details_are_read_without_right_to_sort(
    busy: redis.Redis, redis_server: PrivateRedis, rules: list[str], request: pytest.FixtureRequest
) -> None:
    if '%R~*' in rules and major_version(busy) < 7:
        pytest.skip('this server has no rights to read only')
    enqueue(busy, 'high', 'waits', 3)
    busy.execute_command('ACL', 'SETUSER', 'reader', 'reset', 'on', '>secret', '+@all', *rules)
    request.addfinalizer(lambda: busy.execute_command('ACL', 'DELUSER', 'reader'))
    with redis_server.client(username='reader', password='secret') as reader:
        assert values(reader) == values(busy)


def test_details_raise_without_right_to_workers_or_jobs(
    busy: redis.Redis, redis_server: PrivateRedis, request: pytest.FixtureRequest
) -> None:
    if major_version(busy) < 7:
        pytest.skip('this server lets SORT read keys by patterns without the right to them')
    enqueue(busy, 'low', 'waits', 3)
    busy.execute_command(
        'ACL', 'SETUSER', 'reader', 'reset', 'on', '>secret', '+@all', '~rq:queue*', '~rq:*:low', '~rq:workers:*'
    )
    request.addfinalizer(lambda: busy.execute_command('ACL', 'DELUSER', 'reader'))
    with redis_server.client(username='reader', password='secret') as reader:
        taken = snapshot(reader, ['low'], worker_details=True, oldest=True)
    assert taken['low'].queued == snapshot(busy, ['low'])['low'].queued
    for read in (lambda: taken.worker_details, lambda: taken.workers, lambda: taken['low'].oldest):
        with pytest.raises(redis.exceptions.NoPermissionError):
            read()
    assert 'worker_details' not in taken.to_dict()
    assert 'oldest' not in taken['low'].to_dict()


def test_details_are_same_if_read_by_several_commands(busy: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = values(busy)
    for at_once in (1, 2, 3):
        monkeypatch.setattr(workers, 'MOST_AT_ONCE', at_once)
        assert values(busy) == expected


def test_snapshot_on_fakeredis_has_details_and_oldest() -> None:
    client = fakeredis.FakeRedis()
    execute(client, worker(client, 'w1', ['q']), 'q', 'running')
    moment = enqueue(client, 'q', 'old', 3)
    taken = snapshot(client, worker_details=True, oldest=True)
    assert taken.worker_details['w1'].current_job_id == 'running'
    assert taken['q'].oldest == moment
