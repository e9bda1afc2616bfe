"""A large command to a server that reads slowly: the timeout is for all of it, and signals are handled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import pytest
import redis
import rq.registry
from redis.backoff import NoBackoff
from redis.retry import Retry

import rqreg_ext.registry

from .slow_reader import SlowReader

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

# Some ten seconds of reading, at the reader's pace.
HUGE = 'x' * (16 << 20)


@pytest.fixture
def reader(redis_server: PrivateRedis) -> Iterator[SlowReader]:
    with SlowReader(redis_server.port) as reader:
        yield reader


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
def test_timeout_is_for_all_of_command(reader: SlowReader, namespace: ModuleType) -> None:
    client = redis.Redis(port=reader.port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
    registry = namespace.FailedJobRegistry('slow', connection=client)
    assert registry.count == 0
    reader.slow.set()
    with pytest.raises(redis.TimeoutError, match='Timeout writing to socket'):
        HUGE in registry  # noqa: B015
    assert 0 < reader.taken < len(HUGE) // 2
    client.close()


class Alarm(Exception):
    """What the handler raises."""


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext.registry])
@pytest.mark.parametrize('socket_timeout', [None, 60])
def test_signal_is_handled_during_send(reader: SlowReader, namespace: ModuleType, socket_timeout: float | None) -> None:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Alarm

    client = redis.Redis(port=reader.port, socket_timeout=socket_timeout, retry=Retry(NoBackoff(), 0))
    registry = namespace.FailedJobRegistry('slow', connection=client)
    assert registry.count == 0
    reader.slow.set()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Alarm):
            HUGE in registry  # noqa: B015
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert 0 < reader.taken < len(HUGE) // 2
    client.close()
