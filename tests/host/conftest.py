"""Fixtures: a server that can be stopped, with a registry that takes long enough to read to be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .filling import LARGE, MEDIUM, fill, job_ids, started_entries
from .stoppable import StoppableRedis

if TYPE_CHECKING:
    import redis


@pytest.fixture(scope='session')
def stoppable_server() -> Iterator[StoppableRedis]:
    """A private Redis for the tests that stop it; its registries `large` and `medium` in database 0 are read only."""
    with StoppableRedis() as server:
        client = server.client()
        fill(client, FailedJobRegistry('large', connection=client), job_ids(LARGE))
        fill(client, FailedJobRegistry('medium', connection=client), job_ids(MEDIUM))
        fill(client, StartedJobRegistry('medium', connection=client), started_entries(MEDIUM))
        client.close()
        yield server


@pytest.fixture
def stoppable(stoppable_server: StoppableRedis) -> Iterator[StoppableRedis]:
    """The stoppable server, running, and continued if a test hangs."""
    with stoppable_server.rescued():
        yield stoppable_server


@pytest.fixture
def patient_client(stoppable: StoppableRedis) -> Iterator[redis.Redis]:
    """A client of the stoppable server that waits for ever."""
    client = stoppable.client(socket_timeout=None)
    yield client
    client.close()
