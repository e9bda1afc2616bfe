"""WaitingJobs: what is left of jobs that are deleted, canceled and moved, as by RQ's methods one by one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
import redis
import rq
from clients.rights import Limited
from depth import IS_DEEP
from private_redis import PrivateRedis
from redis.exceptions import ResponseError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.group import Group
from rq.job import Job

import rqreg_ext
from bulk.test_move_many import restore, snapshot_of, state
from rqreg_ext import BulkResult, WaitingJobs

KEY = 'rq:queue:q'
PLAIN = ('plain', 'meta', 'ttl', 'long', 'results', 'finished dependency', 'crew')
ODD = ('gone', 'twice', 'dependents', 'started', 'canceled', 'other origin', 'failed before', 'unreadable', 'odd group')


def fill(connection: Any, kinds: list[str]) -> list[str]:
    """Enqueue a job of each kind in the queue q; return their ids, each once."""
    connection.flushdb()
    queue = rq.Queue('q', connection=connection)
    finished = queue.enqueue('len', job_id='finished')
    queue.remove(finished)
    connection.hset(finished.key, 'status', 'finished')
    groups = {
        'crew': Group.create(connection=connection, name='crew'),
        'odd group': Group.create(connection=connection, name='équipe'),
    }
    for number, kind in enumerate(kinds):
        job = queue.enqueue(
            'len',
            'x' * (100 if kind != 'long' else 200_000),
            job_id=f'job-{number:04}',
            meta={'n': number % 3} if kind == 'meta' else None,
            ttl=5000 if kind == 'ttl' else None,
            depends_on=finished if kind == 'finished dependency' else None,
        )
        if kind in groups:
            connection.hset(job.key, 'group_id', groups[kind].name)
            connection.sadd(groups[kind].key, job.id)
        elif kind == 'gone':
            connection.delete(job.key)
        elif kind == 'twice':
            connection.rpush(KEY, job.id)
        elif kind == 'dependents':
            queue.enqueue('len', depends_on=job, job_id=f'after-{number}')
        elif kind in ('started', 'canceled'):
            connection.hset(job.key, 'status', kind)
        elif kind == 'other origin':
            connection.hset(job.key, 'origin', 'other')
            connection.rpush('rq:queue:other', job.id)
        elif kind == 'failed before':
            job._exc_info = 'Traceback'
            job.save()
        elif kind == 'unreadable':
            connection.hset(job.key, 'created_at', 'yesterday')
        elif kind == 'results':
            connection.xadd(f'rq:results:{job.id}', {'type': '1'})
    return list(dict.fromkeys(rq.Queue('q', connection=connection).job_ids))


# ---- By RQ, one by one


def delete_by_rq(queue: rq.Queue, job_id: str) -> None:
    try:
        job = Job.fetch(job_id, connection=queue.connection)
    except NoSuchJobError:
        queue.remove(job_id)
        return
    if job.origin != queue.name:
        queue.remove(job_id)
    job.delete()


def cancel_by_rq(queue: rq.Queue, job_id: str) -> None:
    job = Job.fetch(job_id, connection=queue.connection)
    job.cancel()
    if job.origin != queue.name:
        queue.remove(job_id)


def move_by_rq(queue: rq.Queue, job_id: str) -> None:
    job = Job.fetch(job_id, connection=queue.connection)
    if job.is_queued and job.origin == queue.name:
        queue.remove(job)
        rq.Queue('low', connection=queue.connection).enqueue_job(job)


Change = Callable[[WaitingJobs, list[str]], BulkResult]
CHANGES: dict[str, tuple[Callable[[rq.Queue, str], object], Change]] = {
    'drop': (lambda queue, job_id: queue.remove(job_id), lambda waiting, ids: waiting.remove_many(ids)),
    'delete': (delete_by_rq, lambda waiting, ids: waiting.remove_many(ids, delete_job=True)),
    'cancel': (cancel_by_rq, lambda waiting, ids: waiting.cancel_many(ids)),
    'move': (move_by_rq, lambda waiting, ids: waiting.move_many(ids, 'low')),
}


def by_rq(connection: Any, change: str, ids: list[str]) -> dict[bytes, Any]:
    """Do it by RQ's methods; return what is left, and restore the database."""
    copy = snapshot_of(connection)
    for job_id in ids:
        with contextlib.suppress(NoSuchJobError, InvalidJobOperation, ValueError):
            CHANGES[change][0](rq.Queue('q', connection=connection), job_id)
    expected = masked(state(connection))
    restore(connection, copy)
    return expected


