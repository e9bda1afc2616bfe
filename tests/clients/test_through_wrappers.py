"""Single calls of clients with wrappers: through these, with our exchange at their bottom.

The wrappers here are our own, and do what tracers do not: change, swallow, repeat. They are taken for a known tracer's,
or for what they are: unknown wrappers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq.registry
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry
from rqreg_ext import _core

from .connections import kill_all, opened_by
from .observing import Observed, stood_in_for
from .tour import NAME, prepare

if TYPE_CHECKING:
    from private_redis import PrivateRedis

Calls = dict[str, Callable[[Any], Any]]
CALLS: Calls = {
    'count': lambda registry: registry.count,
    'len': len,
    'in': lambda registry: 'failed-0' in registry,
    'not in': lambda registry: 'nobody' in registry,
    'get_job_ids': lambda registry: registry.get_job_ids(),
    'a page': lambda registry: registry.get_job_ids(1, 2, desc=True),
    'get_expired_job_ids': lambda registry: registry.get_expired_job_ids(5_000_000_000),
    'remove': lambda registry: registry.remove('failed-0'),
}


def calls_seen(library: Any, client: Any, call: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """Return the answer of a call, and the commands that the wrapper saw."""
    registry = library.FailedJobRegistry(NAME, connection=client)
    before = len(Observed.seen)
    answer = call(registry)
    return answer, Observed.seen[before:]


@pytest.fixture
def client(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Observed]:
    prepare(connection)
    with Observed(host='127.0.0.1', port=redis_server.port) as client:
        yield client


@pytest.fixture(autouse=True, params=[True, False], ids=['tracer', 'unknown'])
def is_tracer(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the wrappers are taken for a tracer's. The core must stand in for a client: else RQ did the calls."""
    with stood_in_for(request.param) as classes:
        yield request.param
    assert classes


@pytest.mark.covering(1)
@pytest.mark.parametrize('decodes', [False, True])
@pytest.mark.parametrize('name', CALLS)
def test_wrapper_sees_commands_of_rq(
    redis_server: PrivateRedis, connection: redis.Redis, name: str, decodes: bool
) -> None:
    found = []
    for library in (rq.registry, rqreg_ext.registry, rqreg_ext.registry):
        prepare(connection)
        with Observed(host='127.0.0.1', port=redis_server.port, decode_responses=decodes) as client:
            found.append(calls_seen(library, client, CALLS[name]))
    assert found[1] == found[2] == found[0]


def test_commands_are_sent_on_a_connection_of_the_core(client: Observed, connection: redis.Redis) -> None:
    registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
    assert len(opened_by(connection, lambda: [registry.count for _ in range(3)])) == 1
    # redis-py has made none.
    assert client.connection_pool._created_connections == 0


def test_tracer_gets_two_commands_in_one_round_trip(client: Observed, connection: redis.Redis, is_tracer: bool) -> None:
    """What an unknown wrapper does between two commands of RQ's comes between them."""

    class Adding(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            entries.append(connection.zcard(f'rq:failed:{NAME}'))
            if args[0] == 'ZCARD':
                connection.zadd(f'rq:failed:{NAME}', {'added': 5_000_000_000})
            return super().execute_command(*args, **options)

    entries: list[Any] = []
    with Adding(connection_pool=client.connection_pool) as adding:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=adding)
        connection.delete(registry.key)
        connection.zadd(registry.key, {'expired': 1})
        assert registry.count == (0 if is_tracer else 1)
    # The first wrapper comes before the write, the second one after it.
    assert entries == [1, 0]


