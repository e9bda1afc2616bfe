"""The jobs of a web shop that failed in a real worker, and the command run on them as a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_redis import PrivateRedis

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'docs' / 'program'))

import shop
from redis import Redis

from .running import Command


@pytest.fixture(scope='session')
def shop_server() -> Iterator[PrivateRedis]:
    """A Redis with the failed jobs of the shop, which no test changes."""
    with PrivateRedis() as server:
        shop.let_jobs_fail(server.client())
        yield server


@pytest.fixture
def rqreg(shop_server: PrivateRedis) -> Command:
    """The command on the jobs of the shop. It must not change them."""
    return Command(shop_server.url)


@pytest.fixture
def shop_jobs(connection: Redis) -> Redis:
    """A client of a Redis with the failed jobs of the shop, for a test that changes them."""
    shop.let_jobs_fail(connection)
    return connection


@pytest.fixture
def changing(redis_server: PrivateRedis) -> Command:
    """The command on the Redis of `connection` and `shop_jobs`."""
    return Command(redis_server.url)