def masked(found: dict[bytes, Any]) -> dict[bytes, Any]:
    """Hide the time when a job was canceled."""
    return {
        key: (kind, [member for member, _ in value] if kind == b'zset' else value, ttl)
        for key, (kind, value, ttl) in found.items()
    }


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize('seed', range(60 if IS_DEEP else 8))
def test_changed_waiting_jobs_leave_same_keys_as_by_rq(change: str, seed: int, connection: redis.Redis) -> None:
    chances = random.Random(seed)
    kinds = chances.choices([*PLAIN, *ODD], k=chances.choice([3, 40, 150]))
    ids = fill(connection, kinds)
    chosen = [job_id for job_id in ids if chances.random() < chances.choice([0.2, 1])]
    chances.shuffle(chosen)
    # What RQ cannot delete, as it cannot load it, is deleted by us.
    if change == 'delete':
        chosen = [job_id for job_id in chosen if connection.hget(f'rq:job:{job_id}', 'created_at') != b'yesterday']
    expected = by_rq(connection, change, chosen)
    waiting = WaitingJobs('q', connection=connection)
    result = CHANGES[change][1](waiting, chosen)
    assert masked(state(connection)) == expected
    assert (result.total, result.missing) == (len(chosen), 0)


@pytest.mark.parametrize('change', CHANGES)
def test_plain_waiting_jobs_need_no_method_of_rqs(change: str, connection: redis.Redis) -> None:
    ids = fill(connection, [*PLAIN] * 30)
    result = CHANGES[change][1](WaitingJobs('q', connection=connection), ids)
    assert (result.done, result.by_rq) == (len(ids), 0)


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize('denied', [('eval', 'evalsha'), ('lset',)])
def test_waiting_jobs_are_changed_by_rq_without_the_script(
    change: str, denied: tuple[str, ...], connection: redis.Redis, client_without: Any
) -> None:
    ids = fill(connection, [*PLAIN, *ODD])
    expected = by_rq(connection, change, [job_id for job_id in ids if job_id[-2:] != '14'])
    result = CHANGES[change][1](
        WaitingJobs('q', connection=client_without(*denied)), [job_id for job_id in ids if job_id[-2:] != '14']
    )
    assert masked(state(connection)) == expected
    assert result.done == result.by_rq


@pytest.mark.parametrize('change', [*CHANGES, 'purge', 'find'])
def test_rights_of_rqs_loop_are_enough_for_waiting_jobs(
    change: str, connection: redis.Redis, redis_server: PrivateRedis
) -> None:
    """It lists the queue, and sends no LLEN."""
    by_one, ours = {
        **CHANGES,
        'purge': (delete_by_rq, lambda waiting, ids: waiting.purge()),
        'find': (lambda queue, job_id: Job.fetch(job_id, queue.connection), lambda waiting, ids: list(waiting.find())),
    }[change]
    ids = fill(connection, [*PLAIN])
    copy = snapshot_of(connection)

    def loop(client: Any) -> None:
        queue = rq.Queue('q', connection=client)
        for job_id in queue.get_job_ids():
            by_one(queue, job_id)

    limited = Limited(redis_server, connection)
    commands = limited.commands_of(loop)
    expected = masked(state(connection))
    assert 'LLEN' not in commands
    restore(connection, copy)
    with limited.client_for(*commands) as client:
        ours(WaitingJobs('q', connection=client), ids)
    connection.execute_command('ACL', 'DELUSER', 'limited')
    assert masked(state(connection)) == expected


