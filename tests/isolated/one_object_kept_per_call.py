"""What must be found: each call leaves one small object behind."""

from __future__ import annotations

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry

failed = FailedJobRegistry('kept', connection=redis.Redis(port=PORT))
kept: list[object] = []


def step() -> None:
    assert failed.count == 0
    kept.append(object())


measure(step, steps=500)
