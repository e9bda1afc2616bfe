"""Queues of ours, on the clients by which check() and repair() must give the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from private_redis import PrivateRedis

from rqreg_ext import Queue


class Instrumented(redis.Redis):
    """A client whose socket is not used."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


CLIENTS: dict[str, dict[str, Any]] = {
    'RESP2': {'protocol': 2},
    'RESP3': {'protocol': 3},
    'fallback': {'protocol': 2},
}


@pytest.fixture(params=CLIENTS)
def client(
    request: pytest.FixtureRequest, connection: redis.Redis, redis_server: PrivateRedis
) -> Iterator[redis.Redis]:
    """Each kind of client of an empty server."""
    with redis_server.client(**CLIENTS[request.param]) as client:
        if request.param == 'fallback':
            yield Instrumented(connection_pool=client.connection_pool)
        else:
            yield client


@pytest.fixture
def queue(client: redis.Redis) -> Queue:
    """A queue with nothing in it, by each kind of client."""
    return Queue('q', connection=client)