@pytest.mark.parametrize('change', CHANGES)
def test_dry_run_counts_same_and_changes_nothing(change: str, connection: redis.Redis) -> None:
    ids = [*fill(connection, [*PLAIN, *ODD] * 3), 'nothing']
    waiting = WaitingJobs('q', connection=connection)
    before = state(connection)
    options: dict[str, Any] = {'dry_run': True}
    dry = {
        'drop': lambda: waiting.remove_many(ids, **options),
        'delete': lambda: waiting.remove_many(ids, delete_job=True, **options),
        'cancel': lambda: waiting.cancel_many(ids, **options),
        'move': lambda: waiting.move_many(ids, 'low', **options),
    }[change]()
    assert state(connection) == before
    result = CHANGES[change][1](waiting, ids)
    assert (dry.done, dry.missing, dry.skipped) == (result.done, result.missing, result.skipped)
    assert [job_id for job_id, _ in dry.failed] == [job_id for job_id, _ in result.failed]


# ---- cancel_all()


def test_cancel_all_leaves_what_rqs_loop_leaves(connection: redis.Redis) -> None:
    ids = fill(connection, PLAIN * 3)
    expected = by_rq(connection, 'cancel', ids)
    result = WaitingJobs('q', connection=connection).cancel_all()
    assert (result.done, result.failed) == (len(ids), [])
    assert masked(state(connection)) == expected


def test_cancel_all_by_filter(connection: redis.Redis) -> None:
    ids = fill(connection, ['plain', 'meta', 'meta', 'meta'] * 10)
    waiting = WaitingJobs('q', connection=connection)
    matching = [job_id for number, job_id in enumerate(ids) if number % 4 and number % 3 == 1]
    assert waiting.cancel_all(meta={'n': 1}, dry_run=True).done == len(matching) == 10
    assert waiting.cancel_all(meta={'n': 1}, limit=4).done == 4
    assert waiting.cancel_all(meta={'n': 1}).done == 6
    assert waiting.get_job_ids() == [job_id for job_id in ids if job_id not in matching]
    assert connection.zcard('rq:canceled:q') == 10


# ---- purge()


def test_purge_skips_missing_jobs_and_empties_queue(connection: redis.Redis) -> None:
    fill(connection, [*PLAIN, 'gone'] * 200)
    waiting = WaitingJobs('q', connection=connection)
    reports: list[tuple[int, int]] = []
    result = waiting.purge(progress=lambda *counts: reports.append(counts))
    assert (result.done, result.skipped, result.failed) == (1400, {'no such job': 200}, [])
    assert (waiting.count, reports[-1]) == (0, (1600, 1600))
    assert list(connection.scan_iter('rq:job:job-*')) == []


def test_purge_by_filter_leaves_others_over_many_chunks(connection: redis.Redis) -> None:
    ids = fill(connection, ['plain', 'meta', 'meta', 'meta'] * 700)
    waiting = WaitingJobs('q', connection=connection)
    result = waiting.purge(meta={'n': 1})
    left = [job_id for number, job_id in enumerate(ids) if number % 4 == 0 or number % 3 != 1]
    assert (waiting.get_job_ids(), result.done, result.by_rq) == (left, len(ids) - len(left), 0)


def test_purge_leaves_what_is_enqueued_meanwhile(connection: redis.Redis) -> None:
    fill(connection, ['plain'] * 2500)
    queue = rqreg_ext.Queue('q', connection=connection)

    def enqueue(done: int, total: int) -> None:
        queue.enqueue('len', job_id=f'new-{done}')
        connection.lpop(KEY)

    result = queue.waiting_jobs.purge(progress=enqueue)
    assert [job_id for job_id in queue.job_ids if not job_id.startswith('new-')] == []
    assert queue.count > 2
    assert result.done + result.missing <= 2500


