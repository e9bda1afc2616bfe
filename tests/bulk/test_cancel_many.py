"""cancel_many() does what RQ's loop over job.cancel() does, and leaves the same keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq
from differential.client_kinds import PLAIN
from differential.comparison import Setup
from differential.strategies import setups, worlds
from differential.world import STATUSES, TRAITS, AJob, Entry, World
from hypothesis import strategies as st

from rqreg_ext.registry import DeferredJobRegistry, FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from .looping import KINDS, UNREADABLE, is_loopable, is_readable, on_random_examples, same_as_loop

if TYPE_CHECKING:
    from differential.comparison import Comparison

    from .conftest import ClientWithout

OPTIONS = [
    {},
    {'enqueue_dependents': True},
    {'remove_from_dependencies': True},
    {'enqueue_dependents': True, 'remove_from_dependencies': True},
]


def cancel(registry: Any, job_id: str, **options: bool) -> None:
    registry.job_class.fetch(job_id, connection=registry.connection, serializer=registry.serializer).cancel(**options)


def cancel_many(registry: Any, ids: Any, **options: bool) -> Any:
    return registry.cancel_many(ids or registry.get_job_ids(), **options)


@pytest.mark.parametrize('kind', KINDS)
def test_cancel_many_equals_loop_on_random_databases(
    kind: str, comparison: Comparison, record_property: Callable[[str, Any], None]
) -> None:
    def compare(data: Any) -> None:
        world = data.draw(worlds(kind).filter(is_readable))
        setup = data.draw(setups(kind, world).filter(is_loopable))
        options = data.draw(st.sampled_from(OPTIONS))
        same_as_loop(comparison, kind, partial(cancel, **options), partial(cancel_many, **options), world, setup)

    on_random_examples(compare, record_property)


@pytest.mark.covering(1)
@pytest.mark.parametrize('trait', [trait for trait in TRAITS if trait not in UNREADABLE])
@pytest.mark.parametrize('status', ['scheduled', 'deferred'])
def test_cancel_many_equals_loop_on_job_with_trait(comparison: Comparison, trait: str, status: str) -> None:
    kind = f'{status.title()}JobRegistry'
    world = World(jobs=[AJob('a', status, [trait]), AJob('b', status), AJob('c', status, ['in_queue'])])
    for options in OPTIONS:
        same_as_loop(comparison, kind, partial(cancel, **options), partial(cancel_many, **options), world)
    same_as_loop(comparison, kind, cancel, cancel_many, world, ids=['c', 'missing', 'a'])


@pytest.mark.parametrize('job_class', [None, 'AppJob'])
def test_registry_of_other_type_raises(comparison: Comparison, job_class: str | None) -> None:
    """It is not reported as a failure of each job."""
    world = World(jobs=[AJob('a', 'deferred')], spoiled={'DeferredJobRegistry': 'string'})
    setup = Setup(job_class=job_class, subclass='fixed_job_ids')
    raised = same_as_loop(comparison, 'DeferredJobRegistry', cancel, cancel_many, world, setup)
    assert isinstance(raised, redis.ResponseError)


@pytest.mark.parametrize('client', [PLAIN, 'limited: no scripts', 'limited: no EVALSHA', 'limited: no cleanup'])
@pytest.mark.parametrize('spoiled', ['CanceledJobRegistry', 'ScheduledJobRegistry'])
def test_job_is_unchanged_where_transaction_would_end_half_way(
    comparison: Comparison, client: str, spoiled: str
) -> None:
    world = World(jobs=[AJob('a', 'scheduled')], entries=[Entry('BaseRegistry', 'a')], spoiled={spoiled: 'string'})
    result: Any = same_as_loop(comparison, 'BaseRegistry', cancel, cancel_many, world, Setup(client=client))
    assert [(job_id, type(error)) for job_id, error in result.failed] == [('a', redis.ResponseError)]


@pytest.mark.covering(1)
@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'ScheduledJobRegistry', 'BaseRegistry'])
def test_cancel_many_equals_loop_on_job_of_any_status(comparison: Comparison, kind: str, status: str) -> None:
    world = World(
        jobs=[AJob('a', status), AJob('b', status, ['in_queue'])], entries=[Entry(kind, 'a'), Entry(kind, 'b')]
    )
    same_as_loop(comparison, kind, cancel, cancel_many, world)


@pytest.mark.parametrize('kind', ['BaseRegistry', 'FailedJobRegistry'])
def test_cancel_many_needs_only_rights_of_loop(comparison: Comparison, kind: str) -> None:
    world = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed')], entries=[Entry(kind, 'a'), Entry(kind, 'b')])
    setup = Setup(client="limited: those of RQ's call")
    result: Any = same_as_loop(comparison, kind, cancel, cancel_many, world, setup)
    assert result.done == 2


def test_running_jobs_are_canceled_by_rq(comparison: Comparison) -> None:
    world = World(jobs=[AJob('a', 'started'), AJob('b', 'started', ['group', 'in_group']), AJob('c', 'canceled')])
    result: Any = same_as_loop(comparison, 'StartedJobRegistry', cancel, cancel_many, world)
    assert (result.done, result.by_rq) == (2, 2)


def schedule_many(connection: redis.Redis, count: int) -> tuple[ScheduledJobRegistry, list[str]]:
    queue = rq.Queue('q', connection=connection)
    registry = ScheduledJobRegistry('q', connection=connection)
    ids = [f'job-{number:03}' for number in range(count)]
    for job_id in ids:
        job = queue.create_job('len', job_id=job_id, status='scheduled')  # type: ignore[arg-type]
        job.save()
        registry.add(job, 1000)
    return registry, ids


def test_result_counts_each_outcome(connection: redis.Redis) -> None:
    registry, ids = schedule_many(connection, 4)
    connection.hset(f'rq:job:{ids[1]}', 'status', 'canceled')
    connection.delete(f'rq:job:{ids[2]}')
    result = registry.cancel_many([*ids, 'nobody'])
    assert (result.total, result.done, result.missing, result.by_rq) == (5, 2, 1, 0)
    assert result.skipped == {'already canceled': 1, 'no such job': 1}
    assert registry.get_job_ids() == [ids[1], ids[2]]
    assert connection.zrange('rq:canceled:q', 0, -1) == [ids[0].encode(), ids[3].encode()]
    assert [rq.job.Job.fetch(ids[n], connection).get_status() for n in (0, 3)] == ['canceled', 'canceled']


def test_dry_run_changes_nothing(connection: redis.Redis) -> None:
    registry, ids = schedule_many(connection, 3)
    connection.hset(f'rq:job:{ids[0]}', mapping={'rate_limit_key': 'x', 'rate_limit_concurrency': '1'})
    result = registry.cancel_many(ids, dry_run=True)
    assert (result.done, result.dry_run) == (3, True)
    assert registry.get_job_ids() == ids
    assert connection.exists('rq:canceled:q') == 0


def test_dependents_are_enqueued(connection: redis.Redis) -> None:
    queue = rq.Queue('q', connection=connection)
    first = queue.enqueue_in(timedelta(hours=1), 'len', job_id='first')
    queue.enqueue('len', depends_on=first, job_id='second')
    registry = ScheduledJobRegistry('q', connection=connection)
    result = registry.cancel_many([first], enqueue_dependents=True)
    assert (result.done, result.by_rq) == (1, 1)
    assert queue.job_ids == ['second']
    assert DeferredJobRegistry('q', connection=connection).count == 0


def test_progress_stops_call(connection: redis.Redis) -> None:
    registry, ids = schedule_many(connection, 5)
    seen: list[Any] = []
    result = registry.cancel_many(ids, chunk_size=2, progress=lambda *counts: seen.append(counts) or len(seen) < 2)
    # The second chunk may be smaller: a script stops after a certain time.
    done = seen[1][0]
    assert seen == [(2, 5), (done, 5)]
    assert 2 < done <= 4
    assert result.stopped
    assert (result.done, registry.count) == (done, 5 - done)


def test_cancel_many_works_on_every_client(job_client: Any) -> None:
    registry, ids = schedule_many(job_client, 3)
    assert registry.cancel_many(iter(ids)).done == 3
    assert job_client.zcard('rq:canceled:q') == 3
    assert registry.count == 0


def test_denied_write_changes_nothing(client_without: ClientWithout, connection: redis.Redis) -> None:
    registry, ids = schedule_many(connection, 3)
    with pytest.raises(redis.exceptions.NoPermissionError):
        ScheduledJobRegistry('q', connection=client_without('zadd')).cancel_many(ids)
    assert [rq.job.Job.fetch(job_id, connection).get_status() for job_id in ids] == ['scheduled'] * 3
    assert registry.get_job_ids() == ids


@pytest.mark.parametrize('ids', ['abc', 5, None, [5]])
def test_invalid_ids_raise_type_error(connection: redis.Redis, ids: Any) -> None:
    for registry in (FailedJobRegistry('q', connection=connection), StartedJobRegistry('q', connection=connection)):
        with pytest.raises(TypeError, match=r'list of one|job ids'):
            registry.cancel_many(ids)
