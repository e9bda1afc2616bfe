"""A Retry that calls again after an attempt that succeeded: the replies of the earlier one are nobody's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from measuring import PORT, measure
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqreg_ext import _core
from rqreg_ext.registry import FailedJobRegistry

NEVER = 4_000_000_000

admin = redis.Redis(port=PORT)


class InsistentRetry(Retry):
    """Calls three times more after a success."""

    def call_with_retry(self, do: Callable[..., Any], fail: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = super().call_with_retry(do, fail, *args, **kwargs)
        if type(do).__name__ == 'Attempt':
            for _ in range(3):
                do()
        return answer


client = redis.Redis(port=PORT)
failed = FailedJobRegistry('insistent', connection=client)
# A client that has such a Retry from the beginning is used by RQ's methods.
assert failed.count == 0
client.set_retry(InsistentRetry(NoBackoff(), 1))
admin.zadd(failed.key, {f'job-{number:032d}': NEVER for number in range(200)})


class Breaking:
    """What is called with a reply, and breaks the connection the first time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, reply: Any) -> Any:
        self.times += 1
        if self.times == 1:
            raise redis.ConnectionError('once')
        return reply


def step() -> None:
    breaking = Breaking()
    replies: Any = _core.exchange(client, [(breaking, 'ZRANGE', failed.key, 0, -1)])
    assert breaking.times == 5
    assert len(replies[0]) == 200


measure(step, steps=200)
