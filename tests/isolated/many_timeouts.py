"""Calls whose reply does not come in time."""

from __future__ import annotations

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry

admin = redis.Redis(port=PORT)
client = redis.Redis(port=PORT, socket_timeout=0.003, retry=None)
failed = FailedJobRegistry('timeouts', connection=client)


def step() -> None:
    admin.execute_command('CLIENT', 'PAUSE', '1000', 'WRITE')
    try:
        failed.cleanup()
    except redis.TimeoutError:
        return
    finally:
        admin.execute_command('CLIENT', 'UNPAUSE')
    raise AssertionError('no timeout')


measure(step, steps=120)
