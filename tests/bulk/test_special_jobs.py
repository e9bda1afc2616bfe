"""Jobs in groups, with rate limits, with webhooks and with large payloads: the scripts do what RQ's loop does."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq
from differential.world import HAS_RATE_LIMITS, HAS_WEBHOOKS, AJob, World

from rqreg_ext._bulk import script_runs
from rqreg_ext.registry import FailedJobRegistry

from .bulk_jobs import fill
from .looping import UNREADABLE, same_as_loop

if TYPE_CHECKING:
    from differential.comparison import Comparison
    from private_redis import PrivateRedis

STATUSES = ('failed', 'stopped')
LIMITS = ('rate_limit', 'wide_rate_limit') if HAS_RATE_LIMITS else ()
LIMITED = tuple(
    (limit, *more) for limit in LIMITS for more in ((), ('group', 'in_group'), ('waiting',), ('meta', 'ttl'))
)
TIES: tuple[tuple[str, ...], ...] = (
    ('group', 'in_group'),
    ('group', 'in_group', 'meta', 'ttl'),
    ('long_data',),
    ('long_data', 'meta'),
    *((('webhooks',), ('webhooks', 'long_data')) if HAS_WEBHOOKS else ()),
    *LIMITED,
)


def remove(registry: Any, job_id: str) -> None:
    registry.remove(job_id, delete_job=True)


def requeue(registry: Any, job_id: str) -> None:
    registry.requeue(job_id)


def requeue_at_front(registry: Any, job_id: str) -> None:
    registry.requeue(job_id, at_front=True)


def cancel(registry: Any, job_id: str) -> None:
    registry.job_class.fetch(job_id, connection=registry.connection, serializer=registry.serializer).cancel()


CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    'purge': (remove, lambda registry, ids: registry.purge()),
    'requeue_all': (requeue, lambda registry, ids: registry.requeue_all()),
    'requeue_all at_front': (requeue_at_front, lambda registry, ids: registry.requeue_all(at_front=True)),
    'cancel_many': (cancel, lambda registry, ids: registry.cancel_many(ids)),
}


def loop(comparison: Comparison, name: str, world: World) -> Any:
    step, call = CALLS[name]
    ids = [job.id for job in world.jobs]
    return same_as_loop(comparison, 'FailedJobRegistry', step, call, world, ids=ids)


@pytest.mark.covering(2)
@pytest.mark.parametrize('traits', TIES, ids=' '.join)
@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('name', CALLS)
def test_script_does_what_loop_does_with_special_jobs(
    comparison: Comparison, name: str, status: str, traits: tuple[str, ...]
) -> None:
    world = World(jobs=[AJob('a', status, traits), AJob('b', status), AJob('c', status, traits), AJob('d', status)])
    result = loop(comparison, name, world)
    # If a job has waited for longer, RQ gives it the slot.
    is_for_rq = name.startswith('requeue') and 'waiting' in traits
    assert (result.done, result.failed) == (4, [])
    assert (result.by_rq > 0) == is_for_rq


# What only RQ does, or complains about.
FOR_RQ: tuple[tuple[str, ...], ...] = (
    ('lost_group',),
    ('group',),
    ('group', 'in_group', 'running'),
    ('long_raw_data',),
    ('long_exc_info',),
    ('long_meta',),
    ('long_undecodable_description',),
    ('empty_data',),
    ('old_result', 'group', 'in_group'),
    *((('bad_webhooks',), ('webhook',)) if HAS_WEBHOOKS else ()),
    *((limit, state) for limit in LIMITS for state in ('allowed', 'running')),
)


@pytest.mark.parametrize(
    ('name', 'traits'),
    # purge() deletes jobs that RQ cannot load.
    [(name, traits) for name in CALLS for traits in FOR_RQ if name != 'purge' or not set(traits) & set(UNREADABLE)],
)
def test_jobs_left_to_rq_between_plain_ones_end_as_by_loop(
    comparison: Comparison, name: str, traits: tuple[str, ...]
) -> None:
    jobs = [AJob('a', 'failed'), *(AJob(job_id, 'failed', traits) for job_id in 'bcd'), AJob('e', 'failed')]
    loop(comparison, name, World(jobs=[*jobs, AJob('f', 'failed', traits), AJob('g', 'failed', ['group', 'in_group'])]))


@pytest.mark.parametrize('name', CALLS)
def test_group_is_gone_with_its_last_job(comparison: Comparison, connection: redis.Redis, name: str) -> None:
    """RQ finds no group for a job that comes after it."""
    for count in (1, 3):
        connection.flushdb()
        queue = rq.Queue('q', connection=connection)
        registry = FailedJobRegistry('q', connection=connection)
        for number in range(4):
            job = queue.create_job('len', job_id=f'job-{number}', status=rq.job.JobStatus.FAILED, group_id='crew')
            job.save()
            registry.add(job, 1000 + number)
            if number < count:
                connection.sadd('rq:group:crew', job.id)
        result = CALLS[name][1](registry, registry.get_job_ids())
        refused = [f'job-{number}' for number in range(count, 4)] if name == 'purge' else []
        assert [job_id for job_id, _ in result.failed] == refused
        assert (result.done, result.by_rq) == (4 - len(refused), 0)
        assert connection.scard('rq:group:crew') == (0 if name == 'purge' else count)


@pytest.mark.covering(1)
@pytest.mark.skipif(not HAS_WEBHOOKS, reason='this RQ has no webhooks')
@pytest.mark.parametrize(
    'webhooks',
    [
        '[{"url": "http://a/", "job_status": "failed", "method": "GET", "headers": {"a": "1", "a": ""}, "timeout": 1}]',
        '[{"url": "http://a/", "job_status": "failed", "method": "PUT", "headers": null, "timeout": 1}]',
        '[{"url": "ftp://a/", "job_status": "failed", "method": "GET", "headers": null, "timeout": 1}]',
        '[{"url": "http://[a/", "job_status": "failed", "method": "GET", "headers": null, "timeout": 1}]',
        '[{"url": "http://a/", "job_status": "failed", "method": "GET", "headers": null, "timeout": 0}]',
        '[{"url": "http://a/", "job_status": "failed", "method": "GET", "headers": null, "timeout": 01}]',
        '[{"url": "http://a/",  "job_status": "failed", "method": "GET", "headers": null, "timeout": 1}]',
        '[{"url": "http://a/", "job_status": "failed", "method": "GET", "headers": {"a": "\\u00e9"}, "timeout": 1}]',
        '[{"url": "http://a/", "job_status": "failed", "method": "GET", "headers": {"a": 1}, "timeout": 1}]',
        '[]',
    ],
)
@pytest.mark.parametrize('name', CALLS)
def test_webhooks_that_rq_writes_otherwise_end_as_by_loop(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch, name: str, webhooks: str
) -> None:
    from differential import world

    monkeypatch.setitem(world.FIELDS, 'webhook', {'webhooks': webhooks})
    loop(comparison, name, World(jobs=[AJob('a', 'failed', ['webhook']), AJob('b', 'failed', ['webhooks'])]))


@pytest.mark.skipif(not HAS_RATE_LIMITS, reason='this RQ has no rate limits')
@pytest.mark.parametrize('spoiled', ['rq:rl:site', 'rq:rl:site:allowed', 'rq:rl:site:rate_limited', 'rq:rl-keys'])
@pytest.mark.parametrize('name', CALLS)
def test_rate_limit_of_another_type_leaves_job_unchanged(connection: redis.Redis, name: str, spoiled: str) -> None:
    """The job is as it was, and RQ's error is reported."""
    queue = rq.Queue('q', connection=connection)
    registry = FailedJobRegistry('q', connection=connection)
    job = queue.create_job(
        'len', job_id='a', status=rq.job.JobStatus.FAILED, rate_limit=rq.rate_limit.RateLimit('site', 1)
    )
    job.save()
    registry.add(job, 1000)
    connection.set(spoiled, 'x')
    result = CALLS[name][1](registry, ['a'])
    is_used = spoiled != 'rq:rl-keys' or name.startswith('requeue')
    assert (result.total, len(result.failed)) == (1, int(is_used and result.done == 0))
    if result.failed:
        assert registry.get_job_ids(cleanup=False) == ['a']
        assert connection.hget('rq:job:a', 'status') == b'failed'


