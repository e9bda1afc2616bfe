"""`rq worker-pool`: some workers in processes of its own, each with a scheduler."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from host.patience import eventually
from rq import Queue, Worker

from . import jobs
from .processes import send, session
from .sides import Program, Side, Sides
from .waiting import let_an_hour_pass

JOBS = 24


def fill(side: Side) -> Queue:
    queue = Queue('pooled', connection=side.client)
    for number in range(JOBS):
        queue.enqueue(jobs.fail if number % 4 == 0 else jobs.succeed, job_id=f'job-{number:02d}')
    queue.enqueue_in(timedelta(minutes=59), jobs.succeed, job_id='scheduled')
    let_an_hour_pass(side.client)
    return queue


def check(side: Side, queue: Queue) -> tuple[int, int]:
    assert side.counts() == dict.fromkeys([*(f'job-{number:02d}' for number in range(JOBS)), 'scheduled'], 1)
    assert queue.started_job_registry.count == 0
    assert Worker.count(connection=side.client) == 0
    return queue.failed_job_registry.count, queue.finished_job_registry.count


def stop(pool: Program, side: Side, workers: int) -> None:
    """End the pool, once its workers wait for jobs: RQ's exception for the signal is lost in a `__del__`."""
    assert eventually(lambda: side.client.info('clients')['blocked_clients'] == workers)
    pool.process.terminate()
    pool.wait()


def test_pool_in_burst_mode_runs_all_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[int, int]:
        queue = fill(side)
        side.rq('worker-pool', '--burst', '--num-workers', '2', 'pooled')
        return check(side, queue)

    assert sides.same(scenario) == (JOBS // 4, JOBS * 3 // 4 + 1)


def test_stopped_pool_has_run_all_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> tuple[int, int]:
        queue = fill(side)
        with side.running('worker-pool', '--num-workers', '2', 'pooled') as pool:
            assert eventually(lambda: queue.failed_job_registry.count + queue.finished_job_registry.count == JOBS + 1)
            stop(pool, side, workers=2)
        return check(side, queue)

    assert sides.same(scenario) == (JOBS // 4, JOBS * 3 // 4 + 1)


def test_pool_replaces_killed_worker(sides: Sides) -> None:
    """The pool starts another in its place, which looks after the job that was abandoned."""

    def scenario(side: Side) -> dict[str, object]:
        queue = Queue('pooled', connection=side.client)
        lost = queue.enqueue(jobs.wait_for_release, job_id='lost')
        with side.running('worker-pool', '--num-workers', '1', 'pooled') as pool:
            side.wait_for_runs(1)
            (worker,) = Worker.all(queue=queue)
            with stopped(pool.pid):
                send([process for process in session(pool.pid) if process.pid != pool.pid], signal.SIGKILL)
                let_an_hour_pass(side.client)
            assert eventually(lambda: lost.get_status() == 'failed')
            queue.enqueue(jobs.succeed, job_id='next')
            assert eventually(lambda: queue.finished_job_registry.get_job_ids() == ['next'])
            assert worker.name not in {other.name for other in Worker.all(queue=queue)}
            stop(pool, side, workers=1)
        assert 'AbandonedJobError' in lost.latest_result().exc_string
        return {'runs': side.counts(), 'failed': queue.failed_job_registry.get_job_ids()}

    assert sides.same(scenario) == {'runs': {'lost': 1, 'next': 1}, 'failed': ['lost']}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing inside the context."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
