"""RQ's loop over a registry, run on a sample of the entries, as all of them would take minutes."""

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
    """A run of RQ's loop: the number of entries, the time in seconds, and the number of jobs that were changed."""

    entries: int
    seconds: float
    done: int

    def seconds_for(self, entries: int) -> float:
        """Return the time in seconds that the loop would take for that many entries."""
        return self.seconds / self.entries * entries


def run(registry: FailedJobRegistry, do: Callable[[Job], bool]) -> Loop:
    """Fetch jobs from all parts of the registry one after the other, and call `do`, which returns whether it did it.

    The time does not include listing the ids, which RQ does in one round trip.
    """
    job_ids = registry.get_job_ids()
    sample = job_ids[:: max(10, len(job_ids) // SAMPLE)][:SAMPLE]
    done = 0
    start = time.perf_counter()
    for job_id in sample:
        check()
        done += do(Job.fetch(job_id, connection=registry.connection))
    return Loop(len(sample), time.perf_counter() - start, done)
