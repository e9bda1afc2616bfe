"""Registries, queues and clients in reference cycles, and subclasses made for one use."""

from __future__ import annotations

import gc
from typing import Any

import redis
from measuring import PORT, measure

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

client = redis.Redis(port=PORT)


def step() -> None:
    registry: Any = FailedJobRegistry('cycles', connection=client)
    registry.me = [registry, registry.get_job_ids]
    assert registry.count == 0
    queue: Any = rqreg_ext.Queue('cycles', connection=client)
    queue.kept = queue.scheduled_job_registry
    queue.kept.queue = queue
    assert queue.kept.count == 0
    own: Any = redis.Redis(port=PORT)
    own.connection_pool.registry = FailedJobRegistry('cycles', connection=own)
    assert own.connection_pool.registry.count == 0

    class Passing(FailedJobRegistry):
        pass

    assert Passing('cycles', connection=client).count == 0
    # Descriptors are what garbage must not pile up.
    gc.collect()


# Classes of the first hundred steps fill what is remembered of the latest ones.
measure(step, steps=300, calls=4)
