"""A busy system is in order: while real workers run jobs of every kind, check() finds nothing, again and again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from depth import IS_DEEP
from private_redis import PrivateRedis
from rq import Retry
from rq.job import Job
from rq.version import VERSION

from rqreg_ext import Queue
from rqreg_ext._integrity.check import check_everything, repair_everything
from rqreg_ext._integrity.problems import ProblemKind

from . import jobs, states

TESTS = Path(__file__).resolve().parents[1]
WORKER = """
import sys, redis, rq
kind, port, *queues = sys.argv[1:]
rq.worker.BaseWorker.job_monitoring_interval = 1
worker = getattr(rq, kind)(queues, connection=redis.Redis(port=int(port)))
worker.work(logging_level='CRITICAL', with_scheduler='low' in queues)
"""
# One that takes its jobs by way of the intermediate queue, one that takes them from two queues, and those again
# without forks.
ROUNDS = 20
# The feeder leaves a registry with fewer entries alone.
FEW = 20
# In seconds: longer than RQ keeps any other job here.
YEARS = 10 * 365 * 24 * 3600
IS_RQ_3 = not VERSION.startswith('2.')
CREW = (('Worker', 'high'), ('Worker', 'low', 'high'), ('SimpleWorker', 'low'), ('SimpleWorker', 'high', 'low'))


@pytest.fixture
def server() -> Iterator[PrivateRedis]:
    """A private server: the workers run until it ends."""
    with PrivateRedis() as server:
        yield server


@pytest.fixture
def crew(server: PrivateRedis) -> Iterator[None]:
    """Worker processes."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get('PYTHONPATH')])])
    environment = {**os.environ, 'PYTHONPATH': path}
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', WORKER, kind, str(server.port), *queues],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for kind, *queues in CREW
    ]
    yield
    for process in processes:
        # With its work-horses and its scheduler.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def enqueue_all_kinds(queue: Queue, other: Queue, number: int) -> list[Job]:
    """Enqueue a few jobs of each kind: dependent, retried, failing, scheduled and so on."""
    # RQ 2 forgets the entry of a job that finishes while others come to wait for it.
    parent = queue.enqueue(jobs.succeed, number) if IS_RQ_3 else queue.enqueue_in(timedelta(seconds=2), jobs.succeed)
    failing = queue.enqueue(jobs.fail)
    data = [Queue.prepare_data(jobs.succeed, depends_on=parent), Queue.prepare_data(jobs.succeed)]
    return [
        parent,
        failing,
        *(other.enqueue(jobs.succeed, depends_on=parent) for _ in range(2)),
        queue.enqueue(jobs.succeed, depends_on=[parent, *queue.enqueue_many(data)]),
        queue.enqueue(jobs.fail, retry=Retry(max=1)),
        queue.enqueue(jobs.fail, retry=Retry(max=1, interval=1)),
        queue.enqueue(jobs.try_again),
        queue.enqueue(jobs.sleep, 0.2),
        queue.enqueue(jobs.succeed, at_front=True, ttl=1000),
        queue.enqueue(jobs.succeed, result_ttl=0),
        queue.enqueue_in(timedelta(seconds=1), jobs.succeed),
    ]


def disturb(queue: Queue, made: list[Job]) -> None:
    """Make the changes that operators make by hand."""
    made[-4].cancel(enqueue_dependents=True)
    for job_id in first_of(queue.failed_job_registry):
        queue.failed_job_registry.requeue(job_id)
    for job_id in first_of(queue.finished_job_registry):
        queue.finished_job_registry.remove(job_id, delete_job=True)


def first_of(registry: Any) -> list[str]:
    job_ids: list[str] = registry.get_job_ids()
    return job_ids[:2] if len(job_ids) > FEW else []


class Feeder(threading.Thread):
    """Enqueues jobs, and changes them as operators do, until it is stopped."""

    def __init__(self, server: PrivateRedis) -> None:
        super().__init__()
        self.client = server.client()
        self.high, self.low = Queue('high', connection=self.client), Queue('low', connection=self.client)
        self.is_over = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Keep a few hundred jobs in the queues."""
        try:
            for number in itertools.count():
                if self.is_over.wait(0.1 if self.high.count + self.low.count > 300 else 0):
                    return
                queues = (self.high, self.low) if number % 2 else (self.low, self.high)
                disturb(queues[0], enqueue_all_kinds(*queues, number))
        except Exception as error:
            self.error = error


@pytest.fixture
def feeder(server: PrivateRedis) -> Iterator[Feeder]:
    """A running Feeder."""
    feeder = Feeder(server)
    feeder.start()
    yield feeder
    feeder.is_over.set()
    feeder.join()
    assert feeder.error is None


def test_busy_workers_cause_no_problems(server: PrivateRedis, crew: None, feeder: Feeder) -> None:
    client = server.client()
    queues = [Queue(name, connection=client) for name in ('high', 'low')]
    states.until(lambda: all(queue.finished_job_registry.count for queue in queues))
    for number in range(ROUNDS):
        # Longer than a busy machine keeps a worker from its next step.
        report = check_everything(client, settle=3, chunk_size=(3, 1000)[number % 2])
        assert list(report) == [], str(report)
        assert report.jobs > 100
        for queue in queues:
            for registry in registries(queue):
                found = registry.check(settle=3)
                assert list(found) == [], str(found)
    assert all(queue.finished_job_registry.count > 20 for queue in queues)


def break_entries(client: redis.Redis, number: int) -> Counter[ProblemKind]:
    """Break entries that no worker changes; return how many problems of each kind that makes."""
    high = Queue('high', connection=client)
    failed, finished = high.failed_job_registry, high.finished_job_registry
    # They expire last: the feeder, which takes the first entries, never comes to them.
    succeeding = high.enqueue(jobs.succeed, at_front=True, result_ttl=YEARS)
    failing = high.enqueue(jobs.fail, at_front=True, failure_ttl=YEARS)
    states.until(lambda: succeeding.id in finished and failing.id in failed)
    for registry in (failed, finished):
        client.zadd(registry.key, {f'gone-{number}': time.time() + YEARS})
    client.zadd(failed.key, {succeeding.id: time.time() + YEARS})
    client.zrem(failed.key, failing.id)
    return Counter({ProblemKind.MISSING_JOB: 2, ProblemKind.WRONG_STATUS: 1, ProblemKind.ORPHAN: 1})


def test_repair_repairs_only_broken_entries_while_workers_are_busy(
    server: PrivateRedis, crew: None, feeder: Feeder
) -> None:
    client = server.client()
    for number in range(20 if IS_DEEP else 4):
        broken = break_entries(client, number)
        report = check_everything(client, settle=3)
        assert report.counts == broken, str(report)
        done = repair_everything(client, report)
        assert done.repaired == broken, str(done)
        found = check_everything(client, settle=3)
        assert list(found) == [], str(found)


def registries(queue: Queue) -> list[Any]:
    names = ('failed', 'finished', 'started', 'deferred', 'scheduled', 'canceled')
    return [getattr(queue, f'{name}_job_registry') for name in names]
