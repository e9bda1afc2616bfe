"""Fill a Redis server as an application of many queues would: `python population.py URL FAILED BULK`.

It runs in a client's environment, on plain RQ. All is made by RQ itself; of the failed jobs, which are many, one of
each kind, and the server copies it.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import work
from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.scheduler import RQScheduler

QUEUES = 100
# The first has all failed jobs but those of the second, which are few enough to be requeued.
DEFAULT, BULK = 'default', 'bulk'
NAMES = [DEFAULT, BULK, *(f'queue-{number:02}' for number in range(2, QUEUES))]
EXPIRED, ABANDONED, GONE = NAMES[2:5]
YEAR = 365 * 24 * 3600

COPY_JOB = """
local job, results = 'rq:job:' .. ARGV[1], 'rq:results:' .. ARGV[1]
for number = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]) do
  local id = string.format('%s-%06d', ARGV[2], number)
  redis.call('COPY', job, 'rq:job:' .. id)
  redis.call('HSET', 'rq:job:' .. id, 'origin', ARGV[2])
  redis.call('COPY', results, 'rq:results:' .. id)
  redis.call('ZADD', 'rq:failed:' .. ARGV[2], tonumber(ARGV[3]) + number, id)
end
"""
KEEP_ALL = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  redis.call('PERSIST', key)
end
"""


def run_all(queues: list[Queue]) -> None:
    """Run the queued jobs."""
    SimpleWorker(queues, connection=queues[0].connection, name='first').work(burst=True, logging_level='CRITICAL')


def enqueue_failures(queue: Queue) -> list[str]:
    """Enqueue a job of each kind that fails, and return their ids."""
    jobs = [
        queue.enqueue(work.divide, 1, 0, job_id='kind-0'),
        queue.enqueue(work.divide, 2, 0, mode='exact', user={'id': 7}, job_id='kind-1', meta={'tries': [1, 2]}),
        queue.enqueue(work.nest, 60, job_id='kind-2'),
        queue.enqueue(work.complain, 'Grüße, 世界 <b>&amp;</b>', job_id='kind-3', description='Grüße & <i>more</i>'),
        queue.enqueue(work.divide, 3, 0, job_id='kind-4', retry=Retry(max=1)),
        queue.enqueue('work.missing', 'there is no such function', job_id='kind-5'),
        queue.enqueue(work.linger, 3, job_id='kind-6', job_timeout=1),
        queue.enqueue(work.complain, 'x' * 500, job_id='kind-7', failure_ttl=YEAR, result_ttl=60),
    ]
    return [job.id for job in jobs]


def copy_failures(connection: Redis, kinds: list[str], name: str, count: int) -> None:
    """Have `count` failed jobs of all kinds in turn on the queue."""
    (newest,) = connection.zrange(f'rq:failed:{DEFAULT}', -1, -1, withscores=True)
    for first, kind in enumerate(kinds):
        connection.eval(COPY_JOB, 0, kind, name, newest[1], first, count - 1, len(kinds))


def fill_registries(queues: list[Queue]) -> None:
    """Put a job or two into every registry of each queue."""
    for queue in queues:
        for number in (1, 2):
            queue.enqueue(work.add, number, 2, job_id=f'{queue.name}-finished-{number}', result_ttl=YEAR)
        queue.enqueue(work.divide, 1, 0, job_id=f'{queue.name}-failed')
    run_all(queues)
    for queue in queues:
        waited_for = queue.enqueue(work.add, 3, 4, job_id=f'{queue.name}-queued-1')
        queue.enqueue(work.add, 5, 6, job_id=f'{queue.name}-queued-2', meta={'about': 'Grüße'})
        queue.enqueue(work.nothing, job_id=f'{queue.name}-deferred', depends_on=waited_for)
        queue.enqueue_in(timedelta(days=365), work.nothing, job_id=f'{queue.name}-scheduled')
        queue.enqueue(work.nothing, job_id=f'{queue.name}-canceled').cancel()


def start_jobs(queues: list[Queue]) -> None:
    """Have jobs in execution, by workers that are registered."""
    connection = queues[0].connection
    for number in range(3):
        worker = SimpleWorker(queues[number::3], connection=connection, name=f'worker-{number}')
        worker.register_birth()
        for queue in worker.queues:
            job = queue.enqueue(work.linger, 60, job_id=f'{queue.name}-started', job_timeout=YEAR)
            connection.lrem(queue.key, 0, job.id)
            worker.prepare_execution(job)
            worker.prepare_job_execution(job)


def leave_work_for_clean_ups(connection: Redis) -> None:
    """Have a result that expired, a job whose worker died, and an id whose job is gone."""
    connection.zadd(f'rq:finished:{EXPIRED}', {f'{EXPIRED}-finished-1': 1})
    started = StartedJobRegistry(ABANDONED, connection=connection)
    connection.zadd(started.key, dict.fromkeys(connection.zrange(started.key, 0, -1), 1))
    connection.zadd(FailedJobRegistry(GONE, connection=connection).key, {'gone': 1e10})


def main(url: str, failed: int, bulk: int) -> None:
    """Fill the database, with nothing in it that expires while it is used."""
    # A script may take some seconds.
    connection = Redis.from_url(url, socket_timeout=None)
    queues = [Queue(name, connection=connection, default_timeout=180) for name in NAMES]
    kinds = enqueue_failures(queues[0])
    run_all(queues)
    copy_failures(connection, kinds, DEFAULT, failed - len(kinds))
    copy_failures(connection, kinds, BULK, bulk)
    assert Job.fetch(f'{BULK}-{bulk - 1:06}', connection=connection).is_failed
    fill_registries(queues)
    start_jobs(queues)
    leave_work_for_clean_ups(connection)
    RQScheduler(queues[:3], connection=connection, logging_level='WARNING').acquire_locks()
    connection.eval(KEEP_ALL, 0)


if __name__ == '__main__':
    main(sys.argv[1], *map(int, sys.argv[2:]))
