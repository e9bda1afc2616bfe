"""`rq info`, `rq requeue` and `rq empty`, on what real workers have left."""

from __future__ import annotations

from host.patience import PATIENCE
from rq import Queue

from . import jobs
from .sides import Side, Sides


def three_queues(side: Side) -> dict[str, Queue]:
    """Leave two failed and three finished jobs on a queue, a finished one on another, and four waiting on a third."""
    queues = {name: Queue(name, connection=side.client) for name in ('mixed', 'fine', 'waiting')}
    for number in range(2):
        queues['mixed'].enqueue(jobs.fail, job_id=f'failing-{number}')
    for number in range(3):
        queues['mixed'].enqueue(jobs.succeed, job_id=f'mixed-{number}')
    queues['fine'].enqueue(jobs.succeed, job_id='fine')
    side.work('--worker-class', 'rq.worker.SimpleWorker', '--name', 'first', 'mixed', 'fine')
    waiting = [queues['waiting'].enqueue(jobs.succeed, job_id=f'waiting-{number}') for number in range(4)]
    queues['waiting'].enqueue(jobs.succeed, job_id='deferred', depends_on=waiting[0])
    return queues


def test_info(sides: Sides) -> None:
    def scenario(side: Side) -> list[str]:
        three_queues(side)
        side.client.zadd('rq:finished:mixed', {'mixed-0': 1_000_000})
        return side.rq('info', '--raw', 'mixed', 'fine', 'waiting').splitlines()

    assert sides.same(scenario) == [
        'queue mixed 0, 0 executing, 2 finished, 2 failed',
        'queue fine 0, 0 executing, 1 finished, 0 failed',
        'queue waiting 4, 0 executing, 0 finished, 0 failed',
    ]


def test_requeue_of_one(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, list[str], list[str]]:
        queue = three_queues(side)['mixed']
        said = side.rq('requeue', '--queue', 'mixed', 'failing-1')
        return said, queue.job_ids, queue.failed_job_registry.get_job_ids()

    said, waiting, failed = sides.same(scenario)
    assert 'Requeueing 1 jobs from failed queue' in said
    assert (waiting, failed) == (['failing-1'], ['failing-0'])


def test_requeue_of_a_job_that_has_not_failed(sides: Sides) -> None:
    def scenario(side: Side) -> str:
        three_queues(side)
        with side.running('requeue', '--queue', 'mixed', 'failing-1', 'mixed-1', 'failing-0') as program:
            assert program.process.wait(PATIENCE) == 1
            return program.text().splitlines()[-1]

    # RQ's command means to go on, and catches another exception than is raised.
    assert sides.same(scenario) == 'rq.exceptions.InvalidJobOperation'


def test_requeue_of_all_and_work(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, int]:
        queue = three_queues(side)['mixed']
        side.rq('requeue', '--queue', 'mixed', '--all')
        assert queue.job_ids == ['failing-0', 'failing-1']
        assert queue.failed_job_registry.count == 0
        side.work('--name', 'second', 'mixed')
        assert queue.failed_job_registry.get_job_ids() == ['failing-0', 'failing-1']
        return {job_id: count for job_id, count in side.counts().items() if count > 1}

    assert sides.same(scenario) == {'failing-0': 2, 'failing-1': 2}


def test_empty(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, list[str], list[str]]:
        queue = three_queues(side)['waiting']
        said = side.rq('empty', 'waiting', 'fine')
        return said, queue.job_ids, queue.deferred_job_registry.get_job_ids()

    said, waiting, deferred = sides.same(scenario)
    assert '4 jobs removed from waiting queue' in said
    assert '0 jobs removed from fine queue' in said
    assert (waiting, deferred) == ([], ['deferred'])
