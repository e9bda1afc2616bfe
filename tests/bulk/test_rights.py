"""Users with only the rights that RQ's loop needs: its commands are recorded, and our call gets the rights to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import rq.registry
from clients.rights import CONNECTING, NAME, PASSWORD, Limited, set_rules
from differential.database import differences, dump
from private_redis import PrivateRedis
from rq import Queue, Worker
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import DeferredJobRegistry, FailedJobRegistry, StartedJobRegistry

from .bulk_jobs import fill, pictures

COUNT = 24
NEVER = 4_000_000_000

Loop = Callable[[Any], Any]


@pytest.fixture
def limited(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Limited]:
    yield Limited(redis_server, connection)
    connection.execute_command('ACL', 'DELUSER', 'limited')


def registry_of_rq(client: Any) -> Any:
    return rq.registry.FailedJobRegistry('q', connection=client)


# ---- RQ's loops, and our calls that replace them


def remove_all(client: Any) -> None:
    registry = registry_of_rq(client)
    for job_id in registry.get_job_ids():
        registry.remove(job_id, delete_job=True)


def remove_entries(client: Any) -> None:
    registry = registry_of_rq(client)
    for job_id in registry.get_job_ids():
        registry.remove(job_id)


def remove_described(client: Any) -> None:
    registry = registry_of_rq(client)
    for job_id in registry.get_job_ids():
        if Job.fetch(job_id, connection=client).description:
            registry.remove(job_id, delete_job=True)


def remove_raised(client: Any) -> None:
    registry = registry_of_rq(client)
    for job_id in registry.get_job_ids():
        if not Job.fetch(job_id, connection=client).exc_info:
            registry.remove(job_id, delete_job=True)


def requeue_all(client: Any) -> None:
    registry = registry_of_rq(client)
    for job_id in registry.get_job_ids():
        registry.requeue(job_id)


def cancel_all(client: Any) -> None:
    for number in range(COUNT):
        Job.fetch(f'job-{number:04}', connection=client).cancel()


def list_and_cancel(client: Any) -> None:
    for job_id in registry_of_rq(client).get_job_ids():
        Job.fetch(job_id, connection=client).cancel()


def remove_given(client: Any) -> None:
    for number in range(COUNT):
        registry_of_rq(client).remove(f'job-{number:04}', delete_job=True)


def requeue_given(client: Any) -> None:
    for number in range(COUNT):
        registry_of_rq(client).requeue(f'job-{number:04}')


def move_given(client: Any) -> None:
    for number in range(COUNT):
        job = Job.fetch(f'job-{number:04}', connection=client)
        job.origin = 'low'
        client.sadd('rq:queues', 'rq:queue:low')
        registry_of_rq(client).requeue(job)


def in_all_queues(of_one: Loop) -> Loop:
    def loop(client: Any) -> None:
        Queue.all(connection=client)
        of_one(client)

    return loop


IDS = [f'job-{number:04}' for number in range(COUNT)]
CHANGES: dict[str, tuple[Loop, Callable[[Any], Any]]] = {
    'purge': (remove_all, lambda failed: failed.purge()),
    'purge entries': (remove_entries, lambda failed: failed.purge(delete_job=False)),
    'purge by score': (remove_all, lambda failed: failed.purge(min_score=1, max_score=NEVER * 2)),
    'purge by id': (remove_all, lambda failed: failed.purge(job_id='*')),
    'purge by field': (remove_described, lambda failed: failed.purge(description='*')),
    'remove_many': (remove_given, lambda failed: failed.remove_many(IDS, delete_job=True)),
    'requeue_all': (requeue_all, lambda failed: failed.requeue_all()),
    'requeue_all by field': (requeue_all, lambda failed: failed.requeue_all(description='*', max_score=NEVER * 2)),
    'requeue_many': (requeue_given, lambda failed: failed.requeue_many(IDS)),
    'move_many': (move_given, lambda failed: failed.move_many(IDS, 'low')),
    'cancel_many': (cancel_all, lambda failed: failed.cancel_many(IDS)),
    'cancel_all': (list_and_cancel, lambda failed: failed.cancel_all()),
    'purge of all queues': (
        in_all_queues(remove_all),
        lambda failed: rqreg_ext.purge(failed.connection, progress=lambda *counts: None).total,
    ),
    'requeue_all of all queues': (
        in_all_queues(requeue_all),
        lambda failed: rqreg_ext.requeue_all(failed.connection, limit=COUNT).total,
    ),
    'cancel_all of all queues': (
        in_all_queues(list_and_cancel),
        lambda failed: rqreg_ext.cancel_all(failed.connection, 'failed').total,
    ),
}


def refill(admin: redis.Redis) -> None:
    fill(admin, COUNT)
    admin.sadd('rq:queues', 'rq:queue:q')
    # Expired, so that cleanup() has work to do.
    admin.zadd('rq:failed:q', {'old': 1})


@pytest.mark.parametrize('name', CHANGES)
def test_rights_of_rq_loop_are_enough(limited: Limited, connection: redis.Redis, name: str) -> None:
    loop, call = CHANGES[name]
    refill(connection)
    commands = limited.commands_of(loop)
    assert not {'EVAL', 'EVALSHA', 'WATCH', 'ZCOUNT', 'ZSCORE'} & {*commands}
    left = pictures(connection, IDS)
    refill(connection)
    result = call(FailedJobRegistry('q', connection=limited.client_for(*commands)))
    assert (result.done, result.failed) == (COUNT, [])
    assert pictures(connection, IDS) == left


@pytest.mark.parametrize('name', ['purge', 'purge by score', 'purge entries', 'purge by field', 'requeue_all'])
def test_rights_of_rq_loop_are_enough_for_dry_run(limited: Limited, connection: redis.Redis, name: str) -> None:
    refill(connection)
    commands = limited.commands_of(CHANGES[name][0])
    refill(connection)
    connection.zrem('rq:failed:q', 'old')
    before = pictures(connection, IDS)
    failed = FailedJobRegistry('q', connection=limited.client_for(*commands))
    filters = {'purge by score': {'min_score': 1}, 'purge by field': {'description': '*'}}.get(name, {})
    if name.startswith('purge'):
        result = failed.purge(dry_run=True, delete_job=name != 'purge entries', **filters)
    else:
        result = failed.requeue_all(dry_run=True)
    assert (result.done, result.failed) == (COUNT, [])
    assert pictures(connection, IDS) == before


@pytest.mark.parametrize('name', ['remove_many', 'requeue_many', 'cancel_many'])
def test_job_outside_registry_is_unchanged(limited: Limited, connection: redis.Redis, name: str) -> None:
    loop, call = CHANGES[name]
    refill(connection)
    commands = limited.commands_of(loop)
    refill(connection)
    connection.zrem('rq:failed:q', IDS[0])
    connection.hset(f'rq:job:{IDS[0]}', 'status', 'queued')
    before = pictures(connection, IDS[:1])
    result = call(FailedJobRegistry('q', connection=limited.client_for(*commands)))
    assert (result.done, result.missing) == (COUNT - 1, 1)
    assert pictures(connection, IDS[:1]) == before


# What RQ's loop sends to find that a job is not in the registry.
LOOKS: dict[str, Loop] = {
    'in': lambda client: 'a' in registry_of_rq(client),
    'get_job_ids': lambda client: registry_of_rq(client).get_job_ids(),
}
BY_ID: dict[str, Callable[[Any, list[str]], Any]] = {
    'remove_many': lambda failed, ids: failed.remove_many(ids),
    'remove_many(delete_job)': lambda failed, ids: failed.remove_many(ids, delete_job=True),
    'requeue_many': lambda failed, ids: failed.requeue_many(ids),
    'cancel_many': lambda failed, ids: failed.cancel_many(ids),
}


@pytest.mark.parametrize('look', LOOKS)
@pytest.mark.parametrize('name', BY_ID)
def test_ids_are_missing_for_user_who_may_only_look(
    limited: Limited, connection: redis.Redis, name: str, look: str
) -> None:
    """If none of the jobs is in the registry, RQ's loop sends nothing else."""
    refill(connection)
    connection.delete('rq:failed:q')
    before = dump(connection)
    commands = limited.commands_of(LOOKS[look])
    result = BY_ID[name](FailedJobRegistry('q', connection=limited.client_for(*commands)), IDS)
    assert (result.missing, result.total) == (COUNT, COUNT)
    assert differences(before, dump(connection)) == []


