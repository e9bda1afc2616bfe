"""A program: RQ's worker, which forks for every job, with registries used before, during and after each of them."""

from __future__ import annotations

import json
import sys
from typing import Any

import redis
import rq

from host import jobs
from rqreg_ext import Queue

QUEUE_NAME = 'worked'


class LookingWorker(rq.Worker):
    """Uses the registries in the parent before it forks, while the work horse runs, and after that."""

    sightings: list[dict[str, Any]]

    def execute_job(self, job: Any, queue: Any) -> Any:
        """Look, fork, look while the child looks too, and look again."""
        self.sightings.append({'job': job.id, 'finished before': jobs.INHERITED['finished'].count})
        return super().execute_job(job, queue)

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        """Look from the parent while the child is running."""
        super().fork_work_horse(job, queue)
        self.sightings[-1]['started'] = job in jobs.INHERITED['started']
        self.sightings[-1]['ids'] = jobs.INHERITED['started'].get_job_ids()
        if job.func_name == 'host.jobs.look':
            self.connection.rpush(jobs.GO, 'go')

    def monitor_work_horse(self, job: Any, *args: Any) -> None:
        """Look when the child is gone."""
        super().monitor_work_horse(job, *args)
        self.sightings[-1]['started after'] = job in jobs.INHERITED['started']
        self.sightings[-1]['failed after'] = job.id in jobs.INHERITED['failed']


def main() -> None:
    """Work until the queue is empty, and print what the parent saw."""
    client = redis.Redis.from_url(sys.argv[1])
    queue = Queue(QUEUE_NAME, connection=client)
    jobs.INHERITED.update(
        started=queue.started_job_registry, finished=queue.finished_job_registry, failed=queue.failed_job_registry
    )
    worker = LookingWorker([queue], connection=client, queue_class=Queue)
    worker.sightings = []
    worker.work(burst=True, logging_level='CRITICAL')
    print(json.dumps(worker.sightings))


if __name__ == '__main__':
    main()
