"""Calls that raise, each in its way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import redis
from measuring import PORT, measure
from rq.exceptions import NoSuchJobError

from rqreg_ext.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

NEVER = 4_000_000_000

client = redis.Redis(port=PORT)
failed = FailedJobRegistry('errors', connection=client)
wrong = FailedJobRegistry('errors-wrong', connection=client)
undecodable = FailedJobRegistry('errors-undecodable', connection=client)
odd = StartedJobRegistry('errors', connection=client)
scheduled = ScheduledJobRegistry('errors', connection=client)
client.set(wrong.key, 'no sorted set')
client.zadd(undecodable.key, {'good': NEVER, b'\xff': NEVER + 1})
client.zadd(odd.key, {'a:b:c': NEVER})


def raises(error: type[Exception], call: Callable[[], object]) -> None:
    with suppress(error):
        call()
        raise AssertionError(f'no {error.__name__}')


def step() -> None:
    raises(redis.ResponseError, wrong.get_job_ids)
    raises(redis.ResponseError, lambda: wrong.count)
    raises(UnicodeDecodeError, undecodable.get_job_ids)
    raises(ValueError, odd.get_job_ids)
    raises(NoSuchJobError, lambda: failed.remove('nobody', delete_job=True))
    raises(NoSuchJobError, lambda: failed.requeue('nobody'))
    raises(NoSuchJobError, lambda: scheduled.get_scheduled_time('nobody'))
    raises(TypeError, lambda: failed.get_job_ids(nonsense=1))
    raises(TypeError, lambda: FailedJobRegistry(nonsense=1))


measure(step, steps=300, calls=9)
