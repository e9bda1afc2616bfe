"""A server that goes away, comes back, hangs or refuses: redis-py's exception, and the next call right."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from private_redis import PrivateRedis, free_port
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .connections import kill_all
from .outcomes import Outcome, outcome_of
from .tour import assert_same_tour, assert_went_well

if TYPE_CHECKING:
    from types import ModuleType

CALLS: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'get_job_ids': lambda registry: registry.get_job_ids(),
    'in': lambda registry: 'job-1' in registry,
    'not in': lambda registry: 'nobody' in registry,
    'remove': lambda registry: registry.remove('nobody'),
    'expired': lambda registry: registry.get_expired_job_ids(),
    'cleanup': lambda registry: registry.cleanup(),
}
STARTED_CALLS: dict[str, Callable[[Any], Any]] = {
    'started count': lambda registry: registry.count,
    'started in': lambda registry: 'nobody' in registry,
    'started pairs': lambda registry: registry.get_job_and_execution_ids(),
}
IDS = ['job-1', 'job-2', 'job-3']


def fill(client: redis.Redis) -> None:
    """Put three entries into a failed registry."""
    client.zadd('rq:failed:lost', dict.fromkeys(IDS, 4_000_000_000))


def answers(namespace: ModuleType, client: redis.Redis) -> list[Outcome]:
    """Return the outcome of each call on this client."""
    failed = namespace.FailedJobRegistry('lost', connection=client)
    started = namespace.StartedJobRegistry('lost', connection=client)
    outcomes = [outcome_of(name, lambda: call(failed)) for name, call in CALLS.items()]  # noqa: B023
    return outcomes + [outcome_of(name, lambda: call(started)) for name, call in STARTED_CALLS.items()]  # noqa: B023


def assert_same_failures(make: Callable[[], redis.Redis], error: type[Exception]) -> None:
    """Make each call with RQ and with ours, on clients that have not connected yet; all fail, in the same way."""
    theirs, ours = answers(rq.registry, make()), answers(rqreg_ext.registry, make())
    assert ours == theirs
    assert {outcome.error for outcome in ours} == {error}


@contextmanager
def stopped(server: PrivateRedis) -> Iterator[None]:
    """Have the server accept connections, as the kernel does for it, and answer nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


RETRIES: dict[str, Callable[[], Any]] = {
    'no retry': lambda: None,
    'one retry': lambda: Retry(NoBackoff(), 1),
    'no retry left': lambda: Retry(NoBackoff(), 0),
}


@pytest.mark.parametrize('retry', RETRIES)
@pytest.mark.parametrize('kind', ['tcp', 'unix'])
def test_closed_port_raises_same_error_as_rq(tmp_path_factory: pytest.TempPathFactory, retry: str, kind: str) -> None:
    missing = tmp_path_factory.mktemp('none') / 'redis.sock'
    port = free_port()

    def make() -> redis.Redis:
        if kind == 'unix':
            return redis.Redis(unix_socket_path=str(missing), retry=RETRIES[retry]())
        return redis.Redis(host='127.0.0.1', port=port, retry=RETRIES[retry]())

    assert_same_failures(make, redis.ConnectionError)


def test_unknown_host_raises_same_error_as_rq() -> None:
    assert_same_failures(lambda: redis.Redis(host='no-such-host.invalid', retry=None), redis.ConnectionError)


@pytest.mark.parametrize('retry', RETRIES)
def test_new_client_of_stopped_server_times_out_as_by_rq(own_server: PrivateRedis, retry: str) -> None:
    with stopped(own_server):
        assert_same_failures(lambda: own_server.client(socket_timeout=0.05, retry=RETRIES[retry]()), redis.TimeoutError)


def patiently(call: Callable[[], Any]) -> Any:
    """Make the call again for as long as it times out: a server that runs may be slow on a busy machine."""
    for _ in range(100):
        with contextlib.suppress(redis.TimeoutError):
            return call()
    return call()


@pytest.mark.parametrize('retry', RETRIES)
@pytest.mark.parametrize('kind', ['tcp', 'unix'])
def test_stopped_server_times_out_as_by_rq(own_server: PrivateRedis, retry: str, kind: str) -> None:
    path = {'unix_socket_path': own_server.socket_path} if kind == 'unix' else {}
    if path and redis.UnixDomainSocketConnection(socket_timeout=0.05).socket_timeout is None:
        pytest.skip('this redis-py forgets socket_timeout on unix sockets: RQ waits for ever there, and so do we')
    fill(own_server.client())
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        client = own_server.client(socket_timeout=0.05, retry=RETRIES[retry](), **path)
        registry = namespace.FailedJobRegistry('lost', connection=client)
        outcomes = []
        for name, call in CALLS.items():
            assert patiently(registry.get_job_ids) == IDS
            with stopped(own_server):
                outcomes.append(outcome_of(name, lambda: call(registry)))  # noqa: B023
            # The very next call: not the answer to the call before.
            assert patiently(registry.get_job_count) == 3
        found.append(outcomes)
    assert found[1] == found[0]
    assert {outcome.error for outcome in found[1]} == {redis.TimeoutError}


