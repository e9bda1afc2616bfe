"""The examples of a page, with three failed jobs in the queue mail; run in the child."""

from __future__ import annotations

import os

from .calls import Place, client_of
from .state import NEVER, flush


def run_program(_: object, program: str, place: Place) -> None:
    """Run it, with CLUSTER_URL for the first master."""
    from rq import Queue
    from rq.job import JobStatus

    flush(place.masters)
    queue = Queue('mail', connection=client_of('RedisCluster', place))
    for number in range(3):
        job = queue.create_job('len', job_id=f'failed-{number}')
        job.set_status(JobStatus.FAILED)
        job.save()
        queue.connection.zadd(queue.failed_job_registry.key, {job.id: NEVER + number})
    host, port = place.masters[0]
    os.environ['CLUSTER_URL'] = f'redis://{host}:{port}'
    exec(compile(program, 'page', 'exec'), {})
