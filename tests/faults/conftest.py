"""Servers and clients for the tests of faults, and a watchdog over each test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from clients.conftest import own_server as own_server
from depth import IS_DEEP

from .calls import Database
from .relay import Relay

if TYPE_CHECKING:
    from types import FrameType

    import redis
    from private_redis import PrivateRedis

# Far more than any test takes, even in the deep profile.
PATIENCE = 600 if IS_DEEP else 170


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Fail a test that hangs in a wait. One that hangs elsewhere is ended by pytest's fault handler."""

    def bark(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f'the test took more than {PATIENCE} seconds')

    before: Any = signal.signal(signal.SIGALRM, bark)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope='session')
def is_deep() -> bool:
    """Whether to test all variants, and not a selection."""
    return IS_DEEP


@pytest.fixture
def database(connection: redis.Redis) -> Database:
    """The data that the calls are made on, in the server that all tests share."""
    return Database(connection)


@pytest.fixture
def relay(redis_server: PrivateRedis) -> Iterator[Relay]:
    """A relay before that server, without a fault yet."""
    with Relay(redis_server.port) as relay:
        yield relay
