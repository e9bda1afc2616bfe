"""Custom sockets: their exceptions are converted by redis-py or raised, as in RQ."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry
from rqreg_ext.registry import FailedJobRegistry

from .connections import beside
from .outcomes import Outcome, outcome_of

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis


class OwnSocket(socket.socket):
    """A socket that reads and writes in its own way, as those of cooperative schedulers do, and can fail in it."""

    failure: BaseException | None = None
    """What it is to raise, where `failing` says."""
    failing: str = ''
    counts: dict[str, int] = {}
    """What it is to return, by method, whatever it did."""

    def _fail(self, what: str) -> None:
        if self.failing == what and self.failure is not None:
            raise self.failure

    def sendall(self, *args: Any) -> None:
        self._fail('writing')
        super().sendall(*args)

    def recv(self, *args: Any) -> bytes:
        self._fail('reading')
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self._fail('reading')
        return self.counts.get('recv_into', super().recv_into(*args))


class OwnConnection(redis.Connection):
    """A connection over such a socket."""

    def _connect(self) -> OwnSocket:
        plain = super()._connect()
        own = OwnSocket(plain.family, plain.type, plain.proto, plain.detach())
        own.settimeout(self.socket_timeout)
        return own


@pytest.fixture(autouse=True)
def well() -> Iterator[None]:
    yield
    OwnSocket.failing = ''
    OwnSocket.counts = {}


def client_with(connection_class: type, server: PrivateRedis) -> Any:
    pool = redis.ConnectionPool(connection_class=connection_class, host='127.0.0.1', port=server.port, retry=None)
    return redis.Redis(connection_pool=pool)


def outcome(namespace: ModuleType, server: PrivateRedis, failing: str, failure: BaseException | None) -> Outcome:
    """Return the outcome of a call on a failing socket, and check the next call."""
    client = client_with(OwnConnection, server)
    registry = namespace.FailedJobRegistry('own', connection=client)
    assert registry.get_job_count(cleanup=False) == 1
    OwnSocket.failing, OwnSocket.failure = failing, failure
    result = outcome_of('count', lambda: registry.get_job_count(cleanup=False))
    OwnSocket.failing = ''
    assert registry.get_job_ids(cleanup=False) == ['a']
    client.close()
    return result


@pytest.fixture
def filled(redis_server: PrivateRedis, connection: redis.Redis) -> PrivateRedis:
    connection.zadd('rq:failed:own', {'a': 4_000_000_000})
    return redis_server


def test_socket_object_of_client_is_used_by_core(filled: PrivateRedis, connection: redis.Redis) -> None:
    assert len(beside(client_with(OwnConnection, filled), connection)) == 1


@pytest.mark.parametrize('failing', ['reading', 'writing'])
@pytest.mark.parametrize(
    ('failure', 'error'),
    [
        (TimeoutError('slow'), redis.TimeoutError),
        (BrokenPipeError(32, 'Broken pipe'), redis.ConnectionError),
        (ConnectionResetError(104, 'Connection reset by peer'), redis.ConnectionError),
        (OSError('in one word'), redis.ConnectionError),
        (KeyError('no matter of the connection'), KeyError),
    ],
    ids=repr,
)
def test_error_of_socket_raises_same_error_as_rq(
    filled: PrivateRedis, failing: str, failure: Exception, error: type[Exception]
) -> None:
    theirs = outcome(rq.registry, filled, failing, failure)
    ours = outcome(rqreg_ext.registry, filled, failing, failure)
    assert ours == theirs
    assert ours.error is error


@pytest.mark.parametrize('count', [1 << 24, -1])
def test_impossible_count_of_socket_raises_value_error(filled: PrivateRedis, count: int) -> None:
    """No memory is read that was not written."""
    client = client_with(OwnConnection, filled)
    registry = FailedJobRegistry('own', connection=client)
    assert registry.get_job_count(cleanup=False) == 1
    OwnSocket.counts = {'recv_into': count}
    with pytest.raises(ValueError, match=rf'recv_into\(\) returned {count} '):
        registry.get_job_count(cleanup=False)
    OwnSocket.counts = {}
    assert registry.get_job_count(cleanup=False) == 1


def test_closed_socket_raises_error_each_time(filled: PrivateRedis) -> None:
    client = filled.client(redis_connect_func=lambda connection: connection._sock.close())
    registry = FailedJobRegistry('own', connection=client)
    for _ in range(3):
        with pytest.raises((ValueError, OSError)):
            registry.get_job_count(cleanup=False)
