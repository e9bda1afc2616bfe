"""snapshot(): what RQ says of every queue, registry and worker, in one round trip."""

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
from differential.sides import MODEL_DATABASE, OUR_DATABASE, REGISTRIES, RQ_DATABASE
from differential.strategies import worlds
from differential.world import World, Writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from private_redis import PrivateRedis
from rq import Queue, SimpleWorker, Worker
from rq.worker_registration import REDIS_WORKER_KEYS

import rqreg_ext
from rqreg_ext import _worker_states, snapshot
from rqreg_ext._rq_keys import installed_keys
from rqreg_ext.snapshots import NAMES, Scores

NAMES_OF_REGISTRIES = tuple(installed_keys().templates)
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
    """A client that is not taken over."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


def registries_of(queue: Queue) -> dict[str, Any]:
    return {name: getattr(queue, f'{name}_job_registry') for name in NAMES_OF_REGISTRIES}


def rqs_counts(client: Any) -> dict[str, dict[str, int]]:
    """Return what RQ says of all its queues."""
    return {
        queue.name: dict.fromkeys(NAMES, 0)
        | {'queued': queue.count}
        | {name: registry.get_job_count(cleanup=False) for name, registry in registries_of(queue).items()}
        for queue in sorted(Queue.all(connection=client))
    }


def counts_of(taken: rqreg_ext.Snapshot) -> dict[str, dict[str, int]]:
    return {name: dict(queue) for name, queue in taken.items()}


def rqs_states(client: Any, queue: Queue | None = None) -> Counter[str]:
    return Counter(str(worker.get_state()) for worker in Worker.all(connection=client, queue=queue))


def populate(client: Any) -> None:
    """Fill three queues, the registries of two of them, and let workers of them be in several states."""
    for number in range(3):
        Queue('low', connection=client).enqueue('os.getpid', job_id=f'waiting-{number}')
    Queue('high', connection=client).enqueue('os.getpid', job_id='waiting')
    Queue('räksmörgås', connection=client).enqueue('os.getpid', job_id='waiting-too')
    for queue in ('low', 'high'):
        for number, name in enumerate(NAMES_OF_REGISTRIES):
            entries = {f'job-{i}:run' if name == 'started' else f'job-{i}': NEVER + i for i in range(number + 1)}
            client.zadd(installed_keys().of_registry(name, queue), entries)
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
    """Leave RQ's own cleanup nothing to do: it takes any entry of that registry for work."""
    for queue in ('low', 'high'):
        client.delete(f'{REDIS_WORKER_KEYS.removesuffix("workers")}ready:{queue}')


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs' webhooks fail on this machine, never on somebody's proxy."""
    monkeypatch.setenv('no_proxy', '*')


@pytest.fixture(params=[2, 3], ids=['RESP2', 'RESP3'])
def client(request: pytest.FixtureRequest, connection: redis.Redis, redis_server: PrivateRedis) -> Iterator[Any]:
    with redis_server.client(protocol=request.param) as client:
        yield client


# What is told


def test_counts_are_rqs(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client)
    assert counts_of(taken) == rqs_counts(client)
    assert list(taken) == ['high', 'low', 'räksmörgås']
    assert taken['low'].queued == taken['low']['queued'] == 3
    assert taken['low'].failed == taken['low']['failed'] == Queue('low', connection=client).failed_job_registry.count
    assert dict(taken.total) == {name: sum(queue[name] for queue in taken.values()) for name in NAMES}
    assert taken.total.queued == 5


def test_workers_are_rqs(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client)
    assert taken.workers == rqs_states(client) == {'busy': 2, 'idle': 1, 'suspended': 1, '?': 1}
    for name, queue in taken.items():
        assert queue.workers == rqs_states(client, Queue(name, connection=client)), name
    assert taken['low'].workers == {'busy': 1, 'idle': 1, 'suspended': 1}
    assert taken['low'].workers['started'] == 0


def test_scores_are_the_first_and_the_last(client: redis.Redis) -> None:
    populate(client)
    client.zadd(installed_keys().of_registry('failed', 'low'), {b'\xff': -1.5, 'never': '+inf'})
    taken = snapshot(client, scores=True)
    for name, queue in taken.items():
        for registry, told in queue.scores.items():
            key = installed_keys().of_registry(registry, name)
            found = [score for _, score in client.zrange(key, 0, -1, withscores=True)]
            assert told == (Scores(found[0], found[-1]) if found else None)
    assert taken['low'].scores['failed'] == Scores(oldest=-1.5, newest=float('inf'))
    assert taken['räksmörgås'].scores['failed'] is None


def test_the_time_is_the_servers(client: redis.Redis) -> None:
    def server_time() -> float:
        seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)

    before = server_time()
    taken = snapshot(client)
    assert before <= taken.timestamp <= server_time()
    assert taken.time == datetime.fromtimestamp(taken.timestamp, timezone.utc)


def test_as_dicts(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client, ['high'], scores=True)
    told = json.loads(json.dumps(taken.to_dict()))
    assert told == {
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


def test_as_text(client: redis.Redis) -> None:
    populate(client)
    taken = snapshot(client)
    assert repr(taken).startswith(f'<Snapshot of 3 queues at {taken.time.isoformat()}: Counts(queued=5, ')
    assert "'busy': 2" in repr(taken)
    assert repr(taken['low']).startswith("'low': QueueSnapshot(queued=3, ")


def test_what_was_not_asked_for(client: redis.Redis) -> None:
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


def test_an_empty_redis(client: redis.Redis) -> None:
    taken = snapshot(client, scores=True)
    assert (len(taken), sum(taken.total.values()), taken.workers) == (0, 0, {})


# Which queues


def test_queues_by_name_and_as_objects(client: redis.Redis) -> None:
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


def test_a_queue_with_keys_of_its_own(client: redis.Redis) -> None:
    class Apart(Queue):
        redis_queue_namespace_prefix = 'apart:queue:'

    queue = Apart('low', connection=client)
    client.rpush('apart:queue:low', 'a', 'b')
    assert snapshot(client, [queue])['low'].queued == queue.count == 2


def test_another_connection_of_the_same_redis(client: redis.Redis, redis_server: PrivateRedis) -> None:
    populate(client)
    other = redis_server.client()
    assert snapshot(client, [Queue('low', connection=other)])['low'].queued == 3


@pytest.mark.parametrize(
    ('queues', 'error', 'words'),
    [
        (5, TypeError, r'queues=5 are none'),
        ([b'low'], TypeError, r"b'low' in queues is no queue"),
        ([None], TypeError, r'None in queues is no queue'),
        ([Queue('low', connection=redis.Redis(port=1))], ValueError, r"Queue\('low'\) in queues is in another Redis"),
        ([Queue('low', connection=redis.Redis(port=1, db=7))], ValueError, r'another Redis'),
    ],
)
def test_bad_queues(client: redis.Redis, queues: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        snapshot(client, queues)


def test_a_key_among_the_queues_that_is_none(client: redis.Redis) -> None:
    client.sadd(Queue.redis_queues_keys, 'elsewhere')
    of_rq = outcome_of('all', lambda: Queue.all(connection=client))
    assert outcome_of('all', lambda: snapshot(client)).error == of_rq.error
    assert of_rq.error is not None


# Connections


@pytest.mark.parametrize('connection_', [None, 5, b'redis://localhost', redis.asyncio.Redis()])
def test_what_is_no_client(connection_: Any) -> None:
    with pytest.raises(TypeError, match=r'connection=.* is no client to ask: give one of redis-py'):
        snapshot(connection_)


def test_what_is_no_url() -> None:
    with pytest.raises(ValueError, match="connection='nowhere' is no URL"):
        snapshot('nowhere')


def test_a_url(client: redis.Redis, redis_server: PrivateRedis) -> None:
    populate(client)
    assert counts_of(snapshot(redis_server.url)) == rqs_counts(client)


@pytest.mark.parametrize('options', [{'decode_responses': True}, {'single_connection_client': True}])
def test_other_clients(client: redis.Redis, redis_server: PrivateRedis, options: dict[str, Any]) -> None:
    populate(client)
    with redis_server.client(**options) as other:
        assert snapshot(other, scores=True).to_dict()['queues'] == snapshot(client, scores=True).to_dict()['queues']


@pytest.mark.parametrize('options', [{}, {'decode_responses': True}, {'protocol': 3}])
def test_clients_that_are_not_taken_over(
    client: redis.Redis, redis_server: PrivateRedis, options: dict[str, Any]
) -> None:
    populate(client)
    told = snapshot(client, scores=True).to_dict()
    other = Instrumented(host='127.0.0.1', port=redis_server.port, **options)
    assert snapshot(other, scores=True).to_dict() | {'timestamp': 0} == told | {'timestamp': 0}
    other.close()


def test_fakeredis() -> None:
    client = fakeredis.FakeRedis()
    populate_lists(client)
    assert counts_of(snapshot(client)) == rqs_counts(client)
    assert snapshot(client).workers == {'busy': 1}


def populate_lists(client: Any) -> None:
    """Fill what RQ fills, without a worker, which asks a server more than a fake one answers."""
    Queue('low', connection=client).enqueue('os.getpid', job_id='waiting')
    client.zadd(installed_keys().of_registry('failed', 'low'), {'a': NEVER})
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}w1')
    client.hset(f'{WORKER_PREFIX}w1', mapping={'birth': '2024-01-01T00:00:00Z', 'state': 'busy', 'queues': 'low'})


def test_an_error_of_the_server(client: redis.Redis) -> None:
    populate(client)
    client.set(installed_keys().of_registry('deferred', 'nowhere'), 'x')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        snapshot(client, ['low', 'nowhere'])
    assert counts_of(snapshot(client)) == rqs_counts(client)


def test_a_lost_server() -> None:
    with pytest.raises(redis.ConnectionError):
        snapshot(redis.Redis(port=1), ['low'])


# Round trips


@pytest.fixture
def recorded(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[tuple[Recorder, redis.Redis]]:
    """A recording proxy before a populated server, and a client of it that is connected."""
    populate(connection)
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        snapshot(client)
        recorder.clear()
        yield recorder, client


OF_A_QUEUE = ['LLEN', *['ZCARD'] * len(NAMES_OF_REGISTRIES)]


def test_one_round_trip(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    snapshot(client, ['low', 'high'])
    exist = ['SISMEMBER', 'EXISTS']
    assert recorder.blocks == [['TIME', *exist * 2, *OF_A_QUEUE, *OF_A_QUEUE, 'SORT']]
    recorder.clear()
    snapshot(client, ['low'], scores=True, workers=False)
    assert recorder.blocks == [['TIME', *exist, *OF_A_QUEUE, *['ZRANGE'] * 2 * len(NAMES_OF_REGISTRIES)]]


def test_two_where_queues_are_discovered(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    snapshot(client)
    assert recorder.blocks == [['SMEMBERS'], ['TIME', *OF_A_QUEUE * 3, 'SORT']]


def test_cleanup_is_in_the_same_round_trip(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    without_ready_jobs(client)
    recorder.clear()
    snapshot(client, ['low'], cleanup=True)
    assert len(recorder.blocks) == 1
    assert recorder.commands.count('ZREMRANGEBYSCORE') == 2


def test_nothing_is_written(client: redis.Redis) -> None:
    populate(client)
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}gone')
    client.zadd(installed_keys().of_registry('failed', 'low'), {'expired': 1})
    before = dump(client)
    snapshot(client, scores=True)
    assert differences(before, dump(client)) == []


# Workers


def test_a_worker_that_is_gone_is_none(client: redis.Redis) -> None:
    populate(client)
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}gone')
    assert snapshot(client).workers == rqs_states(client)


def test_a_worker_of_which_only_the_heartbeat_is_left(client: redis.Redis) -> None:
    client.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}w1')
    client.hset(f'{WORKER_PREFIX}w1', 'last_heartbeat', '2024-01-01T00:00:00.000000Z')
    assert snapshot(client).workers == rqs_states(client) == {'?': 1}


@pytest.mark.parametrize('rules', [['-sort'], ['%R~*', '-sort'], ['-@dangerous']])
def test_where_sort_is_denied(
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
        told = snapshot(reader, ['low']).to_dict()
        assert recorder.blocks[-2:] == [['SMEMBERS'], ['HMGET'] * 5]
    assert told | {'timestamp': 0} == snapshot(connection, ['low']).to_dict() | {'timestamp': 0}


@pytest.mark.parametrize('at_once', [1, 2, 5, 6])
def test_more_workers_than_are_read_at_once(
    recorded: tuple[Recorder, redis.Redis], connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    recorder, client = recorded
    expected = snapshot(connection, ['low'])
    monkeypatch.setattr(_worker_states, 'MOST_AT_ONCE', at_once)
    taken = snapshot(client, ['low'])
    assert (taken.workers, taken['low'].workers) == (expected.workers, expected['low'].workers)
    reads = {1: [1] * 5, 2: [2, 2, 1], 5: [5]}.get(at_once)
    assert recorder.blocks[1:] == ([] if reads is None else [['SMEMBERS'], *(['HMGET'] * count for count in reads)])


def test_thousands_of_workers(client: redis.Redis) -> None:
    with client.pipeline() as pipeline:
        for number in range(2500):
            pipeline.sadd(REDIS_WORKER_KEYS, f'{WORKER_PREFIX}{number}')
            state = ('busy', 'idle', 'suspended')[number % 3]
            pipeline.hset(f'{WORKER_PREFIX}{number}', mapping={'birth': 'x', 'state': state, 'queues': 'low,high'})
        pipeline.execute()
    taken = snapshot(client, Queue('low', connection=client))
    assert taken.workers == taken['low'].workers == {'busy': 834, 'idle': 833, 'suspended': 833}


# Beside RQ, on random databases


@st.composite
def databases(draw: Any) -> tuple[World, list[str], list[tuple[str, str | None, str | None]]]:
    """Return a world, more queues that RQ knows, and workers: name, state, queues."""
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
def test_random_databases(client: redis.Redis, database: Any) -> None:
    write_database(client, database, now=2_000_000_000)
    before = dump(client)
    ours = outcome_of('counts', lambda: counts_of(snapshot(client, scores=True)))
    assert differences(before, dump(client)) == []
    assert ours == outcome_of('counts', lambda: rqs_counts(client))
    if ours.error is None:
        taken = snapshot(client)
        assert taken.workers == rqs_states(client)
        for name in taken:
            assert taken[name].workers == rqs_states(client, Queue(name, connection=client))


def clean(client: Any) -> dict[str, dict[str, int]]:
    """Run RQ's cleanup of every registry, and return RQ's counts: what moves jobs first, then what drops them."""
    for queue in sorted(Queue.all(connection=client)):
        for name in ('started', 'deferred', 'ready', 'finished', 'failed', 'scheduled', 'canceled'):
            if name in NAMES_OF_REGISTRIES:
                registries_of(queue)[name].cleanup()
    return rqs_counts(client)


@pytest.fixture
def sides(redis_server: PrivateRedis) -> Iterator[tuple[Any, Any, Any]]:
    """Clients of three databases: what both start from, RQ's and ours."""
    clients = [redis_server.client(db=database) for database in (MODEL_DATABASE, RQ_DATABASE, OUR_DATABASE)]
    yield tuple(clients)
    for client in clients:
        client.close()


