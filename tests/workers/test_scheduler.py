"""RQ's scheduler: the process that a worker starts for it, and the single run of a worker in burst mode."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import timedelta

from host.patience import eventually
from rq import Queue, Repeat, Retry

from . import jobs
from .processes import send, session
from .sides import Side, Sides
from .waiting import let_an_hour_pass

LOCK = 'rq:scheduler-lock:timed'


def test_scheduler_process_enqueues_scheduled_jobs(sides: Sides) -> None:
    def scenario(side: Side) -> Counter[str]:
        queue = Queue('timed', connection=side.client)
        queue.enqueue_in(timedelta(seconds=1), jobs.succeed, job_id='scheduled')
        queue.enqueue(jobs.fail_once, job_id='retried', retry=Retry(1, interval=1))
        queue.enqueue(jobs.succeed, job_id='repeated', repeat=Repeat(2, interval=1))
        side.rq('worker', '--with-scheduler', '--max-jobs', '6', '--name', 'timekeeper', 'timed')
        assert queue.scheduled_job_registry.count == 0
        return side.counts()

    assert sides.same(scenario) == {'scheduled': 1, 'retried': 2, 'repeated': 3}


def test_overdue_jobs_are_run_in_burst_mode(sides: Sides) -> None:
    def scenario(side: Side) -> Counter[str]:
        queue = Queue('timed', connection=side.client)
        for hours in (1, 3):
            queue.enqueue_in(timedelta(hours=hours, minutes=-1), jobs.succeed, job_id=f'in-{hours}')
        let_an_hour_pass(side.client)
        side.work('--with-scheduler', '--name', 'timekeeper', 'timed')
        assert queue.scheduled_job_registry.get_job_ids() == ['in-3']
        return side.counts()

    assert sides.same(scenario) == {'in-1': 1}


def test_dead_scheduler_is_started_again(sides: Sides) -> None:
    """The worker starts another in its maintenance, when the dead one's lock has expired."""

    def scenario(side: Side) -> Counter[str]:
        queue = Queue('timed', connection=side.client)
        # Such a worker waits for a job for two seconds, and sees to its maintenance in between.
        options = ('--worker-ttl', '17', '--maintenance-interval', '1', '--max-jobs', '1', '--name', 'timekeeper')
        with side.running('worker', '--with-scheduler', *options, 'timed') as worker:
            # The lock is the worker's work, which then forks the scheduler.
            assert eventually(lambda: side.client.exists(LOCK) and len(session(worker.pid)) == 2)
            send([process for process in session(worker.pid) if process.pid != worker.pid], signal.SIGKILL)
            queue.enqueue_in(timedelta(seconds=1), jobs.succeed, job_id='scheduled')
            side.client.delete(LOCK)
            worker.wait()
        assert queue.scheduled_job_registry.count == 0
        return side.counts()

    assert sides.same(scenario) == {'scheduled': 1}
