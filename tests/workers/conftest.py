"""The two sides, for every test of workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from private_redis import PrivateRedis

from .sides import Side, Sides


@pytest.fixture(scope='session')
def servers_of_sides() -> Iterator[tuple[PrivateRedis, PrivateRedis]]:
    """A private server for each side."""
    with PrivateRedis() as plain, PrivateRedis() as accelerated:
        yield plain, accelerated


@pytest.fixture
def sides(servers_of_sides: tuple[PrivateRedis, PrivateRedis]) -> Iterator[Sides]:
    """RQ as it is and RQ on our registries, with nothing in their servers."""
    plain, accelerated = servers_of_sides
    pair = Sides(Side('plain', plain, accelerated=False), Side('accelerated', accelerated, accelerated=True))
    for side in pair:
        side.client.flushall()
    yield pair
    for side in pair:
        side.client.close()
