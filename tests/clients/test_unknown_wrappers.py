"""Single calls of clients with unknown wrappers: these get, command by command, what RQ's calls give them.

The commands are then sent by the core, at the bottom of the wrappers, as they arrive there. The calls that are scripts
give them a script.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry
from rqreg_ext import _core

from .connections import opened_by
from .hearing import WAYS, Act, Hearing, Make, pass_on
from .observing import fill_failed
from .outcomes import outcome_of
from .recording import Recorder
from .tour import NAME, assert_went_well, prepare, state, tour

if TYPE_CHECKING:
    from private_redis import PrivateRedis

CALLS: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'len': len,
    'in': lambda registry: 'failed-0' in registry,
    'get_job_ids': lambda registry: registry.get_job_ids(),
    'a page': lambda registry: registry.get_job_ids(1, 2, desc=True),
    'get_expired_job_ids': lambda registry: registry.get_expired_job_ids(5_000_000_000),
    'remove': lambda registry: registry.remove('failed-0'),
}
SCRIPTED: dict[str, Callable[[Any, str], Any]] = {
    'remove(delete_job=True)': lambda registry, job_id: registry.remove(job_id, delete_job=True),
    'requeue': lambda registry, job_id: registry.requeue(job_id).id,
}
# In a tour, the calls of these; what wrappers hear of them is tested by itself.
BY_SCRIPT = {'delete id', 'delete job', 'delete nobody', 'requeue id', 'requeue again', 'requeue nobody'}
DATABASE = 5
LIBRARIES = (rq.registry, rqreg_ext.registry)


def tours(way: str, act: Act, make: Make, admin: redis.Redis, times: int = 1) -> list[Any]:
    """Return what every documented call answers, and what the wrappers hear of it: of RQ's calls, then of ours."""
    found = []
    for library in LIBRARIES:
        hearing = Hearing(act, BY_SCRIPT)
        with WAYS[way](hearing, make) as client:
            outcomes = [tour(library, client, admin, hearing.begin) for _ in range(times)]
        found.append((outcomes, hearing.heard))
    return found


def clients_of(server: PrivateRedis, **options: Any) -> Make:
    """Return what makes clients of a server."""

    def make(client_class: Any = redis.Redis) -> Any:
        return client_class(host='127.0.0.1', port=server.port, **options)

    return make


@pytest.mark.parametrize('options', [{}, {'decode_responses': True}, {'protocol': 2}, {'protocol': 3}], ids=str)
@pytest.mark.parametrize('way', WAYS)
def test_every_call_is_heard_as_of_rq(
    redis_server: PrivateRedis, connection: redis.Redis, way: str, options: dict[str, Any]
) -> None:
    by_rq, by_ours = tours(way, pass_on, clients_of(redis_server, **options), connection, times=2)
    assert by_ours == by_rq
    assert len(by_rq[1]) > 100
    if not options.get('decode_responses'):
        assert_went_well(by_ours[0][1])


# ---- Wrappers that do more than pass on

Changes = dict[str, Act]


def prefixing(inner: Any, *args: Any, **options: Any) -> Any:
    return inner(args[0], f'own:{args[1]}', *args[2:], **options) if len(args) > 1 else inner(*args, **options)


def prefixing_reads(inner: Any, *args: Any, **options: Any) -> Any:
    return (prefixing if args[:1] in (('ZCARD',), ('ZRANGE',), ('ZSCORE',)) else pass_on)(inner, *args, **options)


def changing_options(inner: Any, *args: Any, **options: Any) -> Any:
    """Have redis-py parse replies in other ways."""
    if args[:1] in (('ZRANGE',), ('ZREVRANGE',)):
        return [entry for entry, _ in inner(*args, 'WITHSCORES', **{**options, 'withscores': True})]
    # Return that instead of an error of the server.
    return inner(*args, **{**options, 'EMPTY_RESPONSE': 5} if args[:1] in (('ZSCORE',), ('ZREM',)) else options)


def changing_results(inner: Any, *args: Any, **options: Any) -> Any:
    result = inner(*args, **options)
    if isinstance(result, list) and args:
        return tuple(entry for entry in result if entry not in (b'failed-3', 'failed-3'))
    return result + 1 if type(result) in (int, float) else result


def answering_nothing(inner: Any, *args: Any, **options: Any) -> Any:
    result = inner(*args, **options)
    return None if args and args[0].startswith('Z') else result


