"""snapshot() equals what RQ returns for every queue, registry and worker, in one round trip."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import rq.defaults
import rq.registry
from clients.outcomes import outcome_of
from clients.recording import Recorder
from depth import IS_DEEP
from differential.database import COPY_SCRIPT, differences, dump
from differential.sides import OUR_DATABASE, REGISTRIES, RQ_DATABASE
from differential.strategies import worlds
from differential.world import World, Writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from private_redis import PrivateRedis
from rq import Queue, SimpleWorker, Worker
from rq.worker_registration import REDIS_WORKER_KEYS

import rqreg_ext
from rqreg_ext import snapshot
from rqreg_ext._all_queues import workers
from rqreg_ext._all_queues.snapshot import NAMES, Scores
from rqreg_ext._fastpath import rq_keys

NAMES_OF_REGISTRIES = tuple(rq_keys.REGISTRIES)
WORKER_PREFIX = Worker.redis_worker_namespace_prefix
NEVER = 4_000_000_000
TRIES = 30

examples = settings(
    max_examples=1000 if IS_DEEP else 100,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


class Instrumented(redis.Redis):
    """A client with an overridden method, which our code must call."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


def registries_of(queue: Queue) -> dict[str, Any]:
    return {name: getattr(queue, f'{name}_job_registry') for name in NAMES_OF_REGISTRIES}


def rqs_counts_of(queue: Queue) -> dict[str, int]:
    """Return RQ's counts of one queue."""
    counts = {name: registry.get_job_count(cleanup=False) for name, registry in registries_of(queue).items()}
    return dict.fromkeys(NAMES, 0) | {'queued': queue.count} | counts


def rqs_counts(client: Any) -> dict[str, dict[str, int]]:
    """Return RQ's counts of all queues."""
    return {queue.name: rqs_counts_of(queue) for queue in sorted(Queue.all(connection=client))}


def rqs_counts_and_errors(client: Any) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """Return RQ's counts of the queues that it can count, and the server's errors for the others."""
    counts, errors = {}, {}
    for queue in sorted(Queue.all(connection=client)):
        try:
            counts[queue.name] = rqs_counts_of(queue)
        except redis.ResponseError as error:
            errors[queue.name] = str(error)
    return counts, errors


def counts_of(taken: rqreg_ext.Snapshot) -> dict[str, dict[str, int]]:
    return {name: dict(queue) for name, queue in taken.items()}


def counts_and_errors_of(taken: rqreg_ext.Snapshot) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    return counts_of(taken), {name: str(error) for name, error in taken.errors.items()}


def rqs_states(client: Any, queue: Queue | None = None) -> Counter[str]:
    return Counter(str(worker.get_state()) for worker in Worker.all(connection=client, queue=queue))


def populate(client: Any) -> None:
    """Fill three queues and the registries of two of them, and create workers in several states."""
    for number in range(3):
        Queue('low', connection=client).enqueue('os.getpid', job_id=f'waiting-{number}')
    Queue('high', connection=client).enqueue('os.getpid', job_id='waiting')
    Queue('räksmörgås', connection=client).enqueue('os.getpid', job_id='waiting-too')
    for queue in ('low', 'high'):
        for number, name in enumerate(NAMES_OF_REGISTRIES):
            entries = {f'job-{i}:run' if name == 'started' else f'job-{i}': NEVER + i for i in range(number + 1)}
            client.zadd(rq_keys.REGISTRIES[name].key(queue), entries)
    for name, queues, state in [
        ('w1', ['low', 'high'], 'busy'),
        ('w2', ['low'], 'idle'),
        ('w3', ['high'], 'busy'),
        ('w4', ['low'], 'suspended'),
        ('w5', ['elsewhere'], None),
    ]:
        worker = SimpleWorker(queues, name=name, connection=client)
        worker.register_birth()
        if state is not None:
            worker.set_state(state)


