"""A program that handles one huge job, or one huge command, and prints how much its resident set grew.

Its arguments: the port of a server, and which of the CALLS to make.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import redis

from rqreg_ext import _core
from rqreg_ext.registry import FailedJobRegistry

PAYLOAD = 60 << 20
client = redis.Redis(port=int(sys.argv[1]))
registry = FailedJobRegistry('huge', connection=client)


def exchange() -> None:
    """Read all of the hash, as for a requeued job."""
    replies = _core.exchange(client, [(_core.VALUE, 'HGETALL', 'rq:job:huge')])
    assert replies is not None
    assert max(len(item) for item in replies[0]) == PAYLOAD


def many_ids() -> None:
    """Read a list that fills the largest blocks, an id of it the parser's buffer."""
    assert [len(job_id) for job_id in registry.get_job_ids(cleanup=False)] == [len('huge'), PAYLOAD]


CALLS: dict[str, Callable[[], object]] = {
    'requeue': lambda: registry.requeue('huge'),
    'exchange': exchange,
    'in': lambda: 'x' * PAYLOAD in registry,
    'ids': many_ids,
}


def resident() -> int:
    """Return the resident set in bytes."""
    with open('/proc/self/statm', encoding='ascii') as statm:
        return int(statm.read().split()[1]) * os.sysconf('SC_PAGESIZE')


registry.count  # noqa: B018
# A requeue imports what it needs at the first time.
registry.requeue('small')
before = resident()
CALLS[sys.argv[2]]()
print(resident() - before)
