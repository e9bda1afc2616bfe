"""Connections that stall: the timeouts, Retry and health checks of the client work as in RQ."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from clients.outcomes import outcome_of
from depth import IS_DEEP
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.utils import get_version

import rqreg_ext.registry

from .calls import CALLS, CHANGES, Database, Registries, assert_right, outcome
from .relay import Cut, End, Hold, Relay

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

# Long enough for a busy machine to answer in, and short enough to wait for many times.
SHORT = 0.5
NAMESPACES = (rq.registry, rqreg_ext.registry)
# Commands that must not be sent again unless the client's Retry says so.
CHANGING = ('ZREM', 'ZREMRANGEBYSCORE', 'ZADD', 'EVALSHA', 'EVAL')


def connected(namespace: ModuleType, relay: Relay, **arguments: Any) -> Registries:
    """Return registries of a new client whose connections, RQ's and ours, are open, and whose scripts are known."""
    client = redis.Redis(**relay.address, **{'retry': None, 'socket_timeout': SHORT, **arguments})
    get_version(client)
    on = Registries(namespace, client)
    on.failed.remove('failed-6', delete_job=True)
    on.failed.requeue('failed-7')
    return on


# Calls of each kind: a pair of commands, one, a script, a script with a hash.
SILENT = [*CALLS] if IS_DEEP else ['count', 'started pairs', 'remove', 'delete', 'requeue']
LOST = [(name, end) for name in CALLS for end in (End.CLOSE, End.RESET)] + [(name, End.SILENCE) for name in SILENT]


@pytest.mark.parametrize(('name', 'end'), LOST)
def test_command_is_sent_once_without_retry(relay: Relay, database: Database, name: str, end: End) -> None:
    """The reply is lost. RQ's first command fails so, and the error of our one write is the same."""
    found = []
    for namespace in NAMESPACES:
        on = connected(namespace, relay, socket_timeout=SHORT if end is End.SILENCE else 20)
        database.restore()
        relay.arm(Cut(0, end))
        found.append(outcome(name, on))
        assert max(relay.commands.values()) == 1
        relay.arm(None)
        assert_right(on, database.admin)
    assert found[1] == found[0]
    assert found[1].error is (redis.TimeoutError if end is End.SILENCE else redis.ConnectionError)


@pytest.mark.parametrize(('name', 'end'), [(name, end) for name, end in LOST if name in CHANGES])
def test_change_is_sent_twice_with_one_retry(relay: Relay, database: Database, name: str, end: End) -> None:
    """Once more, not twice; and where RQ has as many commands as we have, as often as RQ sends them."""
    found = []
    for namespace in NAMESPACES:
        on = connected(namespace, relay, retry=Retry(NoBackoff(), 1))
        database.restore()
        relay.arm(Cut(0, end))
        struck = outcome(name, on)
        found.append((struck, {command: relay.commands[command] for command in CHANGING}, database.state()))
        relay.arm(None)
        assert_right(on, database.admin)
    theirs, ours = found
    assert max(ours[1].values()) == 2
    if ours[1]['EVALSHA'] == 0:
        assert ours == theirs


@pytest.mark.parametrize('name', CALLS if IS_DEEP else ['count', 'in', 'started pairs', 'delete', 'remove'])
def test_reply_after_timeout_is_not_taken_for_next_reply(relay: Relay, database: Database, name: str) -> None:
    """It is not taken for the reply to the next command."""
    on = connected(rqreg_ext.registry, relay, socket_timeout=SHORT)
    database.restore()
    relay.arm(Hold())
    assert outcome(name, on).error is redis.TimeoutError
    relay.wait_until_struck()
    assert on.deferred.count == 1
    assert 'nobody' not in on.failed
    assert_right(on, database.admin)


@pytest.mark.parametrize('retries', [None, 0, 1])
def test_connect_without_answer_times_out_as_by_rq(retries: int | None) -> None:
    """Its queue of connections is full: the connect itself waits, for socket_connect_timeout."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(('127.0.0.1', 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        host, port = listener.getsockname()
        found = []
        for namespace in NAMESPACES:
            retry = None if retries is None else Retry(NoBackoff(), retries)
            client = redis.Redis(host=host, port=port, socket_connect_timeout=SHORT, retry=retry)
            registry = namespace.FailedJobRegistry('q', connection=client)
            found.append([outcome_of('count', lambda: registry.count) for _ in range(2)])  # noqa: B023
        assert found[1] == found[0]
        assert found[1][0].error is redis.TimeoutError


# ---- Health checks -------------------------------------------------------------------------------


def idle(on: Registries) -> None:
    """Wait until the connections are due for a health check."""
    assert on.failed.connection.connection_pool.connection_kwargs['health_check_interval'] == 1
    time.sleep(1.1)


@pytest.mark.parametrize('end', [End.CLOSE, End.SILENCE])
@pytest.mark.parametrize('retries', [None, 1])
def test_failing_health_check_has_same_outcome_as_rq(
    relay: Relay, database: Database, retries: int | None, end: End
) -> None:
    """The reply to PING is lost: with a Retry, the call succeeds."""
    found = []
    for namespace in NAMESPACES:
        database.restore()
        retry = None if retries is None else Retry(NoBackoff(), retries)
        on = connected(namespace, relay, retry=retry, health_check_interval=1)
        database.restore()
        idle(on)
        relay.arm(Cut(0, end))
        found.append((outcome('count', on), relay.commands['ZCARD']))
        # On a busy machine another one may be due by then.
        assert relay.commands['PING']
        assert not relay.is_armed
        relay.arm(None)
        assert_right(on, database.admin)
    assert found[1] == found[0]
    assert (found[1][0].error is None) is (retries == 1)


@pytest.mark.parametrize('socket_timeout', [None, 20])
def test_slow_health_check_is_waited_for(own_server: PrivateRedis, socket_timeout: float | None) -> None:
    """The server pauses for longer than one system call of ours waits, but not for the timeout of the client."""
    Database(own_server.client())
    for namespace in NAMESPACES:
        client = own_server.client(health_check_interval=1, socket_timeout=socket_timeout, retry=None)
        on = Registries(namespace, client)
        assert on.failed.count == 9
        idle(on)
        os.kill(own_server.pid, signal.SIGSTOP)
        wake = threading.Timer(0.5, os.kill, (own_server.pid, signal.SIGCONT))
        wake.start()
        try:
            assert on.failed.count == 9
        finally:
            wake.join()


@pytest.mark.skipif(not hasattr(socket, 'TCP_USER_TIMEOUT'), reason='a socket option of Linux')
def test_timeout_of_system_is_a_timeout_error(own_server: PrivateRedis) -> None:
    """The server stops reading, and the system gives the connection up: ETIMEDOUT."""
    found = []
    for namespace in NAMESPACES:
        client = own_server.client(
            socket_keepalive=True, socket_keepalive_options={socket.TCP_USER_TIMEOUT: 300}, retry=None
        )
        registry = namespace.FailedJobRegistry('q', connection=client)
        assert 'short' not in registry
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            found.append(outcome_of('in', partial(registry.__contains__, 'x' * 30_000_000)))
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        client.close()
    assert found[1] == found[0]
    assert found[0].error is redis.TimeoutError