def swallowing(inner: Any, *args: Any, **options: Any) -> Any:
    try:
        return inner(*args, **options)
    except redis.RedisError:
        return 0


def failing_afterwards(inner: Any, *args: Any, **options: Any) -> Any:
    result = inner(*args, **options)
    if args[:1] in (('ZCARD',), ('ZRANGE',), ('ZREM',), ('ZSCORE',)):
        raise LookupError(args[0])
    return result


def repeating(inner: Any, *args: Any, **options: Any) -> Any:
    if args[:1] in (('ZCARD',), ('ZREM',), ('ZRANGE',)):
        inner(*args, **options)
    return inner(*args, **options)


def remembering(inner: Any, *args: Any, **options: Any) -> Any:
    """Send less: some replies are from memory."""
    return 7 if args[:1] == ('ZCARD',) else inner(*args, **options)


def sending_more(inner: Any, *args: Any, **options: Any) -> Any:
    """Count the commands, with a command."""
    if args and args[0].startswith('Z'):
        inner('INCR', 'counted')
    return inner(*args, **options)


ACTS = [
    prefixing,
    prefixing_reads,
    changing_options,
    changing_results,
    answering_nothing,
    swallowing,
    failing_afterwards,
    repeating,
    remembering,
    sending_more,
]


@pytest.mark.parametrize('act', ACTS)
@pytest.mark.parametrize('way', ['functools', 'subclass'])
def test_what_a_wrapper_changes_has_the_effect_that_it_has_on_rq(
    redis_server: PrivateRedis, connection: redis.Redis, way: str, act: Act
) -> None:
    by_rq, by_ours = tours(way, act, clients_of(redis_server), connection, times=2)
    assert by_ours == by_rq


REFUSED = (
    'ZCARD', 'ZRANGE', 'ZREVRANGE', 'ZSCORE', 'ZREM', 'ZREMRANGEBYSCORE', 'ZRANGEBYSCORE', 'HGETALL', 'LREM', 'EVALSHA',
    'EVAL',
)  # fmt: skip


@pytest.mark.parametrize('only', REFUSED)
def test_refusal_by_a_wrapper_is_raised(redis_server: PrivateRedis, connection: redis.Redis, only: str) -> None:
    def refusing(inner: Any, *args: Any, **options: Any) -> Any:
        if args[:1] == (only,):
            raise PermissionError(only)
        return inner(*args, **options)

    # RQ's method asks once more, in case that it was the object in the client's place that was refused.
    (by_rq, _), (by_ours, _) = tours('functools', refusing, clients_of(redis_server), connection, times=2)
    assert by_ours == by_rq


@pytest.mark.parametrize('act', ACTS)
def test_error_of_server_is_heard_as_of_rq(redis_server: PrivateRedis, connection: redis.Redis, act: Act) -> None:
    found = []
    for library in LIBRARIES:
        connection.flushdb()
        for prefix in ('', 'own:'):
            connection.set(f'{prefix}rq:failed:{NAME}', 'no sorted set')
        hearing = Hearing(act)
        with WAYS['functools'](hearing, clients_of(redis_server)) as client:
            registry = library.FailedJobRegistry(NAME, connection=client)
            outcomes = [outcome_of(name, partial(call, registry)) for name, call in CALLS.items() for _ in range(2)]
        found.append((outcomes, hearing.heard))
    assert found[1] == found[0]


# ---- Scripts


def fail_jobs(connection: redis.Redis, count: int = 4) -> Any:
    """Have these jobs fail, and return their registry by an unwrapped client."""
    connection.flushdb()
    fill_failed(connection, count)
    return rq.registry.FailedJobRegistry('q', connection=connection)


def words_of(heard: list[Any]) -> list[list[Any]]:
    """Return the words of the commands that went by themselves."""
    return [[word for _, word in args[1]] for name, args, *_ in heard if name == 'execute_command']


