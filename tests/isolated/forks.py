"""Children that use what they inherited, and a parent that goes on with it."""

from __future__ import annotations

import os

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry

client = redis.Redis(port=PORT)
failed = FailedJobRegistry('forks', connection=client)


def grandchildren(depth: int) -> None:
    """Call, and have a child do the same, so deep."""
    assert failed.count == 0
    if depth == 0:
        return
    child = os.fork()
    if child == 0:
        status = 1
        try:
            grandchildren(depth - 1)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert failed.count == 0


def step() -> None:
    grandchildren(2)


measure(step, steps=60)