def without_ready_jobs(client: Any) -> None:
    """Remove the ready jobs: any entry of their registry is work for RQ's cleanup()."""
    for queue in ('low', 'high'):
        client.delete(f'{REDIS_WORKER_KEYS.removesuffix("workers")}ready:{queue}')


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs' webhooks fail on this machine, not in a proxy."""
    monkeypatch.setenv('no_proxy', '*')


@pytest.fixture(params=[2, 3], ids=['RESP2', 'RESP3'])
def client(request: pytest.FixtureRequest, connection: redis.Redis, redis_server: PrivateRedis) -> Iterator[Any]:
    with redis_server.client(protocol=request.param) as client:
        yield client


# The values


def test_counts_equal_rq(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client)
    assert counts_of(taken) == rqs_counts(client)
    assert list(taken) == ['high', 'low', 'räksmörgås']
    assert taken['low'].queued == taken['low']['queued'] == 3
    assert taken['low'].failed == taken['low']['failed'] == Queue('low', connection=client).failed_job_registry.count
    assert dict(taken.total) == {name: sum(queue[name] for queue in taken.values()) for name in NAMES}
    assert taken.total.queued == 5


def test_workers_equal_rq(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client)
    assert taken.workers == rqs_states(client) == {'busy': 2, 'idle': 1, 'suspended': 1, '?': 1}
    for name, queue in taken.items():
        assert queue.workers == rqs_states(client, Queue(name, connection=client)), name
    assert taken['low'].workers == {'busy': 1, 'idle': 1, 'suspended': 1}
    assert taken['low'].workers['started'] == 0


def test_scores_are_lowest_and_highest(client: redis.Redis) -> None:
    populate(client)
    client.zadd(rq_keys.REGISTRIES['failed'].key('low'), {b'\xff': -1.5, 'never': '+inf'})
    taken = snapshot(client, scores=True)
    for name, queue in taken.items():
        for registry, scores in queue.scores.items():
            key = rq_keys.REGISTRIES[registry].key(name)
            found = [score for _, score in client.zrange(key, 0, -1, withscores=True)]
            assert scores == (Scores(found[0], found[-1]) if found else None)
    assert taken['low'].scores['failed'] == Scores(oldest=-1.5, newest=float('inf'))
    assert taken['räksmörgås'].scores['failed'] is None


def test_time_is_of_server(client: redis.Redis) -> None:
    def server_time() -> float:
        seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)

    before = server_time()
    taken = snapshot(client)
    assert before <= taken.timestamp <= server_time()
    assert taken.time == datetime.fromtimestamp(taken.timestamp, timezone.utc)


def test_to_dict_can_be_dumped_and_has_all_counts(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client, ['high'], scores=True)
    values = json.loads(json.dumps(taken.to_dict()))
    assert values == {
        'timestamp': taken.timestamp,
        'queues': {
            'high': {
                **rqs_counts(client)['high'],
                'scores': {
                    name: {'oldest': NEVER, 'newest': NEVER + number} for number, name in enumerate(NAMES_OF_REGISTRIES)
                },
                'workers': {'busy': 2},
            }
        },
        'total': rqs_counts(client)['high'],
        'errors': {},
        'workers': {'busy': 2, 'idle': 1, 'suspended': 1, '?': 1},
    }
    assert snapshot(client, ['high'], workers=False).to_dict()['queues'] == {'high': rqs_counts(client)['high']}
    assert 'workers' not in snapshot(client, workers=False).to_dict()


def test_repr_names_counts_and_workers(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client)
    assert repr(taken).startswith(f'<Snapshot of 3 queues at {taken.time.isoformat()}: Counts(queued=5, ')
    assert "'busy': 2" in repr(taken)
    assert repr(taken['low']).startswith("'low': QueueSnapshot(queued=3, ")