@pytest.mark.parametrize('call', SCRIPTED)
@pytest.mark.parametrize('way', ['functools', 'functools, later', 'wrapt', 'subclass'])
def test_wrapper_gets_script_after_it_has_passed_on_commands_of_rq(
    redis_server: PrivateRedis, connection: redis.Redis, way: str, call: str
) -> None:
    fail_jobs(connection)
    hearing = Hearing()
    with Recorder(redis_server.port) as recorder, WAYS[way](hearing, clients_of(recorder)) as client:
        registry = rqreg_ext.registry.FailedJobRegistry('q', connection=client)
        SCRIPTED[call](registry, 'job-0')
        tried = words_of(hearing.heard)
        # Commands that are not sent.
        assert ['LREM', 'rq:queue:q', 1, 'rqreg_ext'] in tried
        assert ['DEL', 'rq:job:rqreg_ext'] in tried
        assert not any(b'rqreg_ext' in write.octets for write in recorder.writes)
        # RQ puts the server's version on the client, so that it is tried again.
        SCRIPTED[call](registry, 'job-1')
        hearing.heard.clear()
        recorder.clear()
        SCRIPTED[call](registry, 'job-2')
        hash_read, probe, (name, _, count, key, *_) = words_of(hearing.heard)
        assert (hash_read, probe) == (['HGETALL', 'rq:job:job-2'], ['ZREM', 'rq:failed:q', ' '])
        assert (name, count, key) == ('EVALSHA', 1, 'rq:failed:q')
        assert recorder.blocks == [['HGETALL', 'ZREM'], ['EVALSHA']]


@pytest.mark.parametrize('call', SCRIPTED)
def test_script_is_sent_by_the_core(redis_server: PrivateRedis, connection: redis.Redis, call: str) -> None:
    fail_jobs(connection)
    with WAYS['functools'](Hearing(), clients_of(redis_server)) as client:
        registry = rqreg_ext.registry.FailedJobRegistry('q', connection=client)
        # RQ asks for the server's version, once.
        SCRIPTED[call](registry, 'job-0')
        made = client.connection_pool._created_connections
        assert opened_by(connection, lambda: [SCRIPTED[call](registry, f'job-{number}') for number in (1, 2, 3)]) == []
        assert client.connection_pool._created_connections == made == (0 if call != 'requeue' else 1)


def prefixing_hashes(inner: Any, *args: Any, **options: Any) -> Any:
    return (prefixing if args[:1] == ('HGETALL',) else pass_on)(inner, *args, **options)


def prefixing_writes(inner: Any, *args: Any, **options: Any) -> Any:
    return (prefixing if args[:1] in (('ZREM',), ('DEL',), ('LREM',)) else pass_on)(inner, *args, **options)


def refusing_writes(inner: Any, *args: Any, **options: Any) -> Any:
    if args[:1] in (('ZREM',), ('DEL',), ('LREM',)):
        raise PermissionError(args[0])
    return inner(*args, **options)


def refusing_one_job(inner: Any, *args: Any, **options: Any) -> Any:
    if args[:2] == ('HGETALL', 'rq:job:job-1'):
        raise PermissionError(args[1])
    return inner(*args, **options)


def hiding_one_job(inner: Any, *args: Any, **options: Any) -> Any:
    return {} if args[:2] == ('HGETALL', 'rq:job:job-1') else inner(*args, **options)


def refusing_scripts(inner: Any, *args: Any, **options: Any) -> Any:
    if args[:1] in (('EVALSHA',), ('EVAL',)):
        raise PermissionError(args[0])
    return inner(*args, **options)


def prefixing_scripts(inner: Any, *args: Any, **options: Any) -> Any:
    words = (*args[:3], f'own:{args[3]}', *args[4:]) if args[:1] == ('EVALSHA',) else args
    return inner(*words, **options)


LATER = [
    prefixing,
    prefixing_hashes,
    prefixing_writes,
    refusing_writes,
    refusing_one_job,
    hiding_one_job,
    refusing_scripts,
    prefixing_scripts,
    changing_results,
    swallowing,
    remembering,
]


@pytest.mark.parametrize('call', SCRIPTED)
@pytest.mark.parametrize('act', LATER)
@pytest.mark.parametrize('has_run', [True, False], ids=['later', 'from the start'])
def test_wrapper_that_changes_what_comes_with_a_script_has_the_effect_that_it_has_on_rq(
    redis_server: PrivateRedis, connection: redis.Redis, act: Act, call: str, has_run: bool
) -> None:
    found = []
    for library in LIBRARIES:
        fail_jobs(connection)
        # The jobs of another application, whose keys have a prefix.
        for key in connection.keys('*'):
            connection.copy(key, b'own:' + key)
        hearing = Hearing()
        with WAYS['functools'](hearing, clients_of(redis_server)) as client:
            registry = library.FailedJobRegistry('q', connection=client)
            outcomes = [outcome_of('before', partial(SCRIPTED[call], registry, 'job-0'))] if has_run else []
            hearing.act = act
            outcomes += [outcome_of(job_id, partial(SCRIPTED[call], registry, job_id)) for job_id in ('job-1', 'job-2')]
            hearing.act = pass_on
            outcomes += [outcome_of('after', partial(SCRIPTED[call], registry, 'job-3'))]
        found.append((outcomes, state(connection)))
    assert found[1] == found[0]


