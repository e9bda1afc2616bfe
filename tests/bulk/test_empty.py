"""WaitingJobs.empty(): what Queue.empty() leaves, in chunks."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import pytest
import redis
import rq
from clients.recording import Recorder
from depth import IS_DEEP
from differential.database import dump
from private_redis import PrivateRedis
from redis.exceptions import NoPermissionError, ResponseError
from rq.group import Group

import rqreg_ext
from rqreg_ext import BulkResult, WaitingJobs
from rqreg_ext._fastpath.releases import release

KEY = 'rq:queue:q'


def fill(connection: Any, count: int, chances: random.Random) -> None:
    """Put jobs of all kinds into the queue q, and into another one."""
    queue = rq.Queue('q', connection=connection)
    other = rq.Queue('other', connection=connection)
    group = Group.create(connection=connection, name='crew')
    ids = []
    for number in range(count):
        job = queue.enqueue('len', 'x' * number, job_id=f'job-{number}', meta={'n': number})
        ids.append(job.id)
        kind = chances.randrange(10)
        if kind == 0:
            connection.delete(job.key)
        elif kind == 1:
            other.enqueue('len', depends_on=job, job_id=f'after-{number}')
        elif kind == 2:
            connection.rpush(KEY, *chances.sample(ids, 1))
        elif kind == 3:
            connection.hset(job.key, 'group_id', group.name)
            connection.sadd(group.key, job.id)
        elif kind == 4:
            connection.xadd(f'rq:results:{job.id}', {'type': '1'})
        elif kind == 5:
            connection.zadd('rq:failed:q', {job.id: 4e9})
        elif kind == 6:
            connection.hset(job.key, 'origin', 'other')
        elif kind == 7:
            connection.delete(job.key)
            connection.set(job.key, 'no hash')


@pytest.mark.parametrize('seed', range(100 if IS_DEEP else 10))
def test_empty_leaves_same_keys_as_rq(connection: redis.Redis, seed: int) -> None:
    chances = random.Random(seed)
    fill(connection, chances.choice([0, 1, 70, 200]), chances)
    copy = {key: connection.dump(key) for key in connection.scan_iter()}
    count = rq.Queue('q', connection=connection).empty()
    expected = dump(connection)
    connection.flushdb()
    for key, value in copy.items():
        connection.restore(key, 0, value)
    result = WaitingJobs('q', connection=connection).empty(chunk_size=chances.choice([1, 64, 2000]))
    assert dump(connection) == expected
    assert (result.total, result.by_rq) == (count, 0)


def test_entry_of_missing_job_counts_as_skipped(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    for number in range(5):
        queue.enqueue('len', job_id=f'job-{number}')
    connection.delete('rq:job:job-2')
    before = dump(connection)
    assert queue.waiting_jobs.empty(dry_run=True).done == 5
    assert dump(connection) == before
    reports: list[tuple[int, int]] = []
    result = queue.waiting_jobs.empty(progress=lambda *counts: reports.append(counts), chunk_size=2)
    assert (result.done, result.skipped) == (4, Counter({'no such job': 1}))
    assert reports == [(2, 5), (4, 5), (5, 5)]
    assert queue.waiting_jobs.empty().total == 0


def test_progress_ends_empty_and_second_call_does_the_rest(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    for number in range(10):
        queue.enqueue('len', job_id=f'job-{number}')
    result = queue.waiting_jobs.empty(progress=lambda done, total: False, chunk_size=3)
    assert (result.done, result.stopped, queue.job_ids) == (3, True, [f'job-{number}' for number in range(3, 10)])
    assert queue.waiting_jobs.empty().done == 7

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    queue.enqueue('len')
    with pytest.raises(KeyboardInterrupt) as raised:
        queue.waiting_jobs.empty(progress=fail)
    found: BulkResult = raised.value.result  # type: ignore[attr-defined]
    assert (found.done, found.interrupted) == (1, True)


def test_empty_leaves_jobs_that_are_enqueued_meanwhile(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    for number in range(10):
        queue.enqueue('len', job_id=f'job-{number}')

    def enqueue(done: int, total: int) -> None:
        queue.enqueue('len', job_id=f'new-{done}')
        # A worker has taken one.
        connection.lpop(KEY)

    result = queue.waiting_jobs.empty(chunk_size=2, progress=enqueue)
    # The worker has taken a job after each chunk, at last a new one.
    assert (result.done, queue.job_ids) == (7, ['new-4', 'new-6', 'new-7'])


def test_empty_loses_no_job_of_concurrent_workers_and_producers(
    connection: redis.Redis, redis_server: PrivateRedis
) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    payload = connection.dump(queue.enqueue('len').key)
    ids = [f'job-{number}' for number in range(20_000)]
    with connection.pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.restore(f'rq:job:{job_id}', 0, payload)
        pipeline.rpush(KEY, *ids)
        pipeline.execute()
    taken: list[str] = []
    is_over = threading.Event()

    def work() -> None:
        client = redis_server.client()
        while not is_over.is_set():
            job_id = client.lpop(KEY)
            if job_id is not None:
                taken.append(job_id.decode())
        client.close()

    worker = threading.Thread(target=work)
    worker.start()
    result = queue.waiting_jobs.empty()
    is_over.set()
    worker.join()
    left = {key.decode().removeprefix('rq:job:') for key in connection.scan_iter('rq:job:*')}
    assert left == set(taken)
    assert result.done + len(taken) == 20_001


# ---- Without the script


@pytest.mark.parametrize('commands', [('evalsha', 'eval'), ('unlink',), ('ltrim',), ('hstrlen',)])
@pytest.mark.parametrize('limit', [None, 150])
def test_empty_deletes_jobs_one_by_one_if_script_is_refused(
    client_without: Any, connection: redis.Redis, commands: Any, limit: int | None
) -> None:
    """RQ's is a script, too."""
    fill(connection, 200, random.Random(1))
    expected = dump(connection)
    waiting = connection.lrange(KEY, 0, -1)
    for job_id in waiting[:limit]:
        # As RQ's script does; it leaves results before RQ 3.
        results = (b'rq:results:%s',) if release.deletes_results else ()
        for key in (b'rq:job:%s', b'rq:job:%s:dependents', *results):
            expected.pop(key % job_id, None)
    reports: list[int] = []
    client = client_without(*commands)
    result = WaitingJobs('q', connection=client).empty(limit=limit, progress=lambda done, _: reports.append(done))
    count = limit or len(waiting)
    assert connection.lrange(KEY, 0, -1) == waiting[count:]
    assert (result.done, result.skipped) == (result.by_rq, {'no such job': count - result.done})
    assert count > result.done > count // 2
    left = dump(connection)
    assert {**left, KEY.encode(): None} == {**expected, KEY.encode(): None}
    assert reports == [*range(100, count, 100), count]