@pytest.mark.parametrize('look', LOOKS)
@pytest.mark.parametrize('name', BY_ID)
@pytest.mark.parametrize('job_id', ['a', 'a:run', 'b:run'])
def test_unreadable_job_outside_registry_is_missing(
    limited: Limited, connection: redis.Redis, name: str, look: str, job_id: str
) -> None:
    refill(connection)
    commands = limited.commands_of(LOOKS[look])
    for loop in (cancel_all, requeue_given, remove_given):
        refill(connection)
        commands += limited.commands_of(loop)
    refill(connection)
    connection.hset('rq:job:a', 'created_at', 'never')
    connection.hset('rq:job:b:run', 'created_at', 'never')
    before = dump(connection)
    result = BY_ID[name](FailedJobRegistry('q', connection=limited.client_for(*commands)), [job_id])
    assert (result.missing, result.failed, result.total) == (1, [], 1)
    assert differences(before, dump(connection)) == []


def test_cancel_many_cancels_job_without_origin(limited: Limited, connection: redis.Redis) -> None:
    """With the right to list the registry, ZSCORE is not needed to see that the job is in it."""
    refill(connection)
    commands = limited.commands_of(lambda client: [registry_of_rq(client).get_job_ids(), cancel_all(client)])
    assert 'ZSCORE' not in commands
    refill(connection)
    connection.hset(f'rq:job:{IDS[0]}', 'origin', '')
    connection.zrem('rq:failed:q', IDS[1])
    result = FailedJobRegistry('q', connection=limited.client_for(*commands)).cancel_many(IDS)
    assert (result.done, result.missing, result.failed) == (COUNT - 1, 1, [])
    assert connection.hget(f'rq:job:{IDS[0]}', 'status') == b'canceled'


