"""What the pages of applications show: jobs by their ids, jobs of several queues in one list, and the workers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import rqreg_ext

from ..populations import QUEUE, FailedJobs, Filled, Population, new_ids
from .many_queues import Queues
from .workload import Axis, Library, Sample, Workload, failed

# A page, and what a page that joins several registries reads to show one.
SIZES = (50, 1000)
PER_PAGE = 50
# Jobs in each of a hundred queues; RQ takes a second for the jobs of this number of queues.
LISTED, LISTED_QUEUES, LISTED_SAMPLE = 100, (1, 10, 100), 20
WORKERS = (1, 10, 100)


def all_ids(filled: Filled) -> list[Any]:
    """Return all ids in any order, for one call on all of them."""
    return [random.sample(filled.ids, len(filled.ids))]


def names(filled: Filled) -> list[Any]:
    return [filled.queues]


# ---- Jobs by their ids


def fetch(registry: Any, ids: Sequence[str]) -> int:
    """Load the jobs."""
    jobs = registry.job_class.fetch_many(ids, connection=registry.connection)
    return sum(job.get_status(refresh=False) == 'failed' for job in jobs)


def fetch_with_results(registry: Any, ids: Sequence[str]) -> int:
    """Load the jobs, and the latest result of each."""
    jobs = registry.job_class.fetch_many(ids, connection=registry.connection)
    return sum(bool(job.latest_result().exc_string) for job in jobs)


def jobs_by_id(size: int) -> Workload:
    return Workload(
        'get_jobs-ids',
        FailedJobs(size),
        failed,
        rq=fetch,
        ours=lambda registry, ids: sum(job.get_status(refresh=False) == 'failed' for job in registry.get_jobs(ids=ids)),
        arguments=all_ids,
        axis=Axis.ENTRIES,
    )


def jobs_with_results(size: int) -> Workload:
    return Workload(
        'get_jobs-results',
        FailedJobs(size),
        failed,
        rq=fetch_with_results,
        ours=lambda registry, ids: sum(
            bool(result.exc_string) for result in registry.get_jobs(ids=ids, with_results=True).results.values()
        ),
        arguments=all_ids,
        axis=Axis.ENTRIES,
    )


# ---- One list of the jobs of many queues


def joined(queues: Queues, names: Sequence[str]) -> int:
    """Join the failed jobs of the queues, and return how many the page of those that ended last has."""
    jobs: list[Any] = []
    for name in names:
        registry = queues[name].failed_job_registry
        jobs += registry.job_class.fetch_many(registry.get_job_ids(), connection=queues.connection)
    jobs.sort(key=lambda job: job.ended_at, reverse=True)
    return len(jobs[:PER_PAGE])


def listed(queues: Queues, names: Sequence[str]) -> int:
    page = rqreg_ext.list_jobs(queues.connection, names, 'failed', order_by='end', desc=True, per_page=PER_PAGE)
    return len(page)


def list_jobs(size: int) -> Workload:
    return Workload(
        'list_jobs',
        FailedJobs(LISTED, size),
        Queues,
        rq=Sample(lambda queues, names, count: joined(queues, names[:count]), LISTED_SAMPLE),
        ours=listed,
        arguments=names,
        axis=Axis.QUEUES,
    )


# ---- The workers


@dataclass(frozen=True)
class BusyWorkers(Population):
    """Workers, each of which executes a job."""

    def fill(self, connection: Any) -> Filled:
        from rq import Queue, SimpleWorker

        queue = Queue(QUEUE, connection=connection)
        for job_id in new_ids(self.entries):
            job = queue.enqueue('time.sleep', 60, job_id=job_id, job_timeout='30d')
            worker = SimpleWorker([queue], name=f'worker-{job_id}', connection=connection)
            worker.register_birth()
            worker.prepare_execution(job)
            worker.prepare_job_execution(job)
        return Filled(self.names, [])


def connection_of(library: Library, connection: Any) -> Any:
    return connection


def seen(connection: Any, _: Any) -> int:
    """Ask RQ what each worker does, since when, and when it was last seen; count those that were seen of late."""
    from rq import Worker

    now = datetime.now(timezone.utc)
    found = 0
    for worker in Worker.all(connection=connection):
        job = worker.get_current_job()
        is_alive = worker.last_heartbeat is not None and now - worker.last_heartbeat < timedelta(days=1)
        found += is_alive and job is not None and job.started_at is not None
    return found


def seen_in_snapshot(connection: Any, _: Any) -> int:
    workers = rqreg_ext.snapshot(connection, worker_details=True).worker_details.values()
    return sum(
        worker.heartbeat_age is not None and worker.heartbeat_age < 86400 and worker.current_job_started_at is not None
        for worker in workers
    )


def workers(size: int) -> Workload:
    return Workload(
        'snapshot-workers',
        BusyWorkers(size),
        connection_of,
        rq=seen,
        ours=seen_in_snapshot,
        axis=Axis.ENTRIES,
    )


ALL = (
    *(workload(size) for workload in (jobs_by_id, jobs_with_results) for size in SIZES),
    *map(list_jobs, LISTED_QUEUES),
    *map(workers, WORKERS),
)
