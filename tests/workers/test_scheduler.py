"""RQ's scheduler: the process that a worker starts beside itself, and the look that a worker in burst mode takes."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from rq import Queue, Repeat, Retry

from . import jobs
from .sides import Side, Sides
from .waiting import let_an_hour_pass


def test_a_scheduler_process(sides: Sides) -> None:
    def scenario(side: Side) -> Counter[str]:
        queue = Queue('timed', connection=side.client)
        queue.enqueue_in(timedelta(seconds=1), jobs.succeed, job_id='scheduled')
        queue.enqueue(jobs.fail_once, job_id='retried', retry=Retry(1, interval=1))
        queue.enqueue(jobs.succeed, job_id='repeated', repeat=Repeat(2, interval=1))
        side.rq('worker', '--with-scheduler', '--max-jobs', '6', '--name', 'timekeeper', 'timed')
        assert queue.scheduled_job_registry.count == 0
        return side.counts()

    assert sides.same(scenario) == {'scheduled': 1, 'retried': 2, 'repeated': 3}


def test_overdue_jobs_in_burst_mode(sides: Sides) -> None:
    def scenario(side: Side) -> Counter[str]:
        queue = Queue('timed', connection=side.client)
        for hours in (1, 3):
            queue.enqueue_in(timedelta(hours=hours, minutes=-1), jobs.succeed, job_id=f'in-{hours}')
        let_an_hour_pass(side.client)
        side.work('--with-scheduler', '--name', 'timekeeper', 'timed')
        assert queue.scheduled_job_registry.get_job_ids() == ['in-3']
        return side.counts()

    assert sides.same(scenario) == {'in-1': 1}