@pytest.mark.parametrize(('limit', 'dry_run'), [(None, False), (2, False), (None, True)])
def test_empty_needs_no_right_to_count(
    client_without: Any, connection: redis.Redis, limit: int | None, dry_run: bool
) -> None:
    queue = rq.Queue('q', connection=connection)
    for _ in range(5):
        queue.enqueue('len')
    result = WaitingJobs('q', connection=client_without('llen')).empty(limit=limit, dry_run=dry_run)
    done = limit or 5
    assert (result.done, queue.count) == (done, 5 if dry_run else 5 - done)


@pytest.mark.parametrize('denied', ['unlink', 'hstrlen', 'exists', 'lindex', 'llen', 'ltrim', 'time'])
def test_empty_leaves_all_jobs_to_rq_if_script_lacks_a_right(
    client_without: Any, connection: redis.Redis, denied: str
) -> None:
    """What it had deleted would not be counted."""
    queue = rq.Queue('q', connection=connection)
    jobs = [queue.enqueue('len') for _ in range(150)]
    # Of another batch.
    connection.delete(jobs[-1].key)
    result = WaitingJobs('q', connection=client_without(denied)).empty()
    assert (result.done, result.by_rq, result.skipped, queue.count) == (149, 149, {'no such job': 1}, 0)


