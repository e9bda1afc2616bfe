"""Clients that are used once and forgotten, closed or not."""

from __future__ import annotations

import redis
from measuring import PORT, measure

from rqreg_ext import Queue
from rqreg_ext.registry import FailedJobRegistry


def step() -> None:
    client = redis.Redis(port=PORT)
    assert FailedJobRegistry('clients', connection=client).count == 0
    assert Queue('clients', connection=client).started_job_registry.count == 0
    closed = redis.Redis(port=PORT)
    assert FailedJobRegistry('clients', connection=closed).count == 0
    closed.close()


measure(step, steps=600, calls=3)