@pytest.mark.parametrize('name', CALLS)
def test_error_of_server_comes_through_the_wrapper(client: Observed, connection: redis.Redis, name: str) -> None:
    errors: list[Any] = []

    class Noting(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            try:
                return super().execute_command(*args, **options)
            except redis.ResponseError as error:
                errors.append((args[0], error))
                raise

    connection.set(f'rq:failed:{NAME}', 'x')
    with Noting(connection_pool=client.connection_pool) as noting:
        for _ in range(2):
            errors.clear()
            with pytest.raises(redis.ResponseError, match='WRONGTYPE') as raised:
                CALLS[name](rqreg_ext.registry.FailedJobRegistry(NAME, connection=noting))
            assert errors[0][1] is raised.value


@pytest.mark.parametrize('name', CALLS)
def test_change_of_a_result_is_heard(client: Observed, connection: redis.Redis, name: str) -> None:
    """Entries are bytes, as redis-py returns them."""

    class Changing(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            reply = super().execute_command(*args, **options)
            if isinstance(reply, list):
                return [each for each in reply if each != b'failed-0']
            return None if isinstance(reply, float) else (reply or 0) + 1

    found = []
    for library in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        with Changing(connection_pool=client.connection_pool) as changing:
            registry = library.FailedJobRegistry(NAME, connection=changing)
            found.append([CALLS[name](registry) for _ in range(3)])
    assert found[1] == found[0]


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('only', ['ZREMRANGEBYSCORE', 'ZCARD', 'ZRANGE', 'ZSCORE', 'ZREM', 'ZREVRANGE'])
def test_change_of_a_key_is_heard(client: Observed, connection: redis.Redis, name: str, only: str) -> None:
    class Prefixing(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            words = (args[0], f'own:{args[1]}', *args[2:]) if args[0] == only and is_on else args
            return super().execute_command(*words, **options)

    found = []
    for library in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        connection.zadd(f'own:rq:failed:{NAME}', {'own': 5_000_000_000, 'failed-0': 5_000_000_000})
        with Prefixing(connection_pool=client.connection_pool) as prefixing:
            registry = library.FailedJobRegistry(NAME, connection=prefixing)
            is_on = False
            answers = [CALLS[name](registry)]
            prepare(connection)
            connection.zadd(f'own:rq:failed:{NAME}', {'own': 5_000_000_000, 'failed-0': 5_000_000_000})
            is_on = True
            answers += [CALLS[name](registry), CALLS[name](registry)]
        kept = [connection.zrange(key, 0, -1) for key in (f'rq:failed:{NAME}', f'own:rq:failed:{NAME}')]
        found.append((answers, kept))
        connection.delete(f'own:rq:failed:{NAME}')
    assert found[1] == found[0]


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_error_of_a_wrapper_is_raised(client: Observed, connection: redis.Redis, name: str, when: str) -> None:
    class Refusing(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            if when == 'before':
                raise PermissionError(args[0])
            super().execute_command(*args, **options)
            raise PermissionError(args[0])

    found = []
    for library in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        with Refusing(connection_pool=client.connection_pool) as refusing:
            registry = library.FailedJobRegistry(NAME, connection=refusing)
            with pytest.raises(PermissionError) as raised:
                CALLS[name](registry)
        found.append((str(raised.value), connection.zrange(registry.key, 0, -1)))
    assert found[1] == found[0]


@pytest.mark.parametrize('name', CALLS)
def test_swallowed_errors_are_swallowed(client: Observed, connection: redis.Redis, name: str) -> None:
    class Swallowing(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            try:
                return super().execute_command(*args, **options)
            except redis.ResponseError:
                return [] if 'RANGE' in args[0] and args[0] != 'ZREMRANGEBYSCORE' else 7

    connection.set(f'rq:failed:{NAME}', 'x')
    found = []
    for library in (rq.registry, rqreg_ext.registry):
        with Swallowing(connection_pool=client.connection_pool) as swallowing:
            registry = library.FailedJobRegistry(NAME, connection=swallowing)
            found.append([CALLS[name](registry) for _ in range(2)])
    assert found[1] == found[0]


def test_wrapper_that_tries_again_sends_again(client: Observed, connection: redis.Redis) -> None:
    class Twice(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            super().execute_command(*args, **options)
            return super().execute_command(*args, **options)

    with Twice(connection_pool=client.connection_pool) as twice:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=twice)
        for _ in range(2):
            assert registry.count == connection.zcard(registry.key)
        assert registry.remove('failed-0') == 0
        assert not connection.zscore(registry.key, 'failed-0')


def test_kept_object(client: Observed, connection: redis.Redis, is_tracer: bool) -> None:
    """A tracer that keeps it needs it no more. For an unknown wrapper it is a client."""

    class Keeping(Observed):
        kept: Any = None

        def execute_command(self, *args: Any, **options: Any) -> Any:
            Keeping.kept = Keeping.kept or self
            return super().execute_command(*args, **options)

    with Keeping(connection_pool=client.connection_pool) as keeping:
        assert rqreg_ext.registry.FailedJobRegistry(NAME, connection=keeping).count > 0
        kept, Keeping.kept = Keeping.kept, None
        if is_tracer:
            with pytest.raises(RuntimeError, match='is over'):
                kept.execute_command('FLUSHALL')
        else:
            assert kept.zcard(f'rq:failed:{NAME}') == connection.zcard(f'rq:failed:{NAME}')
            assert kept.echo('still') == b'still'
        assert keeping.dbsize() > 0


def test_client_wrapped_before_or_after_first_call_is_called(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    prepare(connection)
    names: list[str] = []
    original = redis.Redis.execute_command

    @wraps(original)
    def noting(self: Any, *args: Any, **options: Any) -> Any:
        names.append(args[0])
        return original(self, *args, **options)

    with redis_server.client() as client:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
        plain = registry.count
        for _ in range(2):
            names.clear()
            with mock.patch.object(redis.Redis, 'execute_command', noting):
                assert not _core.is_direct(client)
                assert registry.count == plain
            assert names == ['ZREMRANGEBYSCORE', 'ZCARD']
            assert _core.is_direct(client)
            assert registry.count == plain
            assert len(names) == 2


@pytest.mark.parametrize('name', CALLS)
def test_lost_connection_is_retried_as_client_says(
    redis_server: PrivateRedis, connection: redis.Redis, name: str
) -> None:
    prepare(connection)
    options: dict[str, Any] = {'retry': Retry(NoBackoff(), 3), 'retry_on_error': [redis.ConnectionError]}
    with Observed(host='127.0.0.1', port=redis_server.port, **options) as client:
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
        CALLS[name](registry)
        Observed.seen.clear()
        kill_all(connection)
        CALLS[name](registry)
        # The Retry is below the wrapper.
        assert len(Observed.seen) == len(set(Observed.seen))


def test_lost_server_is_an_error_of_the_first_command(redis_server: PrivateRedis) -> None:
    class Noting(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            try:
                return super().execute_command(*args, **options)
            except redis.ConnectionError:
                failed.append(args[0])
                raise

    failed: list[Any] = []
    with Noting(host='127.0.0.1', port=1, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(redis.ConnectionError):
            _ = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client).count
        with pytest.raises(redis.ConnectionError):
            _ = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client).get_job_ids(cleanup=False)
    assert failed == ['ZREMRANGEBYSCORE', 'ZRANGE']


def test_connection_of_another_session_is_the_clients(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """Another database was selected on it: the client's own method sends, and nothing is an error."""
    prepare(connection)
    with Observed(host='127.0.0.1', port=redis_server.port) as client:
        client.execute_command('SELECT', 5)
        registry = rqreg_ext.registry.FailedJobRegistry(NAME, connection=client)
        Observed.seen.clear()
        assert registry.count == 0
        assert registry.get_job_ids(cleanup=False) == []
        assert Observed.seen == ['ZREMRANGEBYSCORE', 'ZCARD', 'ZRANGE']