@pytest.mark.parametrize('fields', [{}, {'rate_limit_key': ''}], ids=['missing', 'empty'])
def test_job_without_name_of_rate_limit_is_deleted_by_script(connection: redis.Redis, fields: dict[str, str]) -> None:
    """To RQ, it has no rate limit."""
    registry = FailedJobRegistry('q', connection=connection)
    job = rq.Queue('q', connection=connection).create_job('len', job_id='a', status=rq.job.JobStatus.FAILED)
    job.save()
    registry.add(job, 1000)
    connection.hset('rq:job:a', mapping={**fields, 'rate_limit_concurrency': '1'})
    result = registry.purge()
    assert (result.done, result.by_rq) == (1, 0)
    assert not connection.exists('rq:job:a', registry.key)


@pytest.mark.parametrize('name', CALLS)
def test_scripts_do_not_read_large_data(connection: redis.Redis, redis_server: PrivateRedis, name: str) -> None:
    """A script would copy it several times, and block the server."""
    queue = rq.Queue('q', connection=connection)
    registry = FailedJobRegistry('q', connection=connection)
    for number in range(3):
        job = queue.create_job('len', (random.Random(number).randbytes(100_000),), job_id=f'job-{number}')
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        registry.add(job, 1000 + number)
    ids = registry.get_job_ids()
    with redis_server.client().monitor() as monitor:
        result = CALLS[name][1](registry, ids)
        connection.ping()
        sent = until_ping(monitor)
    assert (result.done, result.by_rq) == (3, 0)
    by_scripts = [command['command'].split() for command in sent if command['client_type'] == 'lua']
    assert by_scripts
    assert [words for words in by_scripts if 'data' in words and words[0] not in ('HSTRLEN', 'HEXISTS')] == []


