"""exchange(): the replies are the same on our connections and by the client itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
from clients.recording import Recorder
from private_redis import PrivateRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqreg_ext import _core
from rqreg_ext._fastpath.exchange import (
    ENTRIES,
    INTEGER,
    NOTHING,
    SCORE,
    TEXTS,
    VALUE,
    Command,
    ask,
    exchange,
    run_script,
)

READS: list[Command] = [
    (INTEGER, 'ZCARD', 'scores'),
    (ENTRIES, 'ZRANGE', 'scores', 0, -1, 'WITHSCORES'),
    (ENTRIES, 'ZRANGE', 'nothing', 0, -1, 'WITHSCORES'),
    (TEXTS, 'ZRANGE', 'scores', 0, -1),
    (SCORE, 'ZSCORE', 'scores', 'ä'),
    (SCORE, 'ZSCORE', 'scores', 'missing'),
    (VALUE, 'HMGET', 'hash', 'octets', 'missing'),
    (VALUE, 'LRANGE', b'list', 0, -1),
    (NOTHING, 'LRANGE', 'list', 0, -1),
]
REPLIES = [
    3,
    [('low', -1.5), ('ä', 2.0), ('never', float('inf'))],
    [],
    ['low', 'ä', 'never'],
    2.0,
    None,
    [b'\xff\x00', None],
    [b'a', b'b'],
    None,
]


class Instrumented(redis.Redis):
    """A client that is not supported, so that commands go through its methods."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


def populate(client: Any) -> None:
    client.zadd('scores', {'low': -1.5, 'ä': 2, 'never': float('inf')})
    client.hset('hash', 'octets', b'\xff\x00')
    client.rpush('list', 'a', 'b')


@pytest.fixture(params=[2, 3], ids=['RESP2', 'RESP3'])
def client(request: pytest.FixtureRequest, connection: redis.Redis, redis_server: PrivateRedis) -> Iterator[Any]:
    populate(connection)
    with redis_server.client(protocol=request.param) as client:
        yield client


def instrumented(client: redis.Redis) -> Instrumented:
    return Instrumented(connection_pool=client.connection_pool)


def test_exchange_returns_requested_shapes(client: redis.Redis) -> None:
    assert exchange(client, READS) == REPLIES
    assert ask(client, READS) == REPLIES


def test_exchange_by_unsupported_client_uses_its_own_methods(client: redis.Redis) -> None:
    assert _core.exchange(instrumented(client), READS) is None
    assert exchange(instrumented(client), READS) == REPLIES


def test_exchange_works_on_fakeredis() -> None:
    client = fakeredis.FakeRedis()
    populate(client)
    assert exchange(client, READS) == REPLIES


def test_exchange_works_on_client_that_sends_commands_one_by_one(client: redis.Redis) -> None:
    """RedisCluster does, because its keys are on several servers."""
    cluster = instrumented(client)
    cluster.get_node_from_key = None  # type: ignore[attr-defined]
    commands = [*READS, (INTEGER, 'ZCARD', 'list'), (INTEGER, 'LLEN', 'list')]
    *replies, error, length = exchange(cluster, commands)
    assert (replies, length) == (REPLIES, 2)
    assert isinstance(error, redis.ResponseError)


