"""requeue_all() and requeue_many() do what RQ's loop over requeue() does, and leave the same keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq
from differential.comparison import Call, Setup
from differential.database import differences, dump
from differential.strategies import setups, worlds
from differential.world import STATUSES, TRAITS, AJob, Entry, World
from rq.exceptions import InvalidJobOperation

import rqreg_ext
from rqreg_ext.executions import ExecutionRegistry
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .looping import KINDS, is_loopable, on_random_examples, same_as_loop

if TYPE_CHECKING:
    from differential.comparison import Comparison

    from .conftest import ClientWithout

FAILED = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed', ['meta']), AJob('c', 'failed')])


def requeue(registry: Any, job_id: str) -> None:
    registry.requeue(job_id)


def requeue_all(registry: Any, ids: Any) -> Any:
    return registry.requeue_all()


def requeue_many(registry: Any, ids: Any) -> Any:
    return registry.requeue_many(ids)


@pytest.mark.parametrize('kind', KINDS)
def test_requeue_all_equals_loop_on_random_databases(
    kind: str, comparison: Comparison, record_property: Callable[[str, Any], None]
) -> None:
    def compare(data: Any) -> None:
        world = data.draw(worlds(kind))
        setup = data.draw(setups(kind, world).filter(lambda setup: is_loopable(setup, 'noted_requeue')))
        same_as_loop(comparison, kind, requeue, requeue_all, world, setup)

    on_random_examples(compare, record_property)


@pytest.mark.covering(1)
@pytest.mark.parametrize('trait', TRAITS)
@pytest.mark.parametrize('status', ['failed', 'stopped'])
def test_requeue_all_equals_loop_on_job_with_trait(comparison: Comparison, trait: str, status: str) -> None:
    world = World(jobs=[AJob('a', status, [trait]), AJob('b', status, ['meta']), AJob('c', status, ['in_queue'])])
    same_as_loop(comparison, 'FailedJobRegistry', requeue, requeue_all, world)
    same_as_loop(comparison, 'FailedJobRegistry', requeue, requeue_many, world, ids=['c', 'missing', 'a'])


@pytest.mark.covering(1)
@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'ScheduledJobRegistry', 'BaseRegistry'])
def test_requeue_all_equals_loop_on_job_of_any_status(comparison: Comparison, kind: str, status: str) -> None:
    world = World(
        jobs=[AJob('a', status), AJob('b', status, ['in_queue'])], entries=[Entry(kind, 'a'), Entry(kind, 'b')]
    )
    same_as_loop(comparison, kind, requeue, requeue_all, world)


@pytest.mark.parametrize('trait', ['meta', 'rate_limit', 'wide_rate_limit'])
def test_requeue_all_needs_only_rights_of_loop(comparison: Comparison, trait: str) -> None:
    world = World(
        jobs=[AJob('a', 'failed', [trait]), AJob('b', 'deferred')],
        entries=[Entry(member='x y'), Entry(member=':'), Entry(member='b:run')],
    )
    setup = Setup(client="limited: those of RQ's call")
    result: Any = same_as_loop(comparison, 'FailedJobRegistry', requeue, requeue_all, world, setup)
    assert (result.total, result.done, result.missing) == (4, 1, 0)
    assert result.skipped == {'no such job': 2}
    assert [job_id for job_id, _ in result.failed] == ['b:run']


@pytest.mark.parametrize('at_front', [True, False])
def test_order_in_queue_equals_loop(comparison: Comparison, at_front: bool) -> None:
    def step(registry: Any, job_id: str) -> None:
        registry.requeue(job_id, at_front=at_front)

    def call(registry: Any, ids: Any) -> Any:
        return registry.requeue_all(at_front=at_front)

    world = World(jobs=[*FAILED.jobs, AJob('d', 'queued'), AJob('e', 'failed', ['old_result'])])
    result: Any = same_as_loop(comparison, 'FailedJobRegistry', step, call, world)
    assert (result.done, result.by_rq) == (4, 1)


@pytest.mark.parametrize('job_class', [None, 'AppJob'])
def test_registry_of_other_type_raises(comparison: Comparison, job_class: str | None) -> None:
    """It is not reported as a failure of each job."""
    world = World(jobs=[AJob('a', 'failed')], spoiled={'FailedJobRegistry': 'string'})
    setup = Setup(job_class=job_class, subclass='fixed_job_ids')
    assert isinstance(
        same_as_loop(comparison, 'FailedJobRegistry', requeue, requeue_all, world, setup), redis.ResponseError
    )


def test_requeue_all_of_subclass_equals_loop(comparison: Comparison) -> None:
    for subclass in ('noted_requeue', 'fixed_job_ids', 'own_keys', 'raising_cleanup'):
        same_as_loop(comparison, 'FailedJobRegistry', requeue, requeue_all, FAILED, Setup(subclass=subclass))


def test_result_counts_each_outcome(comparison: Comparison) -> None:
    world = World(
        jobs=[AJob('a', 'failed'), AJob('b', 'failed', ['bad_created_at']), AJob('c', 'failed', ['old_result'])],
        entries=[Entry(member='stale'), Entry(member='old', score='expired')],
    )
    result: Any = same_as_loop(comparison, 'FailedJobRegistry', requeue, requeue_all, world)
    assert (result.total, result.done, result.by_rq, result.missing) == (4, 2, 1, 0)
    assert result.skipped == {'no such job': 1}
    assert [job_id for job_id, _ in result.failed] == ['b']


def test_job_outside_registry_is_not_requeued(comparison: Comparison, same_as_rq: Any) -> None:
    same_as_rq('FailedJobRegistry', Call('requeue', 'a'), world=FAILED)
    client = comparison.ours.client('plain')
    result = FailedJobRegistry('q', connection=client).requeue_many(['a', 'b', 'nobody', 'b'])
    assert (result.total, result.done, result.missing) == (4, 1, 3)
    assert client.lrange('rq:queue:q', 0, -1) == [b'a', b'b']


def test_dry_run_changes_nothing(comparison: Comparison, same_as_rq: Any) -> None:
    world = World(jobs=[*FAILED.jobs, AJob('d', 'failed', ['bad_ttl'])], entries=[Entry(member='stale')])
    same_as_rq('FailedJobRegistry', Call('get_job_count', cleanup=False), world=world)
    registry = FailedJobRegistry('q', connection=comparison.ours.client('plain'))
    foreseen = registry.requeue_all(dry_run=True)
    assert registry.get_job_count(cleanup=False) == 5
    assert comparison.ours.inspector.exists('rq:queue:q') == 0
    done = registry.requeue_all()
    assert (foreseen.done, foreseen.skipped, len(foreseen.failed)) == (done.done, done.skipped, len(done.failed))
    assert (done.done, len(done.failed)) == (3, 1)


def fail_many(connection: redis.Redis, metas: list[dict[str, Any]]) -> FailedJobRegistry:
    queue = rq.Queue('q', connection=connection)
    registry = FailedJobRegistry('q', connection=connection)
    for number, meta in enumerate(metas):
        job = queue.create_job('len', job_id=f'job-{number:04}', meta=meta, status='failed')  # type: ignore[arg-type]
        job.save()
        registry.add(job, 1000 + number)
    return registry


def test_requeue_all_keeps_metadata(connection: redis.Redis) -> None:
    metas: list[dict[str, Any]] = [{}, {'n': 1}, {'n': 1}, *({'n': n, 'text': 'x' * n} for n in range(500))]
    registry = fail_many(connection, metas)
    result = registry.requeue_all()
    assert (result.done, result.by_rq) == (len(metas), 0)
    queue = rqreg_ext.Queue('q', connection=connection)
    assert queue.job_ids == [f'job-{number:04}' for number in range(len(metas))]
    assert [job.meta for job in queue.jobs] == metas


def test_requeue_all_ends_if_jobs_fail_again(connection: redis.Redis) -> None:
    registry = fail_many(connection, [{}] * 10)

    def fail_again(count: int, total: int | None) -> None:
        for job_id in connection.lrange('rq:queue:q', 0, -1):
            connection.hset(f'rq:job:{job_id.decode()}', 'status', 'failed')
            # Before the entries that are not processed yet.
            connection.zadd(registry.key, {job_id: 4_000_000_000})
        connection.delete('rq:queue:q')

    connection.zadd(registry.key, {'job-0009': 5_000_000_000})
    assert registry.requeue_all(progress=fail_again, chunk_size=3).total == 10
    assert registry.count == 10


def test_requeue_all_requeues_only_jobs_that_match_filter(connection: redis.Redis) -> None:
    registry = fail_many(connection, [{'owner': 'a'}, {'owner': 'b'}, {}])
    result = registry.requeue_all(meta={'owner': 'b'})
    assert (result.total, result.done) == (1, 1)
    assert connection.lrange('rq:queue:q', 0, -1) == [b'job-0001']


@pytest.mark.parametrize('method', ['requeue_all', 'requeue_many'])
def test_registry_of_executions_raises_not_implemented(connection: redis.Redis, method: str) -> None:
    for registry in (StartedJobRegistry('q', connection=connection), ExecutionRegistry('a', connection)):
        with pytest.raises(NotImplementedError, match='are executions'):
            getattr(registry, method)(*[[]] * (method == 'requeue_many'))


def test_requeue_all_works_on_every_client(job_client: Any) -> None:
    registry = fail_many(job_client, [{}, {'n': 1}, {}])
    result = registry.requeue_all()
    assert (result.total, result.done, result.failed) == (3, 3, [])
    assert job_client.lrange('rq:queue:q', 0, -1) == [b'job-0000', b'job-0001', b'job-0002']
    assert job_client.hget('rq:job:job-0001', 'status') == b'queued'


def test_requeue_all_is_done_by_rq_without_right_to_scripts(
    client_without: ClientWithout, connection: redis.Redis
) -> None:
    fail_many(connection, [{}, {'n': 1}])
    result = FailedJobRegistry('q', connection=client_without('eval', 'evalsha')).requeue_all()
    assert str(result).startswith("2 of 2 done (2 by RQ's own methods); ")
    assert connection.llen('rq:queue:q') == 2


@pytest.mark.parametrize(
    ('denied', 'ttl'),
    [
        ('rpush', None),
        ('hset', None),
        ('zrem', None),
        ('rpush', 1000),
        ('hset', 1000),
        ('zrem', 1000),
        ('expire', 1000),
    ],
)
def test_denied_command_changes_nothing(
    denied: str, ttl: int | None, client_without: ClientWithout, connection: redis.Redis
) -> None:
    registry = fail_many(connection, [{}] * 100)
    if ttl is not None:
        for job_id in registry.get_job_ids():
            connection.hset(f'rq:job:{job_id}', 'ttl', ttl)
    before = dump(connection)
    with pytest.raises(redis.exceptions.NoPermissionError, match=denied):
        FailedJobRegistry('q', connection=client_without(denied)).requeue_all()
    # RQ's transaction changes nothing either.
    assert differences(before, dump(connection)) == []


def test_jobs_return_to_queue_of_their_origin(connection: redis.Redis) -> None:
    """The jobs of one registry have different origins, and the key of one origin is not a list."""
    registry = fail_many(connection, [{}] * 300)
    ids = registry.get_job_ids()
    for number, job_id in enumerate(ids):
        connection.hset(f'rq:job:{job_id}', 'origin', ('q', 'r', 'spoiled')[number % 3])
    connection.set('rq:queue:spoiled', 'x')
    result = registry.requeue_all()
    assert (result.done, len(result.failed)) == (200, 100)
    assert {type(error) for _, error in result.failed} == {redis.ResponseError}
    for queue, first in (('q', 0), ('r', 1)):
        assert [job_id.decode() for job_id in connection.lrange(f'rq:queue:{queue}', 0, -1)] == ids[first::3]
    assert registry.get_job_ids() == [job_id for job_id, _ in result.failed] == ids[2::3]
    assert {connection.hget(f'rq:job:{job_id}', 'status') for job_id in ids[2::3]} == {b'failed'}


def test_at_front_puts_last_job_first(connection: redis.Redis) -> None:
    registry = fail_many(connection, [{}] * 200)
    ids = registry.get_job_ids()
    assert registry.requeue_all(at_front=True).by_rq == 0
    assert [job_id.decode() for job_id in connection.lrange('rq:queue:q', 0, -1)] == ids[::-1]


def test_job_class_of_registry_is_used(connection: redis.Redis) -> None:
    class LoudJob(rq.job.Job):
        def save(self, *args: Any, **kwargs: Any) -> Any:
            self.description = 'loud'
            return super().save(*args, **kwargs)

    fail_many(connection, [{}, {}])
    registry = FailedJobRegistry('q', connection=connection, job_class=LoudJob)
    result = registry.requeue_all()
    assert (result.done, result.by_rq) == (2, 2)
    assert connection.hget('rq:job:job-0001', 'description') == b'loud'


def test_error_of_rq_is_in_failed(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = fail_many(connection, [{}, {}])

    def refuse(self: Any, job: Any, **kwargs: Any) -> Any:
        raise InvalidJobOperation(f'not {job.id}')

    monkeypatch.setattr(rq.Queue, '_enqueue_job', refuse)
    result = registry.requeue_all()
    assert [(job_id, str(error)) for job_id, error in result.failed] == [
        ('job-0000', 'not job-0000'),
        ('job-0001', 'not job-0001'),
    ]
