"""RQ's own loop over a registry: run on some of the entries, as all of them would take minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rq.job import Job
from rq.registry import FailedJobRegistry

from .interruption import check

SAMPLE = 300


@dataclass(frozen=True)
class Loop:
    """How far RQ's loop was run: over how many entries, in how many seconds, and how many jobs it did."""

    entries: int
    seconds: float
    done: int

    def seconds_for(self, entries: int) -> float:
        """Return the seconds that it would take for so many entries."""
        return self.seconds / self.entries * entries


def run(registry: FailedJobRegistry, do: Callable[[Job], bool]) -> Loop:
    """Fetch jobs from all over the registry one after the other, and do something with each that tells if it did it.

    Listing the ids, which RQ does in one round trip, is not counted.
    """
    job_ids = registry.get_job_ids()
    chosen = job_ids[:: max(10, len(job_ids) // SAMPLE)][:SAMPLE]
    done = 0
    start = time.perf_counter()
    for job_id in chosen:
        check()
        done += do(Job.fetch(job_id, connection=registry.connection))
    return Loop(len(chosen), time.perf_counter() - start, done)