def test_exchange_needs_one_write(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    populate(connection)
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        exchange(client, READS)
        recorder.clear()
        assert exchange(client, READS) == REPLIES
        assert recorder.blocks == [[str(command[1]) for command in READS]]


@pytest.mark.parametrize('of', [lambda client: client, instrumented], ids=['supported', 'unsupported'])
def test_exchange_returns_error_as_reply(client: redis.Redis, of: Callable[[redis.Redis], redis.Redis]) -> None:
    commands = [(INTEGER, 'ZCARD', 'list'), (INTEGER, 'LLEN', 'list')]
    error, length = exchange(of(client), commands)
    assert isinstance(error, redis.ResponseError)
    assert str(error).startswith('WRONGTYPE')
    assert length == 2
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        ask(of(client), commands)


class Failed(Exception):
    """Raised by a callable that is given as a shape."""


@pytest.mark.parametrize('of', [lambda client: client, instrumented], ids=['supported', 'unsupported'])
def test_callable_shape_converts_replies(client: redis.Redis, of: Callable[[redis.Redis], redis.Redis]) -> None:
    seen: list[Any] = []

    def take(reply: Any) -> str:
        seen.append(reply)
        # Other commands can be sent while replies are outstanding.
        assert exchange(of(client), READS) == REPLIES
        return f'reply {len(seen)}'

    commands = [(take, 'LRANGE', 'list', 0, -1), (take, 'ZCARD', 'list'), (INTEGER, 'LLEN', 'list')]
    first, error, length, last = exchange(of(client), [*commands, (take, 'LINDEX', 'list', 5)])
    assert (seen, first, length, last) == ([[b'a', b'b'], None], 'reply 1', 2, 'reply 2')
    assert isinstance(error, redis.ResponseError)

    def fail(reply: Any) -> None:
        raise Failed(reply)

    with pytest.raises(Failed, match='2'):
        exchange(of(client), [(fail, 'LLEN', 'list'), *READS])
    assert exchange(of(client), READS) == REPLIES


def test_callable_shape_runs_while_server_works(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """The second command waits for an item that the callable for the first reply pushes."""
    with redis_server.client() as client:
        commands = [(lambda _: connection.rpush('late', 'x'), 'LLEN', 'list'), (VALUE, 'BLPOP', 'late', 20)]
        assert exchange(client, commands) == [1, [b'late', b'x']]


def test_callable_shape_reruns_after_retry(redis_server: PrivateRedis) -> None:
    seen: list[int] = []

    def take(reply: int) -> int:
        seen.append(reply)
        if len(seen) == 1:
            (victim,) = (found['id'] for found in connection.client_list() if found['name'] == 'victim')
            connection.client_kill_filter(_id=victim)
        return reply

    trying = {'retry': Retry(NoBackoff(), 1), 'retry_on_error': [redis.ConnectionError]}
    with redis_server.client() as connection, redis_server.client(client_name='victim', **trying) as client:
        commands: list[Command] = [(take, 'INCR', 'count'), (take, 'INCR', 'count'), (VALUE, 'BLPOP', 'late', 0.2)]
        found = exchange(client, commands)
    assert found == [3, 4, None]
    assert seen in ([1, 3, 4], [1, 2, 3, 4])


@pytest.mark.parametrize('of', [lambda client: client, instrumented], ids=['supported', 'unsupported'])
def test_run_script_loads_script_unknown_to_server(
    client: redis.Redis, of: Callable[[redis.Redis], redis.Redis]
) -> None:
    """The second call only sends its SHA1."""
    client.zadd('started', {'id:first': 1})
    client.zadd('executions', {'first': 1})
    client.script_flush()
    for _ in range(2):
        assert run_script(of(client), 'has_execution', ['started', 'executions'], {'job_id': 'id'}, shape=INTEGER) == 1
        assert client.script_exists(_core.SCRIPTS['has_execution'][0]) == [True]
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        run_script(of(client), 'has_execution', ['list', 'list'], {'job_id': 'id'})


def test_scripts_have_right_sha1(client: redis.Redis) -> None:
    assert {'delete_job', 'requeue_job', 'has_execution'} <= _core.SCRIPTS.keys()
    for sha1, text, _ in _core.SCRIPTS.values():
        assert client.script_load(text.decode()) == sha1


def test_exchange_without_commands_sends_nothing() -> None:
    assert exchange(redis.Redis(port=1), []) == []


@pytest.mark.parametrize(
    ('command', 'error', 'words'),
    [
        (5, TypeError, '5 is not a command'),
        ((INTEGER,), TypeError, 'not a command'),
        (('TEXTS', 'PING'), TypeError, 'not a command'),
        ((INTEGER, b'PING'), TypeError, 'not a command'),
        ((99, 'PING'), ValueError, '99 is not a shape'),
        ((-1, 'PING'), ValueError, '-1 is not a shape'),
        ((2**70, 'PING'), OverflowError, 'too large'),
        ((INTEGER, 'ECHO', None), TypeError, 'argument 1 of ECHO is None, not a str, bytes, int or float'),
        ((INTEGER, 'ECHO', '\ud800'), UnicodeEncodeError, 'surrogates'),
    ],
)
def test_exchange_refuses_malformed_command(
    client: redis.Redis, command: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        exchange(client, [(INTEGER, 'ZCARD', 'scores'), command])
    assert exchange(client, READS) == REPLIES


def test_exchange_refuses_entries_without_scores(client: redis.Redis) -> None:
    """A reply of another shape is an error, and later replies are read correctly."""
    for command in [(ENTRIES, 'ZRANGE', 'scores', 0, 0), (ENTRIES, 'PING'), (ENTRIES, 'ZCARD', 'scores')]:
        with pytest.raises(redis.InvalidResponse, match='without the scores'):
            exchange(client, [command])
    assert exchange(client, READS) == REPLIES