def test_waiting_jobs_that_moved_far_are_searched_again(connection: redis.Redis) -> None:
    ids = fill(connection, ['plain'] * 300)
    waiting = WaitingJobs('q', connection=connection)
    numbers = iter(range(100_000))

    def push(done: int, total: int) -> None:
        connection.rpush(KEY, *(f'new-{next(numbers)}' for _ in range(1000)))
        connection.lpop(KEY)

    result = waiting.remove_many(ids, delete_job=True, chunk_size=50, progress=push)
    assert result.done + result.missing == 300
    # A worker has taken some of them.
    assert 0 < result.missing < 50
    assert not set(ids) & set(waiting.get_job_ids())


def test_job_taken_by_worker_counts_as_missing(connection: redis.Redis) -> None:
    ids = fill(connection, ['plain'] * 5)
    connection.lpop(KEY)
    waiting = WaitingJobs('q', connection=connection)
    result = waiting.remove_many([*ids, 'nothing'], delete_job=True)
    assert (result.done, result.missing) == (4, 2)
    assert connection.exists(f'rq:job:{ids[0]}')


def test_moved_rate_limited_job_keeps_its_slot(connection: redis.Redis) -> None:
    rate_limit = pytest.importorskip('rq.rate_limit')
    queue = rqreg_ext.Queue('q', connection=connection)
    for number in range(2):
        queue.enqueue('os.getpid', job_id=f'job-{number}', rate_limit=rate_limit.RateLimit('mails', 1))
    assert queue.job_ids == ['job-0']
    result = queue.waiting_jobs.move_many(['job-0'], 'low')
    low = rq.Queue('low', connection=connection)
    assert (result.done, low.job_ids, queue.job_ids) == (1, ['job-0'], [])
    rq.SimpleWorker([low, queue], connection=connection).work(burst=True)
    assert [Job.fetch(f'job-{number}', connection=connection).get_status() for number in range(2)] == ['finished'] * 2


def test_move_many_keeps_order_at_end_and_at_front(connection: redis.Redis) -> None:
    ids = fill(connection, ['plain'] * 6)
    waiting = WaitingJobs('q', connection=connection)
    assert waiting.move_many([ids[4], ids[1]], 'low').done == 2
    assert waiting.move_many(ids[2:4], rq.Queue('low', connection=connection), at_front=True).done == 2
    assert rq.Queue('low', connection=connection).job_ids == [ids[3], ids[2], ids[4], ids[1]]
    assert waiting.get_job_ids() == [ids[0], ids[5]]


def test_moved_job_without_timeout_gets_that_of_other_queue(connection: redis.Redis) -> None:
    (job_id,) = fill(connection, ['plain'])
    connection.hdel(f'rq:job:{job_id}', 'timeout')
    other = rq.Queue('low', connection=connection, default_timeout=77)
    assert WaitingJobs('q', connection=connection).move_many([job_id], other).by_rq == 0
    assert connection.hget(f'rq:job:{job_id}', 'timeout') == b'77'


def test_key_of_another_type_raises_wrongtype_and_stays(connection: redis.Redis) -> None:
    connection.set(KEY, 'text')
    waiting = WaitingJobs('q', connection=connection)
    for call in (
        lambda: waiting.purge(),
        lambda: waiting.cancel_all(),
        lambda: waiting.remove_many(['a']),
        lambda: waiting.cancel_many(['a']),
        lambda: waiting.move_many(['a'], 'low'),
    ):
        with pytest.raises(ResponseError, match='WRONGTYPE'):
            call()
    assert connection.get(KEY) == b'text'


def test_wrong_arguments_of_waiting_jobs_raise(connection: redis.Redis) -> None:
    waiting = WaitingJobs('q', connection=connection)
    with pytest.raises(TypeError, match='takes no min_score'):
        waiting.purge(min_score=5)
    for call in (waiting.purge, waiting.cancel_all):
        with pytest.raises(TypeError, match='takes its arguments by name'):
            call('len')  # type: ignore[call-arg]
    with pytest.raises(ValueError, match='is the queue that the jobs are in'):
        waiting.move_many([], 'q')
    with pytest.raises(TypeError, match='not a collection'):
        waiting.cancel_many('abc')