def test_parts_not_requested_raise_attribute_error(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client, workers=False)
    for read, remedy in [
        (lambda: taken.workers, 'workers=True'),
        (lambda: taken['low'].workers, 'workers=True'),
        (lambda: taken['low'].scores, 'scores=True'),
    ]:
        with pytest.raises(AttributeError, match=remedy):
            read()
    with pytest.raises(KeyError):
        taken['nowhere']
    with pytest.raises(KeyError):
        taken['low']['name']
    with pytest.raises(AttributeError):
        _ = taken['low'].lost  # type: ignore[attr-defined]


def test_snapshot_of_empty_redis_has_no_queues_and_workers(client: redis.Redis) -> None:
    taken = snapshot(client, scores=True)
    assert (len(taken), sum(taken.total.values()), taken.workers) == (0, 0, {})


# Which queues


def test_snapshot_takes_queues_by_name_and_as_objects(client: redis.Redis) -> None:
    populate(client)
    expected = rqs_counts(client)
    for queues, names in [
        (['low', 'high'], ['low', 'high']),
        ('low', ['low']),
        (Queue('low', connection=client), ['low']),
        ([rqreg_ext.Queue('high', connection=client), 'low', 'high'], ['high', 'low']),
        (iter(['low', 'low']), ['low']),
        ([], []),
    ]:
        taken = snapshot(client, queues)
        assert list(taken) == names
        assert counts_of(taken) == {name: expected[name] for name in names}


def test_snapshot_reads_keys_of_queue_class(client: redis.Redis) -> None:
    class Apart(Queue):
        redis_queue_namespace_prefix = 'apart:queue:'

    queue = Apart('low', connection=client)
    client.rpush('apart:queue:low', 'a', 'b')
    assert snapshot(client, [queue])['low'].queued == queue.count == 2


def test_snapshot_takes_queue_with_other_connection_to_same_redis(
    client: redis.Redis, redis_server: PrivateRedis
) -> None:
    populate(client)
    other = redis_server.client()
    assert snapshot(client, [Queue('low', connection=other)])['low'].queued == 3


@pytest.mark.parametrize(
    ('queues', 'error', 'words'),
    [
        (5, TypeError, r'queues=5 names no queues'),
        ([b'low'], TypeError, r"b'low' in queues is not a queue"),
        ([None], TypeError, r'None in queues is not a queue'),
        ([Queue('low', connection=redis.Redis(port=1))], ValueError, r"Queue\('low'\) in queues is in another Redis"),
        ([Queue('low', connection=redis.Redis(port=1, db=7))], ValueError, r'another Redis'),
    ],
)
def test_invalid_queues_are_refused(client: redis.Redis, queues: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        snapshot(client, queues)


def test_invalid_key_in_list_of_queues_raises(client: redis.Redis) -> None:
    client.sadd(Queue.redis_queues_keys, 'elsewhere')
    of_rq = outcome_of('all', lambda: Queue.all(connection=client))
    assert outcome_of('all', lambda: snapshot(client)).error == of_rq.error
    assert of_rq.error is not None


# Connections


@pytest.mark.parametrize('connection_', [None, 5, b'redis://localhost', redis.asyncio.Redis()])
def test_invalid_client_is_refused(connection_: Any) -> None:
    with pytest.raises(TypeError, match=r'connection=.* is not a client: give one of redis-py'):
        snapshot(connection_)


def test_invalid_url_is_refused() -> None:
    with pytest.raises(ValueError, match="connection='nowhere' is not a URL"):
        snapshot('nowhere')


def test_snapshot_takes_url_as_connection(client: redis.Redis, redis_server: PrivateRedis) -> None:
    populate(client)
    assert counts_of(snapshot(redis_server.url)) == rqs_counts(client)


@pytest.mark.parametrize('options', [{'decode_responses': True}, {'single_connection_client': True}])
def test_snapshot_is_same_on_each_kind_of_client(
    client: redis.Redis, redis_server: PrivateRedis, options: dict[str, Any]
) -> None:
    populate(client)
    with redis_server.client(**options) as other:
        assert snapshot(other, scores=True).to_dict()['queues'] == snapshot(client, scores=True).to_dict()['queues']


@pytest.mark.parametrize('options', [{}, {'decode_responses': True}, {'protocol': 3}])
def test_snapshot_is_same_on_instrumented_clients(
    client: redis.Redis, redis_server: PrivateRedis, options: dict[str, Any]
) -> None:
    populate(client)
    values = snapshot(client, scores=True).to_dict()
    other = Instrumented(host='127.0.0.1', port=redis_server.port, **options)
    assert snapshot(other, scores=True).to_dict() | {'timestamp': 0} == values | {'timestamp': 0}
    other.close()


def test_snapshot_on_fakeredis_equals_rq() -> None:
    client = fakeredis.FakeRedis()
    populate_lists(client)
    assert counts_of(snapshot(client)) == rqs_counts(client)
    assert snapshot(client).workers == {'busy': 1}


def populate_lists(client: Any) -> None:
    """Fill a database without workers, which need commands that fakeredis does not have."""
    Queue('low', connection=client).enqueue('os.getpid', job_id='waiting')
    client.zadd(rq_keys.REGISTRIES['failed'].key('low'), {'a': NEVER})
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}w1')
    client.hset(f'{WORKER_PREFIX}w1', mapping={'birth': '2024-01-01T00:00:00Z', 'state': 'busy', 'queues': 'low'})


