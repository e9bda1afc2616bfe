"""How many round trips a call takes, and with which commands: the reason for the fast path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from rq import Queue
from rq.job import Job
from rq.utils import get_version

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .recording import Recorder
from .tour import NAME, prepare, state

if TYPE_CHECKING:
    from private_redis import PrivateRedis

ONE_TRIP: dict[str, tuple[type, Callable[[Any], Any], list[str]]] = {
    'count': (FailedJobRegistry, lambda r: r.count, ['ZREMRANGEBYSCORE', 'ZCARD']),
    'len': (FailedJobRegistry, len, ['ZREMRANGEBYSCORE', 'ZCARD']),
    'count without cleanup': (FailedJobRegistry, lambda r: r.get_job_count(cleanup=False), ['ZCARD']),
    'ids': (FailedJobRegistry, lambda r: r.get_job_ids(), ['ZREMRANGEBYSCORE', 'ZRANGE']),
    'ids without cleanup': (FailedJobRegistry, lambda r: r.get_job_ids(cleanup=False), ['ZRANGE']),
    'in': (FailedJobRegistry, lambda r: 'failed-0' in r, ['ZSCORE']),
    'cleanup': (FailedJobRegistry, lambda r: r.cleanup(), ['ZREMRANGEBYSCORE']),
    'expired': (FailedJobRegistry, lambda r: r.get_expired_job_ids(), ['ZRANGEBYSCORE']),
    'remove': (FailedJobRegistry, lambda r: r.remove('failed-0'), ['ZREM']),
    'delete': (FailedJobRegistry, lambda r: r.remove('failed-0', delete_job=True), ['EVALSHA']),
    'requeue': (FailedJobRegistry, lambda r: r.requeue('failed-0'), ['HGETALL', 'EVALSHA']),
    'started count': (StartedJobRegistry, lambda r: r.count, ['ZRANGEBYSCORE', 'ZCARD']),
    'started ids': (StartedJobRegistry, lambda r: r.get_job_ids(), ['ZRANGEBYSCORE', 'ZRANGE']),
}


@pytest.fixture
def recorder(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Recorder]:
    """A recording proxy before the server, with jobs in its database and the scripts known to it."""
    prepare(connection)
    for number in (6, 7):
        FailedJobRegistry(NAME, connection=connection).remove(f'failed-{number}', delete_job=True)
    FailedJobRegistry(NAME, connection=connection).requeue('failed-5')
    _ = 'running' in StartedJobRegistry(NAME, connection=connection)
    connection.zrem('rq:wip:' + NAME, 'lone')
    with Recorder(redis_server.port) as proxy:
        yield proxy


def registry_through(recorder: Recorder, registry_class: Any) -> Any:
    """Return a registry on a new client of the proxy, both connected, with nothing recorded of that."""
    client = redis.Redis(host='127.0.0.1', port=recorder.port)
    client.ping()
    registry = registry_class(NAME, connection=client)
    # RQ asks each client once which server it has.
    get_version(client)
    assert 'nobody' not in FailedJobRegistry('nothing', connection=client)
    recorder.clear()
    return registry


@pytest.mark.parametrize('name', ONE_TRIP)
def test_single_call_takes_one_round_trip(recorder: Recorder, name: str) -> None:
    registry_class, call, commands = ONE_TRIP[name]
    registry = registry_through(recorder, registry_class)
    call(registry)
    assert recorder.blocks == [commands]


def test_requeue_of_job_with_metadata_takes_two_round_trips(recorder: Recorder, connection: redis.Redis) -> None:
    registry = registry_through(recorder, FailedJobRegistry)
    job = Job.fetch('failed-0', connection=connection)
    job.meta['tries'] = 2
    job.save_meta()
    assert registry.requeue('failed-0').meta == {'tries': 2}
    assert recorder.blocks == [['HGETALL', 'EVALSHA']] * 2


def test_clean_registries_takes_one_round_trip(recorder: Recorder, connection: redis.Redis) -> None:
    connection.zadd(f'rq:finished:{NAME}', {'expired': 1})
    queue = Queue(NAME, connection=registry_through(recorder, FailedJobRegistry).connection)
    connection.script_flush()
    rqreg_ext.registry.clean_registries(queue)
    assert recorder.blocks == [['EVALSHA'], ['EVAL']]
    assert not connection.zscore(f'rq:finished:{NAME}', 'expired')
    recorder.clear()
    rqreg_ext.registry.clean_registries(queue)
    assert recorder.blocks == [['EVALSHA']]


def test_recorder_counts_more_round_trips_for_rq(recorder: Recorder) -> None:
    """The recorder counts: RQ's count is two round trips, and its deletion many."""
    registry = registry_through(recorder, rq.registry.FailedJobRegistry)
    assert registry.count
    assert recorder.blocks == [['ZREMRANGEBYSCORE'], ['ZCARD']]
    recorder.clear()
    registry.remove('failed-0', delete_job=True)
    assert len(recorder.blocks) >= 5


