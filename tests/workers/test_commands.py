"""`rq info`, `rq requeue` and `rq empty`, on what real workers have left."""

from __future__ import annotations

import re

from host.patience import PATIENCE
from rq import Queue

from . import jobs
from .pictures import masked
from .sides import Side, Sides
from .test_maintenance import let_a_worker_die
from .waiting import let_an_hour_pass

EMPTIED = ((0, 'fine'), (0, 'mixed'), (4, 'waiting'))


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


def test_info_of_rq_prints_same_counts(sides: Sides) -> None:
    def scenario(side: Side) -> list[str]:
        three_queues(side)
        side.client.zadd('rq:finished:mixed', {'mixed-0': 1_000_000})
        return side.rq('info', '--raw', 'mixed', 'fine', 'waiting').splitlines()

    assert sides.same(scenario) == [
        'queue mixed 0, 0 executing, 2 finished, 2 failed',
        'queue fine 0, 0 executing, 1 finished, 0 failed',
        'queue waiting 4, 0 executing, 0 finished, 0 failed',
    ]


def test_info_shows_job_that_a_worker_runs(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, list[str]]:
        three_queues(side)
        Queue('held', connection=side.client).enqueue(jobs.wait_for_release, job_id='held')
        with side.running('worker', '--max-jobs', '1', '--name', 'the-worker', 'held', 'mixed') as worker:
            side.wait_for_runs(7)
            told = {option: lines_of_info(side, option) for option in ('--only-queues', '--only-workers', '--by-queue')}
            side.client.rpush(jobs.RELEASE, 'now')
            worker.wait()
        return told

    by_queue = ['fine:    \u2013', 'held:    the-worker (busy)', 'mixed:   the-worker (busy)', 'waiting: \u2013']
    queues = [
        'fine         | 0, 0 executing, 1 finished, 0 failed',
        'held         | 0, 1 executing, 0 finished, 0 failed',
        'mixed        | 0, 0 executing, 3 finished, 2 failed',
        'waiting      |████ 4, 0 executing, 0 finished, 0 failed',
        '4 queues, 4 jobs total',
    ]
    assert sides.same(scenario) == {
        '--only-queues': queues,
        '--only-workers': [
            'the-worker (<address>): busy held, mixed. jobs: 0 finished, 0 failed',
            '1 workers, 4 queues',
        ],
        '--by-queue': [*queues, *by_queue, '1 workers, 4 queues'],
    }


def lines_of_info(side: Side, option: str) -> list[str]:
    """Return what `rq info` tells, the queues and workers in alphabetical order, as its own order is that of sets."""
    lines = side.rq('info', option, *sorted(queue.name for queue in Queue.all(side.client))).splitlines()
    shown = [re.sub(r'\(\S+ \S+ \d+\)', '(<address>)', line) for line in lines]
    return [line for line in shown if line and not line.startswith('Updated: ')]


def test_info_cleans_up_abandoned_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> list[str]:
        Queue('mixed', connection=side.client).enqueue(jobs.kill_the_worker_once, job_id='lost')
        let_a_worker_die(side, '--worker-class', 'rq.worker.SimpleWorker', '--name', 'first', 'mixed')
        before = side.rq('info', '--raw', '--only-queues')
        let_an_hour_pass(side.client)
        return [masked(text.encode()) for text in (before, side.rq('info', '--raw', '--only-queues'))]

    assert sides.same(scenario) == [
        'queue mixed 0, 1 executing, 0 finished, 0 failed\n',
        'StartedJobRegistry cleanup: lost Moved to FailedJobRegistry, due to AbandonedJobError, at <date>\n'
        'queue mixed 0, 0 executing, 0 finished, 1 failed\n',
    ]


def test_requeue_command_puts_one_job_back(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, list[str], list[str]]:
        queue = three_queues(side)['mixed']
        said = side.rq('requeue', '--queue', 'mixed', 'failing-1')
        return said, queue.job_ids, queue.failed_job_registry.get_job_ids()

    said, waiting, failed = sides.same(scenario)
    assert 'Requeueing 1 jobs from failed queue' in said
    assert (waiting, failed) == (['failing-1'], ['failing-0'])


def test_requeue_command_fails_at_job_that_has_not_failed(sides: Sides) -> None:
    def scenario(side: Side) -> str:
        three_queues(side)
        with side.running('requeue', '--queue', 'mixed', 'failing-1', 'mixed-1', 'failing-0') as program:
            assert program.process.wait(PATIENCE) == 1
            return program.text().splitlines()[-1]

    # RQ's command means to go on, and catches another exception than is raised.
    assert sides.same(scenario) == 'rq.exceptions.InvalidJobOperation'


def test_requeue_command_of_all_puts_failed_jobs_back(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, int]:
        queue = three_queues(side)['mixed']
        side.rq('requeue', '--queue', 'mixed', '--all')
        assert queue.job_ids == ['failing-0', 'failing-1']
        assert queue.failed_job_registry.count == 0
        side.work('--name', 'second', 'mixed')
        assert queue.failed_job_registry.get_job_ids() == ['failing-0', 'failing-1']
        return {job_id: count for job_id, count in side.counts().items() if count > 1}

    assert sides.same(scenario) == {'failing-0': 2, 'failing-1': 2}


def test_requeue_command_of_missing_job_ends_as_with_rq(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, int, str]:
        three_queues(side)
        nothing = side.rq('requeue', '--queue', 'fine', '--all')
        with side.running('requeue', '--queue', 'mixed', 'never-was') as program:
            return nothing, program.process.wait(PATIENCE), program.text().splitlines()[-1]

    nothing, status, last = sides.same(scenario)
    assert (nothing, status) == ('Nothing to do\n', 1)
    assert last.startswith('rq.exceptions.NoSuchJobError')


def test_empty_command_of_all_empties_each_queue(sides: Sides) -> None:
    def scenario(side: Side) -> list[str]:
        queue = three_queues(side)['waiting']
        said = side.rq('empty', '--all')
        assert queue.job_ids == []
        return sorted(said.splitlines())

    assert sides.same(scenario) == [f'{count} jobs removed from {name} queue' for count, name in EMPTIED]


def test_empty_of_rq_removes_same_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[str, list[str], list[str]]:
        queue = three_queues(side)['waiting']
        said = side.rq('empty', 'waiting', 'fine')
        return said, queue.job_ids, queue.deferred_job_registry.get_job_ids()

    said, waiting, deferred = sides.same(scenario)
    assert '4 jobs removed from waiting queue' in said
    assert '0 jobs removed from fine queue' in said
    assert (waiting, deferred) == ([], ['deferred'])