@examples
@given(database=databases())
def test_random_databases_cleaned_up(sides: tuple[Any, Any, Any], no_proxy: None, database: Any) -> None:
    model, of_rq, ours = sides

    def compare() -> tuple[Any, Any, list[str]]:
        write_database(model, database, now=math.floor(time.time()))
        model.eval(COPY_SCRIPT, 0, RQ_DATABASE, OUR_DATABASE)
        rqs = outcome_of('counts', lambda: clean(of_rq))
        found = outcome_of('counts', lambda: counts_of(snapshot(ours, cleanup=True)))
        if rqs.error is not None:
            # Of several errors the one that is met first is told, and what is done before it depends on the order too.
            return found.error is not None, True, []
        return found, rqs, differences(dump(of_rq), dump(ours))

    for _ in range(TRIES):
        begun = math.floor(time.time())
        found, rqs, different = compare()
        # What takes the time of day may have got another second on the other side.
        if (found == rqs and not different) or math.floor(time.time()) == begun:
            break
    assert found == rqs
    assert different == []


def test_cleanup_drops_what_expired(client: redis.Redis) -> None:
    populate(client)
    without_ready_jobs(client)
    expired = {'failed': 'x', 'finished': 'y'}
    for name, member in expired.items():
        client.zadd(installed_keys().of_registry(name, 'low'), {member: 1})
    before = snapshot(client)
    after = snapshot(client, cleanup=True)
    assert dict(after['high']) == dict(before['high'])
    assert dict(after['low']) == {name: count - (name in expired) for name, count in before['low'].items()}


