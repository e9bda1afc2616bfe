"""Each class of worker, a worker that ends after a number of jobs, and a job that is stopped."""

from __future__ import annotations

import pytest
import rq.worker
from rq import Queue
from rq.command import send_stop_job_command

from . import jobs
from .sides import Side, Sides

KINDS = ('Worker', 'SimpleWorker', 'SpawnWorker', 'RoundRobinWorker', 'RandomWorker', 'HerokuWorker')
CLASSES = [name for name in KINDS if hasattr(rq.worker, name)]


@pytest.mark.parametrize('worker_class', CLASSES)
def test_each_class_of_worker_runs_jobs(sides: Sides, worker_class: str) -> None:
    def scenario(side: Side) -> dict[str, list[str]]:
        queue = Queue('worked', connection=side.client)
        for name, function in {'look': jobs.look, 'fail': jobs.fail, 'succeed': jobs.succeed}.items():
            queue.enqueue(function, job_id=name)
        side.work('--worker-class', f'rq.worker.{worker_class}', '--name', 'the-worker', 'worked')
        assert side.counts() == {'look': 1, 'fail': 1, 'succeed': 1}
        assert queue.fetch_job('look').return_value() == [True, False]
        registries = {'failed': queue.failed_job_registry, 'finished': queue.finished_job_registry}
        return {name: registry.get_job_ids() for name, registry in registries.items()}

    assert sides.same(scenario) == {'failed': ['fail'], 'finished': ['look', 'succeed']}


def test_worker_ends_after_max_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, list[str]]:
        queue = Queue('worked', connection=side.client)
        for number in range(5):
            queue.enqueue(jobs.succeed, job_id=f'job-{number}')
        side.rq('worker', '--max-jobs', '3', '--name', 'the-worker', 'worked')
        assert side.counts() == {'job-0': 1, 'job-1': 1, 'job-2': 1}
        return {'finished': queue.finished_job_registry.get_job_ids(), 'waiting': queue.job_ids}

    assert sides.same(scenario) == {'finished': ['job-0', 'job-1', 'job-2'], 'waiting': ['job-3', 'job-4']}


def test_stopped_job_is_in_failed_registry(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, list[str], list[str]]:
        queue = Queue('worked', connection=side.client)
        job = queue.enqueue(jobs.wait_for_release, job_id='stopped')
        with side.running('worker', '--max-jobs', '1', '--name', 'the-worker', 'worked') as worker:
            side.wait_for_runs(1)
            assert queue.started_job_registry.get_job_ids() == ['stopped']
            send_stop_job_command(side.client, 'stopped')
            worker.wait()
        status = job.get_status().value
        return status, queue.started_job_registry.get_job_ids(), queue.failed_job_registry.get_job_ids()

    assert sides.same(scenario) == ('stopped', [], ['stopped'])
