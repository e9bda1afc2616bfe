"""An idle connection does not keep the memory of the largest value that it has read or sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rq
from rq.job import Job

from .patience import PATIENCE

if TYPE_CHECKING:
    import redis
    from private_redis import PrivateRedis

PROGRAM = Path(__file__).with_name('idle_memory_program.py')
PAYLOAD = 60 << 20
SOME_PAGES = 8 << 20
NEVER = 4_000_000_000


@pytest.mark.skipif(not os.path.exists('/proc/self/statm'), reason='the system does not tell the resident set so')
@pytest.mark.parametrize('call', ['requeue', 'exchange', 'in', 'ids'])
def test_memory_of_huge_value_is_freed(redis_server: PrivateRedis, connection: redis.Redis, call: str) -> None:
    queue = rq.Queue('huge', connection=connection)
    for job_id in ('small', 'huge'):
        job = Job.create('os.getpid', id=job_id, connection=connection, origin='huge')
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        queue.failed_job_registry.add(job, -1)
    # Not the job's data: RQ's own object would keep that.
    connection.hset('rq:job:huge', 'exc_info_of_somebody', 'x' * PAYLOAD)
    if call == 'ids':
        connection.zadd('rq:failed:huge', {'x' * PAYLOAD: NEVER})
    command = [sys.executable, str(PROGRAM), str(redis_server.port), call]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < SOME_PAGES