def test_restarted_server_is_connected_again(own_server: PrivateRedis) -> None:
    clients = [own_server.client(), own_server.client(unix_socket_path=own_server.socket_path)]
    registries = [FailedJobRegistry('lost', connection=client) for client in clients]
    for _ in range(3):
        fill(own_server.client())
        for registry in registries:
            assert registry.get_job_ids() == IDS
            assert registry.count == 3
        own_server.kill()
        own_server.start()
        for registry in registries:
            assert registry.count == 0


def test_server_missing_for_a_while_raises_and_is_used_again(own_server: PrivateRedis) -> None:
    def make() -> redis.Redis:
        client: redis.Redis = own_server.client(retry=None)
        assert client.ping()
        return client

    theirs, ours = make(), make()
    used = FailedJobRegistry('lost', connection=ours)
    assert used.count == 0
    own_server.kill()
    expected = answers(rq.registry, theirs)
    found = answers(rqreg_ext.registry, ours)
    # Which words are used depends on when the kernel tells of the end: at the write, the read, or reconnecting.
    assert {outcome.error for outcome in expected} == {redis.ConnectionError}
    assert {outcome.error for outcome in found} == {redis.ConnectionError}
    own_server.start()
    assert used.count == 0
    fill(own_server.client())
    assert used.get_job_ids() == IDS


def test_every_call_works_after_restart(own_server: PrivateRedis) -> None:
    client = own_server.client()
    registry = FailedJobRegistry('lost', connection=client)
    assert registry.count == 0
    own_server.kill()
    own_server.start()
    assert_went_well(assert_same_tour(lambda: client, own_server.client()))


@pytest.mark.parametrize('name', [*CALLS, *STARTED_CALLS])
def test_connections_killed_between_calls_are_opened_anew(
    redis_server: PrivateRedis, connection: redis.Redis, name: str
) -> None:
    fill(connection)
    failed = FailedJobRegistry('lost', connection=redis_server.client(retry=None))
    started = rqreg_ext.registry.StartedJobRegistry('lost', connection=failed.connection)
    call = (lambda: CALLS[name](failed)) if name in CALLS else (lambda: STARTED_CALLS[name](started))
    right = call()
    for _ in range(5):
        kill_all(connection)
        # No retry is needed: that the connection is closed is seen before it is used.
        assert call() == right


def test_idle_connections_closed_by_server_are_opened_anew(own_server: PrivateRedis) -> None:
    admin = own_server.client()
    fill(admin)
    client = own_server.client(retry=None)
    registry = FailedJobRegistry('lost', connection=client)
    assert registry.count == 3
    own = admin.client_id()
    admin.config_set('timeout', 1)
    while any(entry['id'] != str(own) for entry in admin.client_list()):
        admin.ping()
    assert registry.count == 3
    assert registry.get_job_ids() == IDS


def test_read_only_replica_has_same_outcome_as_rq(own_server: PrivateRedis) -> None:
    fill(own_server.client())
    own_server.client().zadd('rq:wip:lost', {'job:one': 4_000_000_000})
    with PrivateRedis(replicaof=f'127.0.0.1 {own_server.port}') as replica:
        while replica.client().zcard('rq:wip:lost') != 1:
            assert replica.process is not None
            assert replica.process.poll() is None
        theirs, ours = (answers(namespace, replica.client()) for namespace in (rq.registry, rqreg_ext.registry))
        assert ours == theirs
        by_call = {outcome.call: outcome for outcome in ours}
        assert by_call['count'].error is redis.exceptions.ReadOnlyError
        assert by_call['remove'].error is redis.exceptions.ReadOnlyError
        assert by_call['in'].value == (bool, True)
        assert by_call['started count'].value == (int, 1)
        # A refusal is an answer: the connection that brought it goes on.
        registry = FailedJobRegistry('lost', connection=replica.client())
        for _ in range(3):
            with pytest.raises(redis.exceptions.ReadOnlyError):
                registry.get_job_ids()
            assert registry.get_job_ids(cleanup=False) == IDS


def test_key_of_wrong_type_raises_same_error_as_rq(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    connection.set('rq:failed:lost', 'a string')
    connection.set('rq:wip:lost', 'a string')
    connection.set('rq:executions:nobody', 'a string')
    theirs, ours = (answers(namespace, redis_server.client()) for namespace in (rq.registry, rqreg_ext.registry))
    assert ours == theirs
    assert {outcome.error for outcome in ours} == {redis.ResponseError}
    connection.delete('rq:failed:lost')
    assert FailedJobRegistry('lost', connection=connection).count == 0


def test_membership_does_not_read_execution_index_of_wrong_type(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    """RQ does not read the index to answer `in`: what is wrong with it is not an error."""
    connection.zadd('rq:wip:lost', {'job:one': 4_000_000_000})
    connection.set('rq:executions:job', 'a string')
    connection.set('rq:executions:nobody', 'a string')
    for namespace in (rq.registry, rqreg_ext.registry):
        registry = namespace.StartedJobRegistry('lost', connection=redis_server.client())
        assert 'job' in registry
        assert 'nobody' not in registry