def test_key_of_another_type_is_an_error_of_its_queue(client: redis.Redis) -> None:
    populate(client)
    key = rq_keys.REGISTRIES['deferred'].key('nowhere')
    client.set(key, 'x')
    taken = snapshot(client, ['low', 'nowhere'])
    assert ([*taken], [*taken.errors]) == (['low'], ['nowhere'])
    assert taken.to_dict()['errors']['nowhere'].endswith(f' (key {key})')
    assert counts_of(snapshot(client)) == rqs_counts(client)


def test_lost_server_is_raised() -> None:
    with pytest.raises(redis.ConnectionError):
        snapshot(redis.Redis(port=1), ['low'])


# Round trips


@pytest.fixture
def recorded(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[tuple[Recorder, redis.Redis]]:
    """A recording proxy of a populated server, and a connected client of it."""
    populate(connection)
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        snapshot(client)
        recorder.clear()
        yield recorder, client


OF_A_QUEUE = ['LLEN', *['ZCARD'] * len(NAMES_OF_REGISTRIES)]


def test_named_queues_take_one_round_trip(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    snapshot(client, ['low', 'high'])
    exist = ['SISMEMBER', 'EXISTS']
    assert recorder.blocks == [['TIME', *exist * 2, *OF_A_QUEUE, *OF_A_QUEUE, 'SORT']]
    recorder.clear()
    snapshot(client, ['low'], scores=True, workers=False)
    assert recorder.blocks == [['TIME', *exist, *OF_A_QUEUE, *['ZRANGE'] * 2 * len(NAMES_OF_REGISTRIES)]]


def test_all_queues_take_two_round_trips(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    snapshot(client)
    assert recorder.blocks == [['SMEMBERS'], ['TIME', *OF_A_QUEUE * 3, 'SORT']]


def test_cleanup_is_in_the_same_round_trip(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    without_ready_jobs(client)
    # The first call, where redis-py has a connection, compares that one with ours.
    snapshot(client, ['low'])
    recorder.clear()
    snapshot(client, ['low'], cleanup=True)
    assert len(recorder.blocks) == 1
    assert recorder.commands.count('ZREMRANGEBYSCORE') == 2


def test_snapshot_writes_nothing(client: redis.Redis) -> None:
    populate(client)
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}gone')
    client.zadd(rq_keys.REGISTRIES['failed'].key('low'), {'expired': 1})
    before = dump(client)
    snapshot(client, scores=True)
    assert differences(before, dump(client)) == []


# Workers


def test_worker_without_hash_is_not_counted(client: redis.Redis) -> None:
    populate(client)
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}gone')
    assert snapshot(client).workers == rqs_states(client)


def test_worker_with_heartbeat_only_is_counted(client: redis.Redis) -> None:
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}w1')
    client.hset(f'{WORKER_PREFIX}w1', 'last_heartbeat', '2024-01-01T00:00:00.000000Z')
    assert snapshot(client).workers == rqs_states(client) == {'?': 1}


@pytest.mark.parametrize('rules', [['-sort'], ['%R~*', '-sort'], ['-@dangerous']])
def test_workers_are_counted_without_right_to_sort(
    connection: redis.Redis, redis_server: PrivateRedis, rules: list[str], request: pytest.FixtureRequest
) -> None:
    populate(connection)
    major = int(connection.info('server')['redis_version'].split('.')[0])
    if major < 6 or (major < 7 and '%R~*' in rules):
        pytest.skip(f'Redis {major} has no such rules')
    keys = [] if '%R~*' in rules else ['~*']
    connection.execute_command('ACL', 'SETUSER', 'reader', 'reset', 'on', '>secret', '+@all', *keys, *rules)
    request.addfinalizer(lambda: connection.execute_command('ACL', 'DELUSER', 'reader'))
    with (
        Recorder(redis_server.port) as recorder,
        redis_server.client(port=recorder.port, username='reader', password='secret') as reader,
    ):
        values = snapshot(reader, ['low']).to_dict()
        assert recorder.blocks[-2:] == [['SMEMBERS'], ['HMGET'] * 5]
    assert values | {'timestamp': 0} == snapshot(connection, ['low']).to_dict() | {'timestamp': 0}


@pytest.mark.parametrize('rules', [['~rq:queue*', '~rq:*:low'], ['~*', '-sort', '-smembers']])
@pytest.mark.parametrize('queues', [['low'], 'low'])
def test_workers_that_user_may_not_read_raise_when_asked_for(
    connection: redis.Redis, redis_server: PrivateRedis, rules: list[str], queues: Any, request: pytest.FixtureRequest
) -> None:
    populate(connection)
    connection.execute_command('ACL', 'SETUSER', 'reader', 'reset', 'on', '>secret', '+@all', *rules)
    request.addfinalizer(lambda: connection.execute_command('ACL', 'DELUSER', 'reader'))
    with redis_server.client(username='reader', password='secret') as reader:
        taken = snapshot(reader, queues)
        expected = snapshot(reader, queues, workers=False)
    assert taken.to_dict() | {'timestamp': 0} == expected.to_dict() | {'timestamp': 0}
    assert taken.total == expected.total == snapshot(connection, queues).total
    assert 'workers not read (NoPermissionError: ' in repr(taken)
    for found in (taken, taken['low']):
        with pytest.raises(redis.exceptions.NoPermissionError):
            _ = found.workers


def test_workers_key_of_another_type_raises_when_asked_for(client: redis.Redis) -> None:
    client.set(REDIS_WORKER_KEYS, 'x')
    taken = snapshot(client)
    assert taken.total == snapshot(client, workers=False).total
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        _ = taken.workers


@pytest.mark.parametrize('at_once', [1, 2, 5, 6])
def test_workers_are_read_by_several_commands_if_too_many_for_one(
    recorded: tuple[Recorder, redis.Redis], connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    recorder, client = recorded
    expected = snapshot(connection, ['low'])
    monkeypatch.setattr(workers, 'MOST_AT_ONCE', at_once)
    taken = snapshot(client, ['low'])
    assert (taken.workers, taken['low'].workers) == (expected.workers, expected['low'].workers)
    reads = {1: [1] * 5, 2: [2, 2, 1], 5: [5]}.get(at_once)
    assert recorder.blocks[1:] == ([] if reads is None else [['SMEMBERS'], *(['HMGET'] * count for count in reads)])


def test_thousands_of_workers_are_all_counted(client: redis.Redis) -> None:
    with client.pipeline() as pipeline:
        for number in range(2500):
            pipeline.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}{number}')
            state = ('busy', 'idle', 'suspended')[number % 3]
            pipeline.hset(f'{WORKER_PREFIX}{number}', mapping={'birth': 'x', 'state': state, 'queues': 'low,high'})
        pipeline.execute()
    taken = snapshot(client, Queue('low', connection=client))
    assert taken.workers == taken['low'].workers == {'busy': 834, 'idle': 833, 'suspended': 833}


# Compared with RQ, on random databases


@st.composite
def databases(draw: Any) -> tuple[World, list[str], list[tuple[str, str | None, str | None]]]:
    """Return a world, other queues in RQ's list, and workers as (name, state, queues)."""
    world = draw(st.sampled_from(REGISTRIES).flatmap(worlds))
    queues = draw(st.lists(st.sampled_from(['q', 'empty', '', 'ä,b', '{x}']), unique=True))
    states = st.sampled_from(['busy', 'idle', 'started', 'suspended', '', 'önskad', None])
    workers = draw(
        st.lists(
            st.tuples(st.sampled_from('uvwxyz'), states, st.sampled_from(['q', 'q,empty', '', None])),
            max_size=4,
            unique_by=lambda worker: worker[0],
        )
    )
    return world, queues, workers


def write_database(client: Any, database: Any, now: int) -> None:
    world, queues, workers = database
    client.flushall()
    with client.pipeline() as pipeline:
        Writer(world, pipeline, now).write()
        for name in {world.queue, *queues}:
            pipeline.sadd(Queue.redis_queues_keys, Queue.redis_queue_namespace_prefix + name)
        for name, state, of_queues in workers:
            pipeline.sadd(REDIS_WORKER_KEYS, WORKER_PREFIX + name)
            fields = {'birth': '2024-01-01T00:00:00.000000Z', 'state': state, 'queues': of_queues}
            pipeline.hset(WORKER_PREFIX + name, mapping={k: v for k, v in fields.items() if v is not None})
            for queue in (of_queues or '').split(','):
                if of_queues:
                    pipeline.sadd(f'{REDIS_WORKER_KEYS}:{queue}', WORKER_PREFIX + name)
        pipeline.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}gone')
        pipeline.execute()