@pytest.mark.parametrize('name', ['purge', 'requeue_all'])
def test_entry_without_job_is_skipped_with_rights_of_loop(limited: Limited, connection: redis.Redis, name: str) -> None:
    loop, call = CHANGES[name]
    refill(connection)
    commands = limited.commands_of(loop)
    refill(connection)
    connection.delete(f'rq:job:{IDS[0]}')
    result = call(FailedJobRegistry('q', connection=limited.client_for(*commands)))
    assert (result.done, dict(result.skipped)) == (COUNT - 1, {'no such job': 1})
    # RQ's remove() removes the entry, its requeue() does not.
    assert connection.zcard('rq:failed:q') == (1 if name == 'requeue_all' else 0)


def test_filter_on_exc_info_needs_no_more_rights(limited: Limited, connection: redis.Redis) -> None:
    refill(connection)
    commands = limited.commands_of(remove_raised)
    refill(connection)
    for job_id in IDS[:5]:
        connection.hset(f'rq:job:{job_id}', 'exc_info', b'ValueError: no')
    failed = FailedJobRegistry('q', connection=limited.client_for(*commands))
    assert failed.purge(exc_info='ValueError').done == 5


# ---- Reads

READS: dict[str, tuple[Loop, Callable[[Any], Any], Callable[[Any], Any]]] = {
    'iter_job_ids': (
        lambda client: registry_of_rq(client).get_job_ids(cleanup=False),
        lambda client: registry_of_rq(client).get_job_ids(cleanup=False),
        lambda failed: list(failed.iter_job_ids(chunk_size=5)),
    ),
    'iter_job_ids from the end': (
        lambda client: registry_of_rq(client).get_job_ids(cleanup=False),
        lambda client: registry_of_rq(client).get_job_ids(cleanup=False, desc=True),
        lambda failed: list(failed.iter_job_ids(chunk_size=5, desc=True)),
    ),
    'iter_entries of some scores': (
        lambda client: registry_of_rq(client).get_job_ids(cleanup=False),
        lambda client: client.zrangebyscore('rq:failed:q', NEVER + 3, NEVER + 9, withscores=True),
        lambda failed: [
            (job_id.encode(), score)
            for job_id, score in failed.iter_entries(chunk_size=4, min_score=NEVER + 3, max_score=NEVER + 9)
        ],
    ),
    'find': (
        lambda client: Job.fetch_many(registry_of_rq(client).get_job_ids(), connection=client),
        lambda client: registry_of_rq(client).get_job_ids(cleanup=False)[1:],
        lambda failed: list(failed.find(func_name='len', chunk_size=7)),
    ),
    'find fields': (
        lambda client: Job.fetch_many(registry_of_rq(client).get_job_ids(), connection=client),
        lambda client: [(job_id, {'status': 'failed'}) for job_id in IDS],
        lambda failed: list(failed.find(fields=['status'], job_id='job-*')),
    ),
    'contains_many': (
        lambda client: 'a' in registry_of_rq(client),
        lambda client: [True, False],
        lambda failed: failed.contains_many([IDS[3], 'nobody']),
    ),
    'get_page': (
        lambda client: (registry_of_rq(client).get_job_ids(), registry_of_rq(client).count),
        lambda client: (COUNT, IDS[:5]),
        lambda failed: (failed.get_page(1, 5).total, failed.get_page(1, 5).job_ids),
    ),
    'get_jobs': (
        lambda client: (Job.fetch_many(registry_of_rq(client).get_job_ids(), client), registry_of_rq(client).count),
        lambda client: IDS[:5],
        lambda failed: [job.id for job in failed.get_jobs(1, 5)],
    ),
    'get_jobs of ids': (
        lambda client: [job and job.latest_result() for job in Job.fetch_many(IDS[:5], client)],
        lambda client: (IDS[:5], IDS[:5]),
        lambda failed: (
            [job and job.id for job in rqreg_ext.get_jobs(failed.connection, IDS[:5])],
            list(failed.get_jobs(ids=IDS[:5], with_results=True).results),
        ),
    ),
    'batch': (
        lambda client: (
            registry_of_rq(client).get_job_ids(),
            registry_of_rq(client).count,
            'a' in registry_of_rq(client),
        ),
        lambda client: (COUNT, True, IDS),
        lambda failed: batched(failed),
    ),
    'snapshot': (
        lambda client: [
            (queue.count, queue.failed_job_registry.count, Worker.all(connection=client))
            for queue in Queue.all(connection=client)
        ],
        lambda client: (COUNT, 2, {'busy': 1}),
        lambda failed: seen(rqreg_ext.snapshot(failed.connection, cleanup=True)),
    ),
    'clean_registries': (
        lambda client: rq.registry.clean_registries(Queue('q', connection=client)),
        lambda client: None,
        lambda failed: rqreg_ext.clean_registries(Queue('q', connection=failed.connection)),
    ),
}


