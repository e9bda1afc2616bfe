"""Calls of each kind on one client."""

from __future__ import annotations

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

NEVER = 4_000_000_000

client = redis.Redis(port=PORT)
failed = FailedJobRegistry('calls', connection=client)
started = StartedJobRegistry('calls', connection=client)
scheduled = ScheduledJobRegistry('calls', connection=client)
client.zadd(failed.key, {'a': NEVER, 'b': NEVER})
client.zadd(started.key, {'a:one': NEVER, 'é:two': NEVER})
client.zadd(scheduled.key, {'a': NEVER})


def step() -> None:
    assert failed.count == 2
    assert failed.get_job_ids() == ['a', 'b']
    assert 'a' in failed
    assert failed.remove('nobody') == 0
    assert started.get_job_ids() == ['a', 'é']
    assert started.get_job_and_execution_ids(0, 0) == [('a', 'one')]
    assert 'nobody' not in started
    assert scheduled.get_jobs_to_schedule() == []
    assert scheduled.get_scheduled_time('a').timestamp() == NEVER
    FailedJobRegistry('calls', connection=client)


measure(step, steps=800, calls=10)