def until_ping(monitor: Any) -> list[dict[str, Any]]:
    """Return the commands that the server has run before a PING."""
    commands = iter(monitor.listen())
    return list(takewhile(lambda command: command['command'] != 'PING', commands))


def test_dry_run_writes_nothing_to_groups(connection: redis.Redis) -> None:
    fill(connection, 12)
    connection.config_resetstat()
    result = FailedJobRegistry('q', connection=connection).purge(dry_run=True)
    assert (result.done, result.by_rq) == (12, 1)
    assert {'cmdstat_srem', 'cmdstat_zrem', 'cmdstat_unlink'} & connection.info('commandstats').keys() == set()


def test_long_data_of_many_jobs_is_read_in_one_round_trip(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rq.Queue('q', connection=connection)
    for number in range(8):
        job = queue.create_job('len', (random.randbytes(100_000),), job_id=f'job-{number}')
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        connection.zadd('rq:failed:q', {job.id: 4_000_000_000 + number})
    asked = []
    ask = script_runs.ask

    def noting_ask(client: Any, commands: Any, *others: Any) -> Any:
        asked.append([command[1] for command in commands])
        return ask(client, commands, *others)

    monkeypatch.setattr(script_runs, 'ask', noting_ask)
    result = FailedJobRegistry('q', connection=connection).requeue_all()
    assert (result.done, result.by_rq) == (8, 0)
    assert asked.count(['HGET'] * 8) == 1
    assert ['HGET'] not in asked
