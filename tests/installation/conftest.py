"""What the tests of install(), the runner and RQREG_EXT_INSTALL share: small programs in a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .programs import Programs

if TYPE_CHECKING:
    from private_redis import PrivateRedis


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """A folder to write modules into, and real interpreters to run them."""
    return Programs(tmp_path)


@pytest.fixture
def redis_url(redis_server: PrivateRedis) -> str:
    """Where programs find a database of their own."""
    return f'redis://127.0.0.1:{redis_server.port}/7'