class Slow(redis.Redis):
    """Is used by its methods. A worker takes the first job behind each listing."""

    worker: redis.Redis

    def lrange(self, name: Any, start: int, end: int) -> Any:
        found = super().lrange(name, start, end)
        if (start, end) != (-1, -1):
            self.worker.lpop(name)
        return found


@pytest.mark.parametrize('limit', [None, 3])
def test_empty_without_script_keeps_job_that_worker_takes(
    connection: redis.Redis, redis_server: PrivateRedis, limit: int | None
) -> None:
    queue = rq.Queue('q', connection=connection)
    for number in range(4):
        queue.enqueue('len', job_id=f'job-{number}')
    with Slow(port=redis_server.port) as client:
        client.worker = connection
        result = WaitingJobs('q', connection=client).empty(limit=limit)
    assert (result.done, queue.count) == ((limit or 4) - 1, 4 - (limit or 4))
    assert connection.exists('rq:job:job-0')
    assert not connection.exists('rq:job:job-1', 'rq:job:job-2')


def test_empty_changes_nothing_if_deletion_is_refused(client_without: Any, connection: redis.Redis) -> None:
    queue = rq.Queue('q', connection=connection)
    for _ in range(3):
        queue.enqueue('len')
    before = dump(connection)
    with pytest.raises(NoPermissionError, match='del'):
        WaitingJobs('q', connection=client_without('evalsha', 'eval', 'del')).empty()
    assert dump(connection) == before


# ---- By a method that replaces RQ's


def test_replaced_empty_is_called(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Kept(rqreg_ext.Queue):
        def empty(self) -> int:
            calls.append(self.name)
            return 7

    assert Kept('q', connection=connection).waiting_jobs.empty().total == 0
    connection.rpush(KEY, 'a')
    assert Kept('q', connection=connection).waiting_jobs.empty().by_rq == 7
    monkeypatch.setattr(rq.Queue, 'empty', lambda self: calls.append('patched') or 1)
    assert WaitingJobs('q', connection=connection).empty().by_rq == 1
    assert calls == ['q', 'patched']


def test_key_of_another_type_raises_wrongtype(connection: redis.Redis) -> None:
    connection.set(KEY, 'text')
    with pytest.raises(ResponseError, match='WRONGTYPE'):
        WaitingJobs('q', connection=connection).empty()


def test_long_data_ends_a_batch(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    for number in range(10):
        job = queue.enqueue('len', job_id=f'job-{number}')
        connection.hset(job.key, 'data', b'x' * 700_000)
    result = queue.waiting_jobs.empty()
    assert (result.done, list(connection.scan_iter('rq:job:*')), queue.count) == (10, [], 0)


def test_wrong_chunk_size_and_progress_raise(connection: redis.Redis) -> None:
    waiting = WaitingJobs('q', connection=connection)
    with pytest.raises(ValueError, match='chunk_size=0'):
        waiting.empty(chunk_size=0)
    with pytest.raises(TypeError, match='progress='):
        waiting.empty(progress=5)  # type: ignore[arg-type]


def test_empty_sends_one_script_per_chunk(connection: redis.Redis, redis_server: PrivateRedis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    for _ in range(10):
        queue.enqueue('len')
    with Recorder(redis_server.port) as recorder, redis.Redis(port=recorder.port) as client:
        assert WaitingJobs('q', connection=client).empty(chunk_size=5).done == 10
        sent = [name for name in recorder.commands if name in ('EVALSHA', 'LLEN', 'LRANGE', 'LPOP')]
    assert sent == ['LLEN', 'LRANGE', 'EVALSHA', 'EVALSHA']
