"""Connections that the server ends between two calls."""

from __future__ import annotations

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry

admin = redis.Redis(port=PORT)
client = redis.Redis(port=PORT)
failed = FailedJobRegistry('dropped', connection=client)


def step() -> None:
    assert failed.count == 0
    admin.execute_command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')


measure(step, steps=300)
