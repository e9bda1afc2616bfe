"""wait_replicas=: each chunk is at the replicas, or the result says that it is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from host.patience import eventually
from private_redis import PrivateRedis

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry

from .bulk_jobs import call, fill

METHODS = ('purge', 'requeue_all', 'remove_many', 'requeue_many', 'cancel_many')
COUNT, CHUNK = 60, 30


@pytest.fixture(scope='module')
def master() -> Iterator[PrivateRedis]:
    with PrivateRedis() as server:
        yield server


@pytest.fixture(scope='module')
def replica(master: PrivateRedis) -> Iterator[PrivateRedis]:
    with PrivateRedis(replicaof=f'127.0.0.1 {master.port}') as server:
        client = server.client()
        assert eventually(lambda: client.info('replication')['master_link_status'] == 'up')
        yield server


def change(registry: Any, method: str, **options: Any) -> Any:
    if method in ('remove_many', 'requeue_many'):
        return getattr(registry, method)(registry.get_job_ids(), **options)
    return call(method, registry, **options)


@contextmanager
def paused(server: PrivateRedis) -> Iterator[None]:
    pid = server.client().info('server')['process_id']
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def plain_jobs(client: redis.Redis) -> FailedJobRegistry:
    """Fill the registry with jobs that scripts do."""
    import rq

    client.flushdb()
    queue = rq.Queue('q', connection=client)
    for number in range(COUNT):
        job = queue.create_job('len', job_id=f'job-{number}')
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        client.zadd('rq:failed:q', {job.id: 4_000_000_000 + number})
    return FailedJobRegistry('q', connection=client)


@pytest.mark.parametrize('method', METHODS)
def test_replica_has_each_chunk_after_wait(method: str, master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client())
    follower = replica.client()
    seen = []

    def progress(processed: int, total: Any) -> None:
        seen.append((processed, follower.zcard('rq:failed:q')))

    result = change(registry, method, chunk_size=CHUNK, progress=progress, wait_replicas=1)
    assert (result.done, result.unacknowledged) == (COUNT, 0)
    # Chunks may be smaller: a script stops after a certain time.
    assert seen == [(done, COUNT - done) for done, _ in seen]
    assert len(seen) >= COUNT // CHUNK
    assert seen[-1] == (COUNT, 0)


@pytest.mark.parametrize('method', METHODS)
def test_chunks_that_replicas_lack_are_counted(method: str, master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client(socket_timeout=10))
    chunks: list[Any] = []
    with paused(replica):
        result = change(registry, method, chunk_size=CHUNK, progress=lambda *seen: chunks.append(seen), wait_replicas=1)
    assert len(chunks) >= COUNT // CHUNK
    assert (result.done, result.unacknowledged) == (COUNT, len(chunks))
    assert result.to_dict()['unacknowledged'] == len(chunks)
    assert f'{len(chunks)} chunks not acknowledged by replicas' in str(result)
    assert (result + result).unacknowledged == 2 * len(chunks)


def test_removed_entries_are_waited_for(master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client(socket_timeout=10))
    with paused(replica):
        result = registry.purge(delete_job=False, chunk_size=CHUNK, wait_replicas=1)
    assert (result.done, result.unacknowledged) == (COUNT, COUNT // CHUNK)


def test_too_few_replicas_are_reported(master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client(socket_timeout=10))
    assert registry.purge(chunk_size=COUNT, wait_replicas=2).unacknowledged == 1


def test_script_that_the_server_does_not_know_is_waited_for(master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client(socket_timeout=10))
    master.client().script_flush()
    with paused(replica):
        assert registry.purge(chunk_size=COUNT, wait_replicas=1).unacknowledged == 1


def test_jobs_by_rq_count_as_not_acknowledged(master: PrivateRedis, replica: PrivateRedis) -> None:
    fill(master.client(), COUNT)
    result = FailedJobRegistry('q', connection=master.client()).purge(chunk_size=COUNT, wait_replicas=1)
    assert result.by_rq > 0
    assert (result.done, result.unacknowledged) == (COUNT, 1)


def test_without_wait_replicas_nothing_is_waited_for(master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client())
    before = master.client().info('commandstats').get('cmdstat_wait')
    assert registry.purge(chunk_size=CHUNK).unacknowledged == 0
    assert master.client().info('commandstats').get('cmdstat_wait') == before


def test_dry_run_waits_for_nothing(master: PrivateRedis, replica: PrivateRedis) -> None:
    registry = plain_jobs(master.client())
    with paused(replica):
        assert registry.purge(chunk_size=CHUNK, dry_run=True, wait_replicas=1).unacknowledged == 0


def test_chunks_of_all_queues_wait_for_replicas(master: PrivateRedis, replica: PrivateRedis) -> None:
    client = master.client(socket_timeout=10)
    plain_jobs(client)
    client.sadd('rq:queues', 'rq:queue:q')
    with paused(replica):
        assert rqreg_ext.requeue_all(client, chunk_size=COUNT, wait_replicas=1).total.unacknowledged == 1
    plain_jobs(client)
    client.sadd('rq:queues', 'rq:queue:q')
    assert rqreg_ext.purge(client, chunk_size=COUNT, wait_replicas=1).total.unacknowledged == 0


@pytest.mark.parametrize(('value', 'error'), [('1', TypeError), (True, TypeError), (1.5, TypeError), (-1, ValueError)])
def test_wrong_wait_replicas_is_refused(value: Any, error: type[Exception], master: PrivateRedis) -> None:
    registry = plain_jobs(master.client())
    for dry_run in (False, True):
        with pytest.raises(error, match=r'wait_replicas=.* is not a number of replicas: give one like 1'):
            registry.purge(wait_replicas=value, dry_run=dry_run)
    assert registry.count == COUNT


def test_denied_wait_raises_before_anything_is_changed(master: PrivateRedis) -> None:
    admin = master.client()
    registry = plain_jobs(admin)
    admin.execute_command('ACL', 'SETUSER', 'hasty', 'on', 'nopass', '~*', '+@all', '-wait')
    theirs = FailedJobRegistry('q', connection=master.client(username='hasty', password='any'))
    with pytest.raises(redis.exceptions.NoPermissionError):
        theirs.purge(wait_replicas=1)
    assert registry.count == COUNT


def test_wait_replicas_is_refused_with_wrapped_client(master: PrivateRedis) -> None:
    class Counting(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            return super().execute_command(*args, **options)

    registry = plain_jobs(master.client())
    theirs = FailedJobRegistry('q', connection=Counting(port=master.port))
    with pytest.raises(NotImplementedError, match='wait_replicas=1 needs an unmodified redis-py client'):
        theirs.purge(wait_replicas=1)
    assert registry.count == COUNT
