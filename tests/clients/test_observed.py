"""Clients with wrapped methods that pass on their arguments: calls go through the wrapper, with scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq.registry
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry
from rqreg_ext import FailedJobRegistry, _core
from rqreg_ext._fastpath.clients.support import ClientRefusedError, sends_unchanged
from rqreg_ext._fastpath.exchange import INTEGER, VALUE, exchange

from .observing import Observed, fill_failed

if TYPE_CHECKING:
    from private_redis import PrivateRedis


@pytest.fixture
def client(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Observed]:
    with Observed(port=redis_server.port) as client:
        yield client


def fill(connection: redis.Redis, count: int = 3) -> FailedJobRegistry:
    fill_failed(connection, count)
    return FailedJobRegistry('q', connection=connection)


def test_wrapper_that_is_no_known_tracers_hears_what_rq_says(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    """RQ gives options with some commands, and a wrapper may look at them."""
    fill(connection)
    heard: list[Any] = []

    class Hearing(redis.Redis):
        def execute_command(self, *words: Any, **options: Any) -> Any:
            heard.append((words, sorted(options)))
            return super().execute_command(*words, **options)

    for library in (rq.registry, rqreg_ext.registry):
        with Hearing(host='127.0.0.1', port=redis_server.port) as client:
            registry = library.FailedJobRegistry('q', connection=client)
            for call in ('count', 'get_job_ids'):
                found = getattr(registry, call)
                found = found() if callable(found) else found
    half = len(heard) // 2
    # The first words are the same, but for the time.
    assert [(words[:2], options) for words, options in heard[:half]] == [
        (words[:2], options) for words, options in heard[half:]
    ]
    assert half > 0


def test_observed_client_runs_scripts_through_its_own_methods(client: Observed, connection: redis.Redis) -> None:
    fill(connection)
    Observed.seen.clear()
    result = FailedJobRegistry('q', connection=client).purge()
    assert (result.done, result.by_rq) == (3, 0)
    assert 'EVALSHA' in Observed.seen
    assert not connection.exists('rq:job:job-0', 'rq:failed:q')


def test_observed_client_keeps_its_connections(client: Observed, connection: redis.Redis) -> None:
    before = client.client_id()
    fill(connection)
    registry = FailedJobRegistry('q', connection=client)
    assert list(registry.find(func_name='os.*')) == ['job-0', 'job-1', 'job-2']
    assert registry.purge().by_rq == 0
    assert client.client_id() == before
    assert client.connection_pool._created_connections == 1


def test_errors_replace_their_replies(client: Observed, connection: redis.Redis) -> None:
    connection.set('text', 'x')
    for _ in range(2):
        error, one, other = exchange(
            client, [(INTEGER, 'ZCARD', 'text'), (INTEGER, 'LLEN', 'no'), (VALUE, 'GET', 'text')]
        )
        assert isinstance(error, redis.ResponseError)
        assert (one, other) == (0, b'x')


def test_error_of_wrapper_is_raised(client: Observed, connection: redis.Redis) -> None:
    class Failed(Exception):
        pass

    class Failing(Observed):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            super().execute_command(*args, **options)
            raise Failed

    with Failing(connection_pool=client.connection_pool) as failing, pytest.raises(Failed):
        FailedJobRegistry('q', connection=failing).purge()


def test_change_of_key_by_wrapper_is_detected(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """The wrapper catches every exception. Nothing is sent."""

    class Hiding(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            try:
                return super().execute_command(args[0], b'own:%b' % str(args[1]).encode(), *args[2:], **options)
            except Exception:
                return 0

    fill(connection)
    before = {key: connection.dump(key) for key in connection.keys('*')}
    with Hiding(port=redis_server.port) as hiding:
        assert not sends_unchanged(hiding)
        assert FailedJobRegistry('q', connection=hiding).purge().done == 0
    assert {key: connection.dump(key) for key in connection.keys('*')} == before


def test_key_prefix_changed_during_call_is_detected(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """A client whose key prefix depends on the tenant: it has passed commands unchanged until now."""

    class Tenants(redis.Redis):
        tenant = b''

        def execute_command(self, *args: Any, **options: Any) -> Any:
            words = list(args)
            place = 3 if args[0] in ('EVAL', 'EVALSHA') else 1
            if Tenants.tenant:
                words[place] = Tenants.tenant + str(args[place]).encode()
            return super().execute_command(*words, **options)

    with Tenants(port=redis_server.port) as client:
        registry = fill(connection)
        assert FailedJobRegistry('q', connection=client).purge().by_rq == 0
        fill(connection)
        Tenants.tenant = b'other:'
        found = FailedJobRegistry('q', connection=client)
        assert (found.count, list(found.iter_job_ids()), found.purge().done) == (0, [], 0)
        with pytest.raises(
            ClientRefusedError, match=r'\(in execute_command\(\)\)\. Give a redis\.Redis .*RQ_KEY_PREFIX'
        ):
            found.check()
        Tenants.tenant = b''
    assert registry.count == 3


def test_client_that_changes_keys_of_scripts_gets_none(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    class Own(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            is_script = args[0] in ('EVAL', 'EVALSHA')
            words = (*args[:3], f'own:{args[3]}', *args[4:]) if is_script else args
            return super().execute_command(*words, **options)

    fill(connection)
    with Own(port=redis_server.port) as client:
        result = FailedJobRegistry('q', connection=client).requeue_all()
    assert (result.done, result.by_rq) == (3, 3)
    assert connection.lrange('rq:queue:q', 0, -1) == [b'job-0', b'job-1', b'job-2']


def test_connection_class_that_only_records_is_supported(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    sent: list[bytes] = []

    class Noting(redis.Connection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> Any:
            sent.extend(command)
            return super().send_packed_command(command, check_health)

    # Commands of many octets go out in pieces.
    fill(connection, count=200)
    pool = redis.ConnectionPool(connection_class=Noting, port=redis_server.port, health_check_interval=1)
    with redis.Redis(connection_pool=pool) as client:
        assert not _core.is_direct(client)
        registry = FailedJobRegistry('q', connection=client)
        assert len(list(registry.find(func_name='os.*'))) == 200
        # What is sent besides, when it is due, is no change.
        for idle in pool._available_connections:
            idle.next_health_check = 0
        result = registry.purge()
    assert (result.done, result.by_rq) == (200, 0)
    assert any(b'EVALSHA' in block for block in sent)


@pytest.mark.parametrize('made', [{'return_value': 11}, {'side_effect': LookupError}], ids=['a number', 'an error'])
def test_client_without_pipelines_uses_fallback(
    redis_server: PrivateRedis, connection: redis.Redis, made: dict[str, Any]
) -> None:
    with redis_server.client() as client, mock.patch.object(redis.Redis, 'pipeline', **made):
        assert FailedJobRegistry('q', connection=client).purge().total == 0
    fill(connection)
    with redis_server.client() as client, mock.patch.object(redis.Redis, 'pipeline', **made):
        result = FailedJobRegistry('q', connection=client).purge()
    # RQ's remove() makes no pipeline.
    assert (result.failed, result.done, result.by_rq) == ([], 3, 3)


def test_lost_connection_is_retried_as_client_says(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    fill(connection)
    options: dict[str, Any] = {'retry': Retry(NoBackoff(), 3), 'retry_on_error': [redis.ConnectionError]}
    with Observed(port=redis_server.port, client_name='observed', **options) as client:
        registry = FailedJobRegistry('q', connection=client)
        assert len(list(registry.find(func_name='os.*'))) == 3
        for entry in connection.client_list():
            if entry['name'] == 'observed':
                connection.client_kill_filter(_id=entry['id'])
        assert registry.purge().by_rq == 0


def test_removal_calls_overridden_zrem_as_rq_does(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """RQ calls it with one job at a time."""

    class Own(redis.Redis):
        def zrem(self, name: Any, value: Any) -> Any:  # type: ignore[override]
            removed.append(value)
            return super().zrem(name, value)

    removed: list[Any] = []
    fill(connection)
    with Own(port=redis_server.port) as client:
        result = FailedJobRegistry('q', connection=client).remove_many(['job-0', 'job-2', 'nothing'])
    assert (result.done, result.missing, removed) == (2, 1, ['job-0', 'job-2'])
