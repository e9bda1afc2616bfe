"""The intermediate queue, where a worker on one queue puts a job before it starts it, and what becomes of it there."""

from __future__ import annotations

from collections.abc import Iterator

import redis
from rq import Queue, Retry
from rq.executions import Execution
from rq.job import Job

from . import jobs
from .sides import Side, Sides
from .test_maintenance import let_a_worker_die
from .waiting import let_an_hour_pass

DYING = ('--worker-class', 'workers.jobs.DyingWorker')
END = 'the end of the commands'


def test_job_in_intermediate_queue_is_retried_or_failed(sides: Sides) -> None:
    def scenario(side: Side) -> list[list[str]]:
        queue = Queue('one', connection=side.client)
        queue.enqueue(jobs.succeed, job_id='lost')
        queue.enqueue(jobs.succeed, job_id='retried', retry=Retry(1))
        queue.enqueue(jobs.succeed, job_id='deleted')
        for name in ('first', 'second', 'third'):
            let_a_worker_die(side, *DYING, '--name', name, 'one')
        Job.fetch('deleted', connection=side.client).delete()
        seen = [queue.intermediate_queue.get_job_ids()]
        for name in ('fourth', 'fifth'):
            side.work('--name', name, 'one')
            seen.append(queue.intermediate_queue.get_job_ids())
            let_an_hour_pass(side.client)
        assert side.counts() == {'retried': 1}
        return [*seen, queue.failed_job_registry.get_job_ids(), queue.finished_job_registry.get_job_ids()]

    # A job that is seen there for the first time stays; one whose key is gone does not.
    assert sides.same(scenario) == [['lost', 'retried', 'deleted'], ['lost', 'retried'], [], ['lost'], ['retried']]


def test_job_of_killed_worker_on_two_queues_is_lost(sides: Sides) -> None:
    """Such a worker uses no intermediate queue: its job is in no queue and no registry, by RQ as by us."""

    def scenario(side: Side) -> tuple[list[str], str]:
        queue = Queue('one', connection=side.client)
        job = queue.enqueue(jobs.succeed, job_id='lost')
        let_a_worker_die(side, *DYING, '--name', 'first', 'one', 'two')
        let_an_hour_pass(side.client)
        side.work('--name', 'second', 'one', 'two')
        return queue.job_ids + queue.intermediate_queue.get_job_ids(), job.get_status()

    assert sides.same(scenario) == ([], 'queued')


def test_running_jobs_are_found_without_reading_the_registry(sides: Sides) -> None:
    """For each job there RQ reads the whole registry; we only do where the job has no execution that runs."""
    commands = {side.name: commands_of_cleanup(side, running=20, stuck=3, others=5_000) for side in sides}

    whole = ['ZRANGE', 'rq:wip:one', '0', '-1']
    assert commands['plain'].count(whole) == 20 + 3
    assert commands['accelerated'].count(whole) == 3


def commands_of_cleanup(side: Side, running: int, stuck: int, others: int) -> list[list[str]]:
    """Return what a worker sends that finds jobs in its intermediate queue, and others that run."""
    queue = Queue('one', connection=side.client)
    ids = [f'running-{number}' for number in range(running)] + [f'stuck-{number}' for number in range(stuck)]
    for job_id in ids:
        job = queue.enqueue(jobs.succeed, job_id=job_id)
        side.client.lmove(queue.key, queue.intermediate_queue_key)
        if job_id.startswith('running'):
            with side.client.pipeline() as pipe:
                Execution.create(job, 600, pipeline=pipe)
                pipe.execute()
    side.client.zadd('rq:wip:one', {f'other-{number}:execution': 1e12 for number in range(others)})
    with side.client.monitor() as monitor:
        side.work('--name', 'cleaner', 'one')
        assert queue.intermediate_queue.get_job_ids() == ids
        side.client.echo(END)
        return list(commands_until_end(monitor))


def commands_until_end(monitor: redis.client.Monitor) -> Iterator[list[str]]:
    for seen in monitor.listen():
        if seen['command'] == f'ECHO {END}':
            return
        yield seen['command'].split(' ')
