"""Schedule jobs as an application of rq-scheduler would: `python schedule.py URL`."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

import work
from redis import Redis
from rq_scheduler import Scheduler

START = datetime(2020, 1, 1, tzinfo=timezone.utc)


def main(url: str) -> None:
    """Schedule jobs that are due, one that is repeated and one that waits, and print them."""
    scheduler = Scheduler('default', connection=Redis.from_url(url))
    for number in range(20):
        scheduler.enqueue_at(START, work.add, number, 1, job_id=f'scheduled-{number:02}')
    scheduler.schedule(START, work.nothing, interval=86400, repeat=3, id='repeated', queue_name='queue-05')
    scheduler.cron('0 0 1 1 *', work.nothing, id='yearly')
    for job in scheduler.get_jobs():
        print(job.id, job.origin, job in scheduler)


if __name__ == '__main__':
    main(sys.argv[1])