@examples
@given(database=databases())
def test_random_databases_equal_rq(client: redis.Redis, database: Any) -> None:
    write_database(client, database, now=2_000_000_000)
    before = dump(client)
    ours = outcome_of('counts', lambda: counts_and_errors_of(snapshot(client, scores=True)))
    assert differences(before, dump(client)) == []
    assert ours == outcome_of('counts', lambda: rqs_counts_and_errors(client))
    if ours.error is None:
        taken = snapshot(client)
        assert taken.workers == rqs_states(client)
        for name in taken:
            assert taken[name].workers == rqs_states(client, Queue(name, connection=client))


def clean(client: Any) -> dict[str, dict[str, int]]:
    """Run RQ's cleanup() of every registry, and return RQ's counts. Cleanups that move jobs to others come first."""
    for queue in sorted(Queue.all(connection=client)):
        for name in ('started', 'deferred', 'ready', 'finished', 'failed', 'scheduled', 'canceled'):
            if name in NAMES_OF_REGISTRIES:
                registries_of(queue)[name].cleanup()
    return rqs_counts(client)


@examples
@given(database=databases())
def test_random_databases_after_cleanup_equal_rq(sides: tuple[Any, Any, Any], no_proxy: None, database: Any) -> None:
    model, of_rq, ours = sides

    def compare() -> tuple[Any, Any, list[str]]:
        write_database(model, database, now=math.floor(time.time()))
        model.eval(COPY_SCRIPT, 0, RQ_DATABASE, OUR_DATABASE)
        rqs = outcome_of('counts', lambda: clean(of_rq))
        left_out: dict[str, Exception] = {}

        def take() -> dict[str, dict[str, int]]:
            taken = snapshot(ours, cleanup=True)
            left_out.update(taken.errors)
            return counts_of(taken)

        found = outcome_of('counts', take)
        if rqs.error is not None:
            # RQ's loop ends at the first error, so its result depends on the order.
            return bool(left_out) or found.error is not None, True, []
        return found, rqs, differences(dump(of_rq), dump(ours))

    for _ in range(TRIES):
        second = math.floor(time.time())
        found, rqs, different = compare()
        # The second of the clock may have changed between the two sides.
        if (found == rqs and not different) or math.floor(time.time()) == second:
            break
    assert found == rqs
    assert different == []


