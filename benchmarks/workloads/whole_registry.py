"""A registry as a whole: what RQ has no call for, against RQ's users' loops and the same by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Any

from .. import by_hand
from ..populations import QUEUE, FailedIds
from .one_call import SIZES
from .workload import Axis, Workload, failed


def how_many(iterable: Iterable[Any]) -> int:
    """Let all come, keep none, and count them, as fast as that can be done."""
    counter = count()
    deque(zip(iterable, counter), maxlen=0)  # noqa: B905
    return next(counter)


def iteration(size: int) -> Workload:
    return Workload(
        'iter_job_ids',
        FailedIds(size),
        failed,
        # RQ has them all in one list.
        rq=lambda registry, _: how_many(registry.get_job_ids(cleanup=False)),
        ours=lambda registry, _: how_many(registry.iter_job_ids()),
        by_hand=lambda client, _: how_many(by_hand.scan_ids(client, QUEUE)),
        axis=Axis.ENTRIES,
    )


ALL = tuple(workload(size) for workload in (iteration,) for size in SIZES)
