"""Enqueuing the jobs of the load, and noting what is to become of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import redis
from rq import Queue
from rq.job import Job

FORKED, SIMPLE = 'forked', 'simple'


@dataclass(frozen=True)
class Fate:
    """Where plain RQ leaves a job that no kill touches, and after how many runs.

    `status` is None where the job is gone. `most_runs` bounds every job: one run, and its retries and repeats.
    """

    status: str | None
    runs: int
    most_runs: int


@dataclass
class Load:
    """The jobs that were enqueued: their fates, and whose fate hangs on whose."""

    fates: dict[str, Fate] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)
    dependents: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def touched_by(self, job_ids: Iterable[str]) -> set[str]:
        """Return these jobs and those that hang on them, and so on."""
        touched = set(job_ids)
        # In this order each job comes after those that it needs.
        for job_id, needed in self.needs.items():
            if touched.intersection(needed):
                touched.add(job_id)
        return touched


class Family:
    """Enqueues the jobs of one family; most on one queue, where they run in this order."""

    def __init__(self, load: Load, name: str, queue: Queue, other_queue: Queue) -> None:
        self.load = load
        self.name = name
        self.queue = queue
        self.other_queue = other_queue

    def job_id(self, name: str) -> str:
        return f'{self.name}-{name}'

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        *arguments: Any,
        ends: str | None = 'finished',
        runs: int = 1,
        most_runs: int = 1,
        needs: Sequence[Job] = (),
        queue: Queue | None = None,
        delay: int = 0,
        **options: Any,
    ) -> Job:
        """Enqueue a job, after `delay` seconds if given; it `ends` after `runs`, and hangs on those it `needs`."""
        job_id = self.job_id(name)
        self.load.fates[job_id] = Fate(ends, runs, max(runs, most_runs))
        if needs:
            self.load.needs[job_id] = [job.id for job in needs]
            for job in needs:
                self.load.dependents[job.id].append(job_id)
        queue = queue or self.queue
        if delay:
            return queue.enqueue_in(timedelta(seconds=delay), function, *arguments, job_id=job_id, **options)
        return queue.enqueue(function, *arguments, job_id=job_id, **options)


def queues(client: redis.Redis) -> tuple[Queue, Queue]:
    """Return the queue of the workers that fork and that of those that do not."""
    return Queue(FORKED, connection=client), Queue(SIMPLE, connection=client)
