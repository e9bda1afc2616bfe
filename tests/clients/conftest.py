"""Servers for the client tests, in addition to the shared one of tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from private_redis import PrivateRedis

PASSWORD = 'correct-horse'


@pytest.fixture(scope='session')
def guarded_server() -> Iterator[PrivateRedis]:
    """A private Redis that wants PASSWORD."""
    with PrivateRedis(requirepass=PASSWORD) as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[PrivateRedis]:
    """A private Redis for one test, which may kill, stop and restart it."""
    with PrivateRedis() as server:
        yield server
