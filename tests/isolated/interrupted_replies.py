"""Replies that end in the middle: the server closes, a signal's handler raises, an entry is no UTF-8."""

from __future__ import annotations

import contextlib
import signal

import redis
from measuring import PORT, measure

from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

NEVER = 4_000_000_000
ENTRIES = 20_000

admin = redis.Redis(port=PORT)
client = redis.Redis(port=PORT, retry=None)
failed = FailedJobRegistry('interrupted', connection=client)
started = StartedJobRegistry('interrupted', connection=client)
admin.zadd(failed.key, {f'job-{number:032d}': NEVER for number in range(ENTRIES)})
admin.zadd(started.key, {f'job-{number:032d}:one': NEVER for number in range(ENTRIES)})
admin.zadd(started.key, {b'\xff:one': NEVER + 1})


class InterruptError(Exception):
    """What the handler raises."""


def interrupt(number: int, frame: object) -> None:
    raise InterruptError


def step() -> None:
    admin.config_set('client-output-buffer-limit', 'normal 100000 0 0')
    with contextlib.suppress(redis.ConnectionError):
        failed.get_job_ids()
        raise AssertionError('the server did not close')
    admin.config_set('client-output-buffer-limit', 'normal 0 0 0')
    with contextlib.suppress(UnicodeDecodeError):
        started.get_job_ids()
        raise AssertionError('decoded')
    with contextlib.suppress(InterruptError):
        # At whatever moment of the reading, or of what comes behind it.
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        while True:
            failed.get_job_ids()


signal.signal(signal.SIGALRM, interrupt)
measure(step, steps=60, calls=3)