def batched(failed: Any) -> Any:
    with rqreg_ext.batch(failed.connection) as batch:
        count, contains, ids = batch.count(failed), batch.contains(failed, IDS[0]), batch.get_job_ids(failed)
    return count.result(), contains.result(), ids.result()


def seen(taken: Any) -> Any:
    return taken['q'].failed, taken['q'].queued, taken.workers


@pytest.mark.parametrize('name', READS)
def test_rights_of_rq_reads_are_enough(limited: Limited, connection: redis.Redis, name: str) -> None:
    loop, expected, call = READS[name]
    refill(connection)
    connection.sadd('rq:workers', 'rq:worker:w')
    connection.hset('rq:worker:w', mapping={'state': 'busy', 'queues': 'q', 'birth': '2024-01-01T00:00:00.000000Z'})
    # A loop over all registries of a queue would send these too.
    commands = limited.commands_of(loop) + ['ZRANGEBYSCORE', 'ZRANGE'] * (name == 'snapshot')
    if name.startswith(('iter', 'find')):
        connection.zadd('rq:failed:q', {'old': NEVER - 1})
        if name == 'find fields':
            connection.zrem('rq:failed:q', 'old')
    expected_value = expected(connection)
    assert call(FailedJobRegistry('q', connection=limited.client_for(*commands))) == expected_value


