"""A Retry that raises behind an attempt that succeeded: the reply is nobody's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
from measuring import PORT, measure
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqreg_ext.registry import FailedJobRegistry

NEVER = 4_000_000_000

admin = redis.Redis(port=PORT)


class FickleRetry(Retry):
    """Has the server keep its connections from the first failure on, and raises in the end all the same."""

    def call_with_retry(self, do: Callable[..., Any], fail: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with suppress(redis.ConnectionError):
            # Connecting, for one.
            return do()
        admin.config_set('client-output-buffer-limit', 'normal 0 0 0')
        do()
        raise LookupError


client = redis.Redis(port=PORT)
failed = FailedJobRegistry('fickle', connection=client)
# A client that has such a Retry from the beginning is used by RQ's methods.
assert failed.count == 0
client.set_retry(FickleRetry(NoBackoff(), 1))
admin.zadd(failed.key, {f'job-{number:032d}': NEVER for number in range(2000)})


def step() -> None:
    admin.config_set('client-output-buffer-limit', 'normal 1024 0 0')
    with suppress(LookupError):
        failed.get_job_ids()
        raise AssertionError('no LookupError')


try:
    measure(step, steps=100)
finally:
    admin.config_set('client-output-buffer-limit', 'normal 0 0 0')