@pytest.mark.parametrize('verb', ['delete', 'requeue'])
def test_script_unknown_to_server_is_sent_as_text_once(recorder: Recorder, connection: redis.Redis, verb: str) -> None:
    """SCRIPT FLUSH, or a restart: the text is sent once, and its hash from then on."""
    calls = {
        'delete': lambda registry, job_id: registry.remove(job_id, delete_job=True),
        'requeue': lambda registry, job_id: registry.requeue(job_id),
    }
    # Read in the same write as the script.
    before = ['HGETALL'] if verb == 'requeue' else []
    registry = registry_through(recorder, FailedJobRegistry)
    connection.script_flush()
    calls[verb](registry, 'failed-0')
    assert recorder.blocks == [[*before, 'EVALSHA'], [*before, 'EVAL']]
    recorder.clear()
    calls[verb](registry, 'failed-1')
    assert recorder.blocks == [[*before, 'EVALSHA']]


def test_repeatedly_unknown_scripts_leave_what_rq_leaves(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        registry = namespace.FailedJobRegistry(NAME, connection=redis_server.client())
        for number in range(0, 6, 2):
            connection.script_flush()
            assert registry.remove(f'failed-{number}', delete_job=True) == 1
            assert isinstance(registry.requeue(f'failed-{number + 1}'), Job)
        found.append(state(connection))
    assert found[1] == found[0]
    assert b'rq:job:failed-0' not in found[1]
    assert found[1][f'rq:queue:{NAME}'.encode()] == [b'failed-1', b'failed-3', b'failed-5']


def test_running_job_in_started_does_not_read_registry(recorder: Recorder) -> None:
    registry = registry_through(recorder, StartedJobRegistry)
    assert 'running' in registry
    assert recorder.commands == ['EVALSHA']


def test_other_job_in_started_reads_registry_once(recorder: Recorder) -> None:
    registry = registry_through(recorder, StartedJobRegistry)
    assert 'nobody' not in registry
    assert recorder.commands.count('ZRANGE') == 1
    assert len(recorder.writes) <= 2


def test_all_calls_use_one_separate_connection(recorder: Recorder) -> None:
    registry = registry_through(recorder, FailedJobRegistry)
    assert registry.count
    assert registry.get_job_ids()
    registry.connection.ping()
    ours = {write.connection for write in recorder.writes if write.commands != ['PING']}
    theirs = {write.connection for write in recorder.writes if write.commands == ['PING']}
    assert len(ours) == len(theirs) == 1
    assert ours != theirs


@pytest.fixture
def many_queues(connection: redis.Redis) -> list[str]:
    """20 failed jobs in each of some queues."""
    names = [f'queue-{number}' for number in range(4)]
    for name in names:
        queue = Queue(name, connection=connection)
        connection.sadd('rq:queues', queue.key)
        for number in range(20):
            job = queue.create_job('len', job_id=f'{name}-{number}', status=rq.job.JobStatus.FAILED)
            job.save()
            queue.failed_job_registry.add(job, 1000 + number)
    return names


def test_check_of_many_queues_takes_two_each(recorder: Recorder, many_queues: list[str]) -> None:
    """One reads the entries of a registry, and one their jobs; nothing is read of a registry without entries."""
    client = registry_through(recorder, FailedJobRegistry).connection
    report = rqreg_ext.check(client, many_queues, settle=0)
    assert (report.entries, list(report)) == (80, [])
    of_queues = [block for block in recorder.blocks if 'SCAN' not in block]
    scans = len(recorder.blocks) - len(of_queues)
    # Three for the jobs that a scan has found; and one each for all counts, for the workers of all queues, and for what
    # is looked at twice.
    assert len(of_queues) <= 2 * len(many_queues) + 3 * scans + 3


def test_check_of_a_registry_reads_each_of_its_jobs_once(
    recorder: Recorder, connection: redis.Redis, many_queues: list[str]
) -> None:
    client = registry_through(recorder, FailedJobRegistry).connection
    lone = Queue('queue-0', connection=connection).create_job('len', job_id='lone', status=rq.job.JobStatus.FAILED)
    lone.save()
    report = FailedJobRegistry('queue-0', connection=client).check(settle=0)
    assert [problem.job_id for problem in report] == ['lone']
    commands = [command for block in recorder.blocks for command in block]
    # Of the 20 jobs in the registry the hash, its length and whether it has data; of the others found by the scan
    # what tells their queue.
    assert commands.count('HLEN') == 20
    assert commands.count('HMGET') <= 20 + connection.dbsize() - 20 + 2


def test_many_ids_are_asked_for_by_the_thousand(recorder: Recorder, connection: redis.Redis) -> None:
    """One command of 10 000 ids would keep all other clients waiting for some 10 ms."""
    registry = registry_through(recorder, FailedJobRegistry)
    ids = [f'many-{number}' for number in range(2500)]
    connection.zadd(registry.key, dict.fromkeys(ids[::2], 4_000_000_000))
    assert registry.contains_many(ids) == [True, False] * 1250
    assert recorder.blocks == [['ZMSCORE'] * 3]