def test_rights_of_rq_are_enough_for_started_jobs(limited: Limited, connection: redis.Redis) -> None:
    connection.zadd('rq:wip:q', {'a:1': NEVER, 'b:1': NEVER})

    def loop(client: Any) -> None:
        registry = rq.registry.StartedJobRegistry('q', connection=client)
        assert 'a' in registry
        assert registry.get_job_ids() == ['a', 'b']

    client = limited.client_for(*limited.commands_of(loop), 'ZCARD')
    started = StartedJobRegistry('q', connection=client)
    assert ('a' in started, 'x' in started) == (True, False)
    assert list(started.iter_job_ids()) == ['a', 'b']
    assert started.contains_many(['b', 'x']) == [True, False]
    page = started.get_page()
    assert (page.total, page.job_ids) == (2, ['a', 'b'])


@pytest.mark.skipif(not hasattr(rq.registry, 'ReadyJobRegistry'), reason='this RQ has no ready jobs')
def test_rights_of_rq_are_enough_for_ready_jobs(limited: Limited) -> None:
    from rqreg_ext.registry import ReadyJobRegistry

    commands = limited.commands_of(lambda client: rq.registry.ReadyJobRegistry('q', connection=client).get_job_ids())
    assert ReadyJobRegistry('q', connection=limited.client_for(*commands)).get_job_ids() == []


# ---- Without the right to one command that RQ's loop does not send

OWN = (
    'zcount', 'zrangebyscore', 'zrevrangebyscore', 'zrank', 'zscore', 'zmscore', 'hmget', 'type', 'llen', 'lrange',
    'time', 'watch', 'unlink', 'exists', 'zcard', 'hexists',
)  # fmt: skip


@pytest.mark.covering(1)
@pytest.mark.parametrize('denied', OWN)
@pytest.mark.parametrize('name', ['purge', 'purge by field', 'requeue_all', 'cancel_many', 'remove_many'])
def test_commands_that_rq_does_not_send_are_not_needed(
    limited: Limited, connection: redis.Redis, redis_server: PrivateRedis, name: str, denied: str
) -> None:
    """Scripts are allowed, whether they use the command or not."""
    refill(connection)
    commands = limited.commands_of(CHANGES[name][0])
    if denied.upper() in commands:
        pytest.skip("RQ's loop needs it too")
    left = pictures(connection, IDS)
    refill(connection)
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '~*', '+@all', f'-{denied}')
    client = redis_server.client(username='limited', password='x', retry=None)
    result = CHANGES[name][1](FailedJobRegistry('q', connection=client))
    assert (result.done, result.failed) == (COUNT, [])
    assert pictures(connection, IDS) == left


# ---- Without the right to one command that RQ's loop sends


def remove_one(client: Any) -> None:
    registry_of_rq(client).remove(IDS[0], delete_job=True)


def remove_one_entry(client: Any) -> None:
    registry_of_rq(client).remove(IDS[0])


def requeue_one(client: Any) -> None:
    registry_of_rq(client).requeue(IDS[0])


SINGLE: dict[str, tuple[Loop, Callable[[Any], Any]]] = {
    'remove(delete_job)': (remove_one, lambda failed: failed.remove(IDS[0], delete_job=True)),
    'remove': (remove_one_entry, lambda failed: failed.remove(IDS[0])),
    'requeue': (requeue_one, lambda failed: failed.requeue(IDS[0])),
}


