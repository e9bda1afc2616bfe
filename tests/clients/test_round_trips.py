"""How many round trips a call takes, and with which commands: what makes the head worth having."""

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
def test_one_round_trip(recorder: Recorder, name: str) -> None:
    registry_class, call, commands = ONE_TRIP[name]
    registry = registry_through(recorder, registry_class)
    call(registry)
    assert recorder.blocks == [commands]


def test_a_job_with_metadata_takes_two(recorder: Recorder, connection: redis.Redis) -> None:
    registry = registry_through(recorder, FailedJobRegistry)
    job = Job.fetch('failed-0', connection=connection)
    job.meta['tries'] = 2
    job.save_meta()
    assert registry.requeue('failed-0').meta == {'tries': 2}
    assert recorder.blocks == [['HGETALL', 'EVALSHA']] * 2


def test_all_registries_of_a_queue_are_cleaned_in_one_round_trip(recorder: Recorder, connection: redis.Redis) -> None:
    connection.zadd(f'rq:finished:{NAME}', {'expired': 1})
    queue = Queue(NAME, connection=registry_through(recorder, FailedJobRegistry).connection)
    connection.script_flush()
    rqreg_ext.registry.clean_registries(queue)
    assert recorder.blocks == [['EVALSHA'], ['EVAL']]
    assert not connection.zscore(f'rq:finished:{NAME}', 'expired')
    recorder.clear()
    rqreg_ext.registry.clean_registries(queue)
    assert recorder.blocks == [['EVALSHA']]


def test_rq_takes_more(recorder: Recorder) -> None:
    """The recorder counts: RQ's count is two round trips, and its deletion many."""
    registry = registry_through(recorder, rq.registry.FailedJobRegistry)
    assert registry.count
    assert recorder.blocks == [['ZREMRANGEBYSCORE'], ['ZCARD']]
    recorder.clear()
    registry.remove('failed-0', delete_job=True)
    assert len(recorder.blocks) >= 5


@pytest.mark.parametrize('verb', ['delete', 'requeue'])
def test_a_script_that_the_server_forgot(recorder: Recorder, connection: redis.Redis, verb: str) -> None:
    """SCRIPT FLUSH, or a restart: the text is sent once, and its hash from then on."""
    calls = {
        'delete': lambda registry, job_id: registry.remove(job_id, delete_job=True),
        'requeue': lambda registry, job_id: registry.requeue(job_id),
    }
    # Read beside the script, in the same write.
    before = ['HGETALL'] if verb == 'requeue' else []
    registry = registry_through(recorder, FailedJobRegistry)
    connection.script_flush()
    calls[verb](registry, 'failed-0')
    assert recorder.blocks == [[*before, 'EVALSHA'], [*before, 'EVAL']]
    recorder.clear()
    calls[verb](registry, 'failed-1')
    assert recorder.blocks == [[*before, 'EVALSHA']]


def test_scripts_forgotten_again_and_again_leave_what_rq_leaves(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
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


def test_in_started_of_a_running_job_does_not_read_the_registry(recorder: Recorder) -> None:
    registry = registry_through(recorder, StartedJobRegistry)
    assert 'running' in registry
    assert recorder.commands == ['EVALSHA']


def test_in_started_of_another_job_reads_it_once(recorder: Recorder) -> None:
    registry = registry_through(recorder, StartedJobRegistry)
    assert 'nobody' not in registry
    assert recorder.commands.count('ZRANGE') == 1
    assert len(recorder.writes) <= 2


def test_all_calls_use_one_connection_that_is_not_the_clients(recorder: Recorder) -> None:
    registry = registry_through(recorder, FailedJobRegistry)
    assert registry.count
    assert registry.get_job_ids()
    registry.connection.ping()
    ours = {write.connection for write in recorder.writes if write.commands != ['PING']}
    theirs = {write.connection for write in recorder.writes if write.commands == ['PING']}
    assert len(ours) == len(theirs) == 1
    assert ours != theirs