def test_refused_script_leaves_reads_to_the_core(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    fail_jobs(connection)
    with WAYS['functools'](Hearing(refusing_scripts), clients_of(redis_server)) as client:
        registry = rqreg_ext.registry.FailedJobRegistry('q', connection=client)
        assert registry.remove('job-0', delete_job=True) == 1
        assert _core.check_client(client).observations.is_opaque is False
        made = client.connection_pool._created_connections
        assert (registry.count, 'job-1' in registry) == (3, True)
        assert client.connection_pool._created_connections == made


# ---- Who sends


@pytest.mark.parametrize('way', ['functools', 'functools, later', 'wrapt', 'subclass'])
def test_core_sends(redis_server: PrivateRedis, connection: redis.Redis, way: str) -> None:
    prepare(connection)
    with WAYS[way](Hearing(), clients_of(redis_server)) as client:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
        made = client.connection_pool._created_connections
        opened = opened_by(connection, lambda: [call(registry) for call in CALLS.values() for _ in range(2)])
        assert len(opened) == 1
        # redis-py has made no more of them.
        assert client.connection_pool._created_connections == made


def test_what_is_sent_is_what_rq_sends(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    found = []
    for library in LIBRARIES:
        prepare(connection)
        with Recorder(redis_server.port) as recorder, WAYS['functools'](Hearing(), clients_of(recorder)) as client:
            registry = library.FailedJobRegistry(NAME, connection=client)
            _ = registry.count
            recorder.clear()
            for call in CALLS.values():
                call(registry)
            found.append(list(recorder.blocks))
    assert found[1] == found[0]
    assert all(len(block) == 1 for block in found[1])


@pytest.mark.parametrize('protocol', [2, 3])
@pytest.mark.parametrize('has_room', [True, False])
def test_client_sends_where_the_core_cannot(
    redis_server: PrivateRedis, connection: redis.Redis, has_room: bool, protocol: int
) -> None:
    """Its connection has selected another database; or the pool is full."""
    found = []
    for library in LIBRARIES:
        hearing = Hearing(unheard=BY_SCRIPT)
        make = clients_of(redis_server, max_connections=1, protocol=protocol)
        with WAYS['functools'](hearing, make) as client, redis_server.client(db=DATABASE) as admin:
            client.execute_command('SELECT', DATABASE)
            run = partial(tour, library, client, admin, hearing.begin)
            outcomes = run() if has_room else _core.exchange(client, [(lambda _, run=run: run(), 'PING')], None, True)
            admin.flushdb()
        found.append((outcomes, hearing.heard))
    (by_rq, heard_of_rq), (by_ours, heard_of_ours) = found
    assert by_ours == by_rq
    assert heard_of_ours == heard_of_rq


def test_wrapper_put_on_and_taken_off(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    prepare(connection)
    with redis_server.client() as client:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
        plain = registry.count
        for way in ('functools', 'wrapt', 'functools'):
            assert _core.is_direct(client)
            hearing = Hearing()
            with WAYS[way](hearing, lambda: client):
                assert not _core.is_direct(client)
                assert registry.count == plain
            assert [args[1][0][1] for _, args, *_ in hearing.heard] == ['ZREMRANGEBYSCORE', 'ZCARD']
            assert registry.count == plain
            assert len(hearing.heard) == 2


def test_client_with_slots_is_left_to_rq(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    class Tenant(redis.Redis):
        __slots__ = ('tenant',)

        def execute_command(self, *args: Any, **options: Any) -> Any:
            heard.append(args[0])
            return super().execute_command(args[0], f'{self.tenant}{args[1]}', *args[2:], **options)

    heard: list[str] = []
    prepare(connection)
    connection.zadd(f'a:rq:failed:{NAME}', {'own': 5_000_000_000})
    with Tenant(host='127.0.0.1', port=redis_server.port) as client:
        client.tenant = 'a:'
        assert rqreg_ext.registry.FailedJobRegistry(NAME, connection=client).get_job_ids() == ['own']
    assert heard == ['ZREMRANGEBYSCORE', 'ZRANGE']