# Bulk calls check the rights to these too. Single calls do not, as it would take a part of the time of one job.
NOT_ASKED_FOR_ONE_JOB = ('HGET', 'HGETALL', 'ZRANGE', 'ZREMRANGEBYSCORE')


def refill_with_plain_jobs(admin: redis.Redis, waiting: str = '') -> None:
    """Create jobs that a script can process, without groups and executions; `waiting` is also in its queue."""
    admin.flushdb()
    queue = Queue('q', connection=admin)
    admin.sadd('rq:queues', queue.key)
    for number, job_id in enumerate(IDS):
        queue.create_job('len', job_id=job_id, status='failed').save()  # type: ignore[arg-type]
        admin.zadd('rq:failed:q', {job_id: NEVER + number})
    if waiting:
        admin.rpush(queue.key, waiting)


def outcome_of(call: Callable[[Any], Any], client: Any) -> Any:
    """Return the error's type and the server's message, without redis-py's prefix for pipelines; 'done' for none."""
    try:
        call(client)
    except redis.RedisError as error:
        return type(error), str(error).rpartition('of pipeline caused error: ')[2]
    return 'done'


@pytest.mark.parametrize('waiting', ['', IDS[0]], ids=['empty queue', 'job in its queue'])
@pytest.mark.parametrize('name', [*SINGLE, *CHANGES])
def test_denied_command_of_rq_loop_has_same_outcome(
    limited: Limited, connection: redis.Redis, redis_server: PrivateRedis, name: str, waiting: str
) -> None:
    """Scripts are allowed, and could use other commands."""
    loop, call = {**SINGLE, **CHANGES}[name]
    refill_with_plain_jobs(connection, waiting)
    commands = limited.commands_of(loop)
    refused = set()
    for denied in sorted({*commands} - CONNECTING - {'MULTI', 'EXEC', 'WATCH'}):
        sides = []
        for make in (loop, lambda client: call(FailedJobRegistry('q', connection=client))):
            refill_with_plain_jobs(connection, waiting)
            before = dump(connection)
            set_rules(connection, ['~*', '+@all', f'-{denied}'])
            with redis_server.client(username=NAME, password=PASSWORD, retry=None) as client:
                outcome = outcome_of(make, client)
            sides.append((outcome, sorted(connection.keys('*')), pictures(connection, IDS)))
        if name == 'remove(delete_job)' and denied in NOT_ASKED_FOR_ONE_JOB:
            assert (sides[0][0][0], outcome) == (redis.exceptions.NoPermissionError, 'done')
            continue
        assert sides[0][0] == sides[1][0], denied
        if outcome != 'done':
            refused.add(denied)
        if name in CHANGES and outcome != 'done':
            # RQ's loop leaves its first job half done; a bulk call changes nothing, but that the queue that jobs are to
            # be moved to is listed.
            left = dump(connection)
            if name == 'move_many':
                before.pop(b'rq:queues'), left.pop(b'rq:queues')
            assert differences(before, left) == [], denied
        else:
            assert sides[0] == sides[1], denied
    assert refused


def test_iteration_continues_when_rights_are_revoked(
    limited: Limited, connection: redis.Redis, redis_server: PrivateRedis
) -> None:
    ids = [f'{number:03}' for number in range(100)]
    connection.zadd('rq:deferred:q', {job_id: number for number, job_id in enumerate(ids)})
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '~*', '+@all')
    client = redis_server.client(username='limited', password='x')
    walk = DeferredJobRegistry('q', connection=client).iter_job_ids(chunk_size=10)
    read = [next(walk) for _ in range(25)]
    connection.execute_command('ACL', 'SETUSER', 'limited', '-zrank', '-zcount')
    # An entry that was already returned is gone, so the next chunk asks for ranks.
    connection.zrem('rq:deferred:q', *ids[:3])
    assert read + list(walk) == ids
