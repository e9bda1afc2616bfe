"""The runs of jobs, each written down in Redis by the job itself before it does anything else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import uuid4

import redis
from rq import get_current_job
from rq.job import Job

from .acceleration import is_accelerated

RUNS = 'tests:runs'
COUNTS = 'tests:counts'


@dataclass(frozen=True)
class Run:
    """One beginning of a job."""

    job_id: str
    run_id: str
    worker: str
    accelerated: bool


def mark() -> tuple[Job, int]:
    """Write this run down; return the job, and which of its runs this is, from 1."""
    job = get_current_job()
    assert job is not None
    with job.connection.pipeline() as pipe:
        pipe.rpush(RUNS, json.dumps([job.id, uuid4().hex, job.worker_name, is_accelerated()]))
        pipe.hincrby(COUNTS, job.id, 1)
        return job, pipe.execute()[1]


def runs(client: redis.Redis) -> list[Run]:
    """Return the runs in the order of their beginnings."""
    return [Run(*json.loads(line)) for line in client.lrange(RUNS, 0, -1)]
