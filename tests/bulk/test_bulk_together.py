"""Concurrent bulk calls, with each other and with workers: each job is changed once, and none is lost."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq

from rqreg_ext.registry import FailedJobRegistry

from .bulk_jobs import METHODS, call, fill

if TYPE_CHECKING:
    from private_redis import PrivateRedis

    from rqreg_ext._bulk.result import BulkResult

COUNT, CHUNK = 600, 7
TESTS = Path(__file__).resolve().parent.parent


def at_once(server: PrivateRedis, *methods: str) -> list[BulkResult]:
    """Make calls at the same time, each with its own client."""
    barrier = Barrier(len(methods))

    def run(method: str) -> BulkResult:
        with server.client() as client:
            registry = FailedJobRegistry('q', connection=client)
            barrier.wait()
            return call(method, registry, chunk_size=CHUNK)

    with ThreadPoolExecutor(len(methods)) as threads:
        return list(threads.map(run, methods))


@pytest.mark.parametrize('method', METHODS)
def test_concurrent_equal_calls_change_each_job_once(
    redis_server: PrivateRedis, connection: redis.Redis, method: str
) -> None:
    ids = fill(connection, COUNT)
    queued_before = connection.llen('rq:queue:q')
    results = at_once(redis_server, *[method] * 3)
    # No job was changed twice.
    assert sum(result.done for result in results) == COUNT
    assert [result.failed for result in results] == [[]] * 3
    assert connection.zcard('rq:failed:q') == 0
    if method == 'purge':
        assert connection.keys('rq:job:*') == []
        assert connection.llen('rq:queue:q') == 0
    elif method == 'requeue_all':
        queued = connection.lrange('rq:queue:q', 0, -1)
        assert len(queued) == queued_before + COUNT
        assert {job_id.decode() for job_id in queued} == set(ids)
    else:
        assert connection.zcard('rq:canceled:q') == COUNT


@pytest.mark.parametrize('other', ['requeue_all', 'cancel_many'])
def test_concurrent_purge_and_other_call_change_each_job_once(
    redis_server: PrivateRedis, connection: redis.Redis, other: str
) -> None:
    ids = fill(connection, COUNT)
    connection.delete('rq:queue:q')
    purged, others = at_once(redis_server, 'purge', other)
    assert (purged.failed, others.failed) == ([], [])
    assert purged.done + others.done == COUNT
    left = {key.decode()[len('rq:job:') :] for key in connection.keys('rq:job:*')}
    assert len(left) == others.done
    if other == 'requeue_all':
        queued = [job_id.decode() for job_id in connection.lrange('rq:queue:q', 0, -1)]
        assert sorted(queued) == sorted(left)
    else:
        assert {job_id.decode() for job_id in connection.zrange('rq:canceled:q', 0, -1)} == left
    assert left <= set(ids)


WORKER = """
import sys
import redis
import rqreg_ext
from rq import Queue, SimpleWorker
if sys.argv[2] == 'accelerated':
    rqreg_ext.install()
client = redis.Redis(port=int(sys.argv[1]))
SimpleWorker([Queue('q', connection=client)], connection=client).work(burst=True, logging_level='ERROR')
"""


def start_worker(server: PrivateRedis, side: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, '-c', WORKER, str(server.port), side], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize('side', ['plain', 'accelerated'])
def test_purge_deletes_each_job_once_while_workers_fail_jobs(
    redis_server: PrivateRedis, connection: redis.Redis, side: str
) -> None:
    queue = rq.Queue('q', connection=connection)
    count = 150
    queue.enqueue_many([rq.Queue.prepare_data('len', args=(number,)) for number in range(count)])
    workers = [start_worker(redis_server, side) for _ in range(2)]
    registry = FailedJobRegistry('q', connection=connection)
    done = 0
    failed: list[Any] = []
    while any(worker.poll() is None for worker in workers):
        result = registry.purge(chunk_size=CHUNK)
        done += result.done
        failed += result.failed
    assert [worker.returncode for worker in workers] == [0, 0]
    done += registry.purge().done
    assert (done, failed) == (count, [])
    assert (queue.count, registry.count, queue.started_job_registry.count) == (0, 0, 0)


@pytest.mark.parametrize('side', ['plain', 'accelerated'])
def test_requeue_all_loses_no_job_while_workers_fail_jobs(
    redis_server: PrivateRedis, connection: redis.Redis, side: str
) -> None:
    queue = rq.Queue('q', connection=connection)
    count = 60
    jobs = queue.enqueue_many([rq.Queue.prepare_data('len', args=(number,)) for number in range(count)])
    ids = sorted(job.id for job in jobs)
    worker = start_worker(redis_server, side)
    registry = FailedJobRegistry('q', connection=connection)
    requeued = 0
    while requeued < 2 * count:
        result = registry.requeue_all(chunk_size=CHUNK)
        assert not result.failed
        requeued += result.done
        if worker.poll() is not None:
            # It ended because the queue was empty.
            worker = start_worker(redis_server, side)
    assert worker.wait() == 0
    # No job is lost or there twice.
    assert sorted([*registry.get_job_ids(), *queue.job_ids]) == ids
