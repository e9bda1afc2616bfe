"""Fixtures of the tests of install(), the runner and RQREG_EXT_INSTALL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .programs import Programs

if TYPE_CHECKING:
    from private_redis import PrivateRedis


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Return a folder to write programs into, which real interpreters run."""
    return Programs(tmp_path)


@pytest.fixture
def redis_url(redis_server: PrivateRedis) -> str:
    """Return the URL of a database for the programs."""
    return f'redis://127.0.0.1:{redis_server.port}/7'