def test_cleanup_removes_expired_entries(client: redis.Redis) -> None:
    populate(client)
    without_ready_jobs(client)
    expired = {'failed': 'x', 'finished': 'y'}
    for name, member in expired.items():
        client.zadd(rq_keys.REGISTRIES[name].key('low'), {member: 1})
    before = snapshot(client)
    after = snapshot(client, cleanup=True)
    assert dict(after['high']) == dict(before['high'])
    assert dict(after['low']) == {name: count - (name in expired) for name, count in before['low'].items()}


def test_abandoned_jobs_are_failed_by_rq(client: redis.Redis) -> None:
    """RQ's cleanup() uses the job class and the serializer of a Queue object that is given."""
    queue = Queue('low', connection=client, serializer='rq.serializers.JSONSerializer')
    job = queue.enqueue('os.getpid')
    queue.remove(job)
    job.set_status('started')
    client.zadd(queue.started_job_registry.key, {f'{job.id}:run': 1})
    assert dict(snapshot(client, queue)['low'])['started'] == 1
    taken = snapshot(client, queue, cleanup=True)
    assert (taken['low'].started, taken['low'].failed) == (0, 1)
    assert job.get_status() == 'failed'


def test_job_that_fails_and_expires_in_cleanup_is_removed(client: redis.Redis) -> None:
    queue = Queue('low', connection=client)
    job = queue.enqueue('os.getpid', failure_ttl=0)
    queue.remove(job)
    job.set_status('started')
    client.zadd(queue.started_job_registry.key, {f'{job.id}:run': 1})
    taken = snapshot(client, queue, cleanup=True)
    assert (taken['low'].started, taken['low'].failed) == (0, 0)
    assert queue.failed_job_registry.get_job_count(cleanup=False) == 0


