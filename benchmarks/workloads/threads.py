"""The same calls from many threads at once, on one client."""

from __future__ import annotations

from dataclasses import replace

from .one_call import contains, count
from .workload import Axis, Workload

COUNTS = (1, 2, 4, 8, 16)


def in_threads(workload: Workload, threads: int) -> Workload:
    return replace(workload, axis=Axis.THREADS, threads=threads)


ALL = tuple(in_threads(call(100), threads) for call in (count, contains) for threads in COUNTS)
