"""Large replies, read and thrown away."""

from __future__ import annotations

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

NEVER = 4_000_000_000
ENTRIES = 20_000

client = redis.Redis(port=PORT)
failed = FailedJobRegistry('big', connection=client)
started = StartedJobRegistry('big', connection=client)
client.zadd(failed.key, {f'job-{number:032d}': NEVER for number in range(ENTRIES)})
client.zadd(started.key, {f'job-{number:032d}:one': NEVER for number in range(ENTRIES)})


def step() -> None:
    assert len(failed.get_job_ids()) == ENTRIES
    assert len(started.get_job_ids()) == ENTRIES
    assert len(started.get_job_and_execution_ids()) == ENTRIES
    assert 'nobody' not in started


measure(step, steps=16, calls=4 * ENTRIES)
