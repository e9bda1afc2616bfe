"""Each class of worker, and a worker that ends after so many jobs."""

from __future__ import annotations

import pytest
import rq.worker
from rq import Queue

from . import jobs
from .sides import Side, Sides

CLASSES = [name for name in ('Worker', 'SimpleWorker', 'SpawnWorker') if hasattr(rq.worker, name)]


@pytest.mark.parametrize('worker_class', CLASSES)
def test_each_class_of_worker(sides: Sides, worker_class: str) -> None:
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


def test_a_worker_that_ends_after_some_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, list[str]]:
        queue = Queue('worked', connection=side.client)
        for number in range(5):
            queue.enqueue(jobs.succeed, job_id=f'job-{number}')
        side.rq('worker', '--max-jobs', '3', '--name', 'the-worker', 'worked')
        assert side.counts() == {'job-0': 1, 'job-1': 1, 'job-2': 1}
        return {'finished': queue.finished_job_registry.get_job_ids(), 'waiting': queue.job_ids}

    assert sides.same(scenario) == {'finished': ['job-0', 'job-1', 'job-2'], 'waiting': ['job-3', 'job-4']}
