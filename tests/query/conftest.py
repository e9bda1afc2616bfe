"""Clients of each kind, and one whose commands are recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from clients.recording import Recorder
from every_client import any_client, client_without, job_client, sides, storing_client

from rqreg_ext import FailedJobRegistry

if TYPE_CHECKING:
    import redis
    from private_redis import PrivateRedis

__all__ = ['any_client', 'client_without', 'job_client', 'sides', 'storing_client']


@pytest.fixture
def recorded(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[tuple[Recorder, Any]]:
    """A recorder, and a client of it that is connected."""
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        assert FailedJobRegistry('elsewhere', connection=client).count == 0
        recorder.clear()
        yield recorder, client
