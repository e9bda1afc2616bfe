"""RQ's real worker, which forks for each job, with our registries used in the parent and in every job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from rq import Callback

from rqreg_ext import Queue

from . import jobs
from .patience import PATIENCE
from .worker_program import QUEUE_NAME

if TYPE_CHECKING:
    from private_redis import PrivateRedis

TESTS = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder of the tests, which its children can import too."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get('PYTHONPATH')]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=TESTS,
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def work(server: PrivateRedis) -> list[dict[str, Any]]:
    """Let a worker process empty the queue, and return what its parent side saw of each job."""
    finished = run('-m', 'host.worker_program', server.url)
    assert finished.returncode == 0, finished.stderr
    sightings: list[dict[str, Any]] = json.loads(finished.stdout)
    return sightings


def test_job_and_worker_read_the_same(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    queue = Queue(QUEUE_NAME, connection=connection)
    looking = [queue.enqueue(jobs.look, job_id=f'look-{number:02d}') for number in range(15)]

    sightings = work(redis_server)

    assert len(sightings) == len(looking)
    assert queue.finished_job_registry.get_job_ids() == [job.id for job in looking]
    assert queue.failed_job_registry.count == 0
    assert queue.started_job_registry.count == 0
    pids = set()
    for number, (job, sighting) in enumerate(zip(looking, sightings, strict=True)):
        seen = job.return_value()
        pids.add(seen.pop('pid'))
        assert seen == {
            'started by inherited': True,
            'started ids': [job.id],
            'started by own': True,
            'finished': number,
            'failed': [],
            'finished again': number,
            'itself not finished': True,
        }
        assert sighting == {
            'job': job.id,
            'finished before': number,
            'started': True,
            'ids': [job.id],
            'started after': False,
            'failed after': False,
        }
    assert len(pids) == len(looking), 'each job runs in a process of its own'


def test_failing_jobs_are_seen_in_registry_by_worker_and_jobs(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    queue = Queue(QUEUE_NAME, connection=connection)
    failing = [queue.enqueue(jobs.fail, job_id=f'fail-{number}') for number in range(5)]
    last = queue.enqueue(jobs.look)

    sightings = work(redis_server)

    # A failing job does not wait for the parent: whether the parent still saw it start is chance.
    assert [sighting['failed after'] for sighting in sightings] == [True] * 5 + [False]
    assert [sighting['started after'] for sighting in sightings] == [False] * 6
    assert queue.failed_job_registry.get_job_ids() == [job.id for job in failing]
    assert last.return_value()['failed'] == [job.id for job in failing]
    assert all('as it should' in job.latest_result().exc_string for job in failing)


def test_job_that_removes_and_deletes_leaves_no_failed_jobs(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    queue = Queue(QUEUE_NAME, connection=connection)
    failing = [queue.enqueue(jobs.fail) for _ in range(3)]
    cleaning = queue.enqueue(jobs.clean_up)

    work(redis_server)

    assert cleaning.return_value() == 0
    assert queue.failed_job_registry.get_job_ids() == []
    assert connection.exists(*[job.key for job in failing]) == 0


def test_requeued_job_runs_again(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    queue = Queue(QUEUE_NAME, connection=connection)
    failing = queue.enqueue(jobs.fail)
    work(redis_server)
    assert failing in queue.failed_job_registry
    queue.failed_job_registry.requeue(failing.id)
    assert queue.failed_job_registry.count == 0
    assert queue.job_ids == [failing.id]

    (sighting,) = work(redis_server)

    assert sighting['job'] == failing.id
    assert failing in queue.failed_job_registry


@pytest.mark.parametrize('worker_class', ['Worker', 'SimpleWorker', 'SpawnWorker'])
def test_each_class_of_worker_runs_jobs_that_use_registries(
    redis_server: PrivateRedis, connection: redis.Redis, worker_class: str
) -> None:
    """Registries in jobs and in their callbacks: in a forked process, in the worker's own, and in a spawned one."""
    queue = Queue(QUEUE_NAME, connection=connection)
    callbacks = {'on_success': Callback(jobs.after_success), 'on_failure': Callback(jobs.after_failure)}
    names = ['look-0', 'fail-0', 'look-1', 'look-2']
    functions = {'look': jobs.look_alone, 'fail': jobs.fail_alone}
    enqueued = [queue.enqueue(functions[name[:4]], job_id=name, **callbacks) for name in names]

    command = ['worker', '--burst', '--quiet', '--url', redis_server.url, '--worker-class', f'rq.worker.{worker_class}']
    finished = run('-c', 'from rq.cli import main; main()', *command, QUEUE_NAME)

    assert finished.returncode == 0, finished.stderr
    seen = [json.loads(line) for line in connection.lrange(jobs.SEEN, 0, -1)]
    assert [what for what, _ in seen] == ['success', 'failure', 'success', 'success']
    for number, (job, (_, after)) in enumerate(zip(enqueued, seen, strict=True)):
        expected = {
            'started': True,
            'started ids': [job.id],
            'executions': 1,
            'finished': [name for name in names[:number] if name.startswith('look')],
            'failed': [name for name in names[:number] if name.startswith('fail')],
        }
        assert after == expected
        assert job.return_value() == (expected if job.id.startswith('look') else None)
    assert queue.started_job_registry.count == 0
    assert queue.failed_job_registry.get_job_ids() == ['fail-0']
    assert queue.finished_job_registry.get_job_ids() == ['look-0', 'look-1', 'look-2']