def test_abandoned_jobs_are_failed_by_rq(client: redis.Redis) -> None:
    """As its own cleanup does it: with the class and the serializer of a Queue object that is given."""
    queue = Queue('low', connection=client, serializer='rq.serializers.JSONSerializer')
    job = queue.enqueue('os.getpid')
    queue.remove(job)
    job.set_status('started')
    client.zadd(queue.started_job_registry.key, {f'{job.id}:run': 1})
    assert dict(snapshot(client, queue)['low'])['started'] == 1
    taken = snapshot(client, queue, cleanup=True)
    assert (taken['low'].started, taken['low'].failed) == (0, 1)
    assert job.get_status() == 'failed'


def test_what_fails_and_expires_at_once_is_dropped(client: redis.Redis) -> None:
    queue = Queue('low', connection=client)
    job = queue.enqueue('os.getpid', failure_ttl=0)
    queue.remove(job)
    job.set_status('started')
    client.zadd(queue.started_job_registry.key, {f'{job.id}:run': 1})
    taken = snapshot(client, queue, cleanup=True)
    assert (taken['low'].started, taken['low'].failed) == (0, 0)
    assert queue.failed_job_registry.get_job_count(cleanup=False) == 0


# Processes that do not import rq


SCRIPT = """
import json, sys
import redis
import rqreg_ext

client = redis.Redis(port=int(sys.argv[1]))
told = [rqreg_ext.snapshot(client, queues, scores=True).to_dict() for queues in (None, ['low'])]
imported = [name for name in sys.modules if name.partition('.')[0] in ('rq', 'croniter')]
print(json.dumps([told, imported]))
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


def test_rq_is_not_imported(connection: redis.Redis, redis_server: PrivateRedis) -> None:
    populate(connection)
    (everything, low), imported = run_script(redis_server.port, SCRIPT)
    assert imported == []
    assert everything['queues'] == snapshot(connection, scores=True).to_dict()['queues']
    assert low['queues'] == {'low': everything['queues']['low']}
    assert everything['workers'] == snapshot(connection).workers


FILLING = """
import json, sys
import redis
sys.path[:0] = json.loads(sys.argv[2])
from whole.test_snapshot import populate, rqs_counts, rqs_states

client = redis.Redis(port=int(sys.argv[1]))
populate(client)
print(json.dumps([rqs_counts(client), rqs_states(client), sorted(key.decode() for key in client.keys('*'))]))
"""


@pytest.mark.skipif(not hasattr(rq.defaults, 'RQ_KEY_PREFIX'), reason='this RQ has no key prefix')
@pytest.mark.parametrize('prefix', ['{app}', 'app:rq', '{'])
def test_another_key_prefix(connection: redis.Redis, redis_server: PrivateRedis, prefix: str) -> None:
    tests = Path(__file__).resolve().parents[1]
    script = FILLING.replace('sys.argv[2]', repr(json.dumps([str(tests), str(tests.parent / 'tools')])))
    counts, states, keys = run_script(redis_server.port, script, RQ_KEY_PREFIX=prefix)
    assert [key for key in keys if not key.startswith(f'{prefix}:')] == []
    (everything, _), imported = run_script(redis_server.port, SCRIPT, RQ_KEY_PREFIX=prefix)
    assert imported == []
    assert {name: {n: queue[n] for n in NAMES} for name, queue in everything['queues'].items()} == counts
    assert everything['workers'] == states
    assert snapshot(connection) == {}