# Processes with another key prefix


SCRIPT = """
import json, sys
import redis
import rqreg_ext

client = redis.Redis(port=int(sys.argv[1]))
values = [rqreg_ext.snapshot(client, queues, scores=True).to_dict() for queues in (None, ['low'])]
print(json.dumps(values))
"""


def run_script(port: int, script: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, '-c', script, str(port)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FILLING = """
import json, sys
import redis
sys.path[:0] = json.loads(sys.argv[2])
from all_queues.test_snapshot import populate, rqs_counts, rqs_states

client = redis.Redis(port=int(sys.argv[1]))
populate(client)
print(json.dumps([rqs_counts(client), rqs_states(client), sorted(key.decode() for key in client.keys('*'))]))
"""


@pytest.mark.skipif(not hasattr(rq.defaults, 'RQ_KEY_PREFIX'), reason='this RQ has no key prefix')
@pytest.mark.parametrize('prefix', ['{app}', 'app:rq', '{'])
def test_snapshot_uses_key_prefix_of_environment(
    connection: redis.Redis, redis_server: PrivateRedis, prefix: str
) -> None:
    tests = Path(__file__).resolve().parents[1]
    script = FILLING.replace('sys.argv[2]', repr(json.dumps([str(tests), str(tests.parent / 'tools')])))
    counts, states, keys = run_script(redis_server.port, script, RQ_KEY_PREFIX=prefix)
    assert [key for key in keys if not key.startswith(f'{prefix}:')] == []
    everything, _ = run_script(redis_server.port, SCRIPT, RQ_KEY_PREFIX=prefix)
    assert {name: {n: queue[n] for n in NAMES} for name, queue in everything['queues'].items()} == counts
    assert everything['workers'] == states
    assert snapshot(connection) == {}
