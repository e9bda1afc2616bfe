"""purge() and remove_many() do what RQ's loop over remove() does, and leave the same keys."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.job
from differential.comparison import Call, Setup
from differential.strategies import setups, worlds
from differential.world import STATUSES, TRAITS, AJob, Entry, World
from rq.exceptions import NoSuchGroupError
from rq.timeouts import JobTimeoutException

import rqreg_ext
from rqreg_ext.executions import ExecutionRegistry
from rqreg_ext.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

from .looping import KINDS, UNREADABLE, is_loopable, is_readable, on_random_examples, same_as_loop

if TYPE_CHECKING:
    from differential.comparison import Comparison
    from differential.observe import Outcome

    from .conftest import ClientWithout

FAILED = World(jobs=[AJob('a', 'failed'), AJob('b', 'failed'), AJob('c', 'failed')])


def remove(registry: Any, job_id: str) -> None:
    registry.remove(job_id, delete_job=True)


def purge(registry: Any, ids: Any) -> Any:
    return registry.purge()


def remove_many(registry: Any, ids: Any) -> Any:
    return registry.remove_many(ids, delete_job=True)


@pytest.mark.parametrize('kind', KINDS)
def test_purge_equals_loop_on_random_databases(
    kind: str, comparison: Comparison, record_property: Callable[[str, Any], None]
) -> None:
    def compare(data: Any) -> None:
        world = data.draw(worlds(kind).filter(is_readable))
        setup = data.draw(setups(kind, world).filter(lambda setup: is_loopable(setup, 'noted_remove')))
        same_as_loop(comparison, kind, remove, purge, world, setup)

    on_random_examples(compare, record_property)


@pytest.mark.covering(1)
@pytest.mark.parametrize('trait', [trait for trait in TRAITS if trait not in UNREADABLE])
@pytest.mark.parametrize('status', ['failed', 'stopped'])
def test_purge_equals_loop_on_job_with_trait(comparison: Comparison, trait: str, status: str) -> None:
    world = World(jobs=[AJob('a', status, [trait]), AJob('b', status), AJob('c', status, ['in_queue'])])
    same_as_loop(comparison, 'FailedJobRegistry', remove, purge, world)
    same_as_loop(comparison, 'FailedJobRegistry', remove, remove_many, world, ids=['c', 'missing', 'a'])


@pytest.mark.covering(1)
@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'ScheduledJobRegistry', 'BaseRegistry'])
def test_purge_equals_loop_on_job_of_any_status(comparison: Comparison, kind: str, status: str) -> None:
    world = World(
        jobs=[AJob('a', status), AJob('b', status, ['in_queue'])], entries=[Entry(kind, 'a'), Entry(kind, 'b')]
    )
    same_as_loop(comparison, kind, remove, purge, world)


def test_purge_by_wrapped_client_that_decodes_cleans_up_before_it_reads(comparison: Comparison) -> None:
    world = World(
        jobs=[AJob('a', 'finished')], entries=[Entry('FinishedJobRegistry', b'\xff\xfe', 'expired')], queue='q'
    )
    setup = Setup(connection='decode_responses', client='observed: class')
    same_as_loop(comparison, 'FinishedJobRegistry', remove, purge, world, setup)


BY_RQS_METHODS = [
    Setup(client='prefixing: class'),
    Setup(connection='single'),
    Setup(client="limited: those of RQ's call"),
]


@pytest.mark.parametrize('setup', BY_RQS_METHODS, ids=repr)
@pytest.mark.parametrize('trait', ['unknown_status', 'rate_limit', 'lost_group', 'no_status'])
def test_purge_with_rq_methods_equals_loop(comparison: Comparison, setup: Setup, trait: str) -> None:
    """RQ takes `a:run` for the id `a`, and removes the entry before it raises an error."""
    world = World(jobs=[AJob('a', 'failed', [trait])], entries=[Entry('BaseRegistry', 'a:run'), Entry(member='x y')])
    same_as_loop(comparison, 'BaseRegistry', remove, purge, world, setup)
    same_as_loop(comparison, 'FailedJobRegistry', remove, purge, world, setup)


def test_result_counts_each_outcome(comparison: Comparison) -> None:
    world = World(
        jobs=[AJob('a', 'failed'), AJob('b', 'failed', ['lost_group']), AJob('c', 'failed', ['running'])],
        entries=[Entry(member='stale'), Entry(member='old', score='expired')],
    )
    result: Any = same_as_loop(comparison, 'FailedJobRegistry', remove, purge, world)
    assert (result.total, result.done, result.by_rq, result.missing) == (4, 2, 1, 0)
    assert result.skipped == {'no such job': 1}
    assert [(job_id, type(error)) for job_id, error in result.failed] == [('b', NoSuchGroupError)]
    assert not result.stopped
    assert not result.dry_run
    assert result.seconds > 0


@pytest.mark.parametrize('trait', UNREADABLE)
def test_unreadable_job_is_deleted(comparison: Comparison, same_as_rq: Any, trait: str) -> None:
    same_as_rq('FailedJobRegistry', Call('count'), world=World(jobs=[AJob('a', 'failed', [trait])]))
    client = comparison.ours.client('plain')
    result = FailedJobRegistry('q', connection=client).purge()
    assert (result.done, result.failed) == (1, [])
    assert client.keys('*') == []


def test_job_outside_registry_is_not_deleted(comparison: Comparison, same_as_rq: Callable[..., Outcome]) -> None:
    same_as_rq('FailedJobRegistry', Call('requeue', 'a'), world=FAILED)
    client = comparison.ours.client('plain')
    result = FailedJobRegistry('q', connection=client).remove_many(['a', 'b', 'nobody', 'b'], delete_job=True)
    assert (result.total, result.done, result.missing) == (4, 1, 3)
    assert client.lrange('rq:queue:q', 0, -1) == [b'a']
    assert sorted(client.keys('rq:job:*')) == [b'rq:job:a', b'rq:job:c']


@pytest.mark.parametrize('delete_job', [True, False])
def test_dry_run_changes_nothing(comparison: Comparison, same_as_rq: Any, delete_job: bool) -> None:
    world = World(
        jobs=[*FAILED.jobs, AJob('g', 'failed', ['lost_group']), AJob('q', 'failed', ['in_queue'])],
        entries=[Entry(member='stale'), Entry(member='old', score='expired')],
    )
    same_as_rq('FailedJobRegistry', Call('get_job_count', cleanup=False), world=world)
    registry = FailedJobRegistry('q', connection=comparison.ours.client('plain'))
    before = comparison.ours.inspector.eval("return redis.sha1hex(cjson.encode(redis.call('KEYS', '*')))", 0)
    foreseen = registry.purge(delete_job=delete_job, dry_run=True)
    assert comparison.ours.inspector.eval("return redis.sha1hex(cjson.encode(redis.call('KEYS', '*')))", 0) == before
    assert foreseen.dry_run
    assert registry.get_job_count(cleanup=False) == 7
    assert foreseen.done == (5 if delete_job else 7)
    assert foreseen.skipped == ({'no such job': 2} if delete_job else {})
    # That the group is lost shows only when the job is changed.
    done = registry.purge(delete_job=delete_job)
    assert done.done == (4 if delete_job else 6)


def test_removing_entries_keeps_jobs(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {f'job-{n}': 4_000_000_000 + n for n in range(1200)})
    connection.hset('rq:job:job-0', 'status', 'failed')
    result = registry.remove_many(['job-0', 'nobody', 'job-1'])
    assert (result.done, result.missing, result.by_rq) == (2, 1, 0)
    result = registry.purge(delete_job=False, min_score=4_000_000_100)
    assert (result.total, result.done) == (1100, 1100)
    assert connection.zcard(registry.key) == 98
    assert connection.exists('rq:job:job-0') == 1


def test_remove_many_accepts_generator_of_ids_and_jobs(comparison: Comparison, same_as_rq: Any) -> None:
    same_as_rq('FailedJobRegistry', Call('count'), world=FAILED)
    client = comparison.ours.client('plain')
    registry = FailedJobRegistry('q', connection=client)
    given: Iterator[Any] = iter([rqreg_ext.Queue('q', connection=client).fetch_job('a'), 'b', b'c'])
    seen: list[Any] = []
    result = registry.remove_many(given, delete_job=True, progress=lambda *counts: seen.append(counts))
    assert result.done == 3
    assert seen == [(3, None)]


def test_progress_is_called_after_each_chunk_and_stops_call(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {f'job-{n:02}': 4_000_000_000 + n for n in range(10)})
    for n in range(10):
        connection.hset(f'rq:job:job-{n:02}', mapping={'data': 'x', 'status': 'failed', 'origin': 'q'})
    seen: list[Any] = []

    def progress(count: int, total: int | None) -> bool:
        seen.append((count, total))
        return len(seen) < 2

    result = registry.purge(progress=progress, chunk_size=3)
    # The second chunk may be smaller: a script stops after a certain time.
    done = seen[1][0]
    assert seen == [(3, 10), (done, 10)]
    assert 3 < done <= 6
    assert result.stopped
    assert (result.done, registry.count) == (done, 10 - done)
    seen.clear()
    result = registry.purge(progress=lambda *counts: seen.append(counts), chunk_size=3)
    assert {total for _, total in seen} == {10 - done}
    assert (seen[0][0], seen[-1][0]) == (3, 10 - done)
    assert all(0 < after - before <= 3 for (before, _), (after, _) in itertools.pairwise(seen))
    assert not result.stopped


def test_error_of_progress_has_result(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {f'job-{n}': 4_000_000_000 for n in range(10)})

    def progress(count: int, total: int | None) -> None:
        raise LookupError('enough')

    with pytest.raises(LookupError, match='enough') as raised:
        registry.purge(progress=progress, chunk_size=4)
    assert raised.value.result.skipped == {'no such job': 4}  # type: ignore[attr-defined]
    assert registry.count == 6


def test_purge_deletes_only_jobs_that_match_filter(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue('q', connection=connection)
    registry = queue.finished_job_registry
    for name in ('len', 'max', 'len', 'abs'):
        job = queue.create_job(name)
        job.save()
        registry.add(job, 1000)
    counts: list[Any] = []
    result = registry.purge(func_name='len', progress=lambda *given: counts.append(given))
    assert (result.total, result.done) == (2, 2)
    assert counts == [(4, 4)]
    assert sorted(job.func_name for job in map(queue.fetch_job, registry.get_job_ids()) if job) == ['abs', 'max']


@pytest.mark.parametrize(
    ('ids', 'error'), [('abc', TypeError), (5, TypeError), (None, TypeError), ([5], TypeError), ([None], TypeError)]
)
def test_invalid_ids_raise_type_error(connection: redis.Redis, ids: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r'list of one|job ids'):
        FailedJobRegistry('q', connection=connection).remove_many(ids, delete_job=True)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({'chunk_size': 0}, 'chunk_size=0'),
        ({'chunk_size': 'x'}, "chunk_size='x'"),
        ({'progress': 5}, 'progress=5'),
        ({'colour': 'red'}, "no filter 'colour'"),
    ],
)
def test_invalid_arguments_raise(connection: redis.Redis, given: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        FailedJobRegistry('q', connection=connection).purge(**given)


@pytest.mark.parametrize('method', ['purge', 'remove_many'])
def test_registry_of_executions_raises_not_implemented(connection: redis.Redis, method: str) -> None:
    for registry in (StartedJobRegistry('q', connection=connection), ExecutionRegistry('a', connection)):
        if method == 'remove_many' and isinstance(registry, StartedJobRegistry):
            # See test_started.py.
            continue
        with pytest.raises(NotImplementedError, match='are executions'):
            getattr(registry, method)(*[[]] * (method == 'remove_many'), delete_job=True)


def test_purge_works_on_every_client(job_client: Any) -> None:
    registry = FinishedJobRegistry('q', connection=job_client)
    queue = rqreg_ext.Queue('q', connection=job_client)
    for name in ('a', 'b', 'c'):
        job = queue.create_job('len', job_id=name)
        job.save()
        registry.add(job, 1000)
    job_client.rpush('rq:queue:q', 'x', 'b', 'y')
    result = registry.purge()
    assert (result.total, result.done, result.failed) == (3, 3, [])
    assert job_client.keys('*') == [b'rq:queue:q']
    assert job_client.lrange('rq:queue:q', 0, -1) == [b'x', b'y']


def test_purge_is_done_by_rq_without_right_to_scripts(client_without: ClientWithout, connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=client_without('eval', 'evalsha'))
    for name in ('a', 'b'):
        job = rqreg_ext.Queue('q', connection=connection).create_job('len', job_id=name)
        job.save()
        registry.add(job, exc_string='')
    assert str(registry.purge()).startswith("2 of 2 done (2 by RQ's own methods); ")
    assert connection.keys('*') == []


@pytest.mark.parametrize('without', [(), ('zmscore',), ('zrank',), ('zrank', 'zmscore')])
def test_remove_many_accepts_ids_in_any_order(
    without: tuple[str, ...], client_without: ClientWithout, connection: redis.Redis
) -> None:
    """Neighbours in the registry are searched differently from ids that are far apart."""
    queue = rqreg_ext.Queue('q', connection=connection)
    registry = FailedJobRegistry('q', connection=connection)
    ids = [f'job-{number:03}' for number in range(400)]
    for number, name in enumerate(ids):
        queue.create_job('len', job_id=name).save()
        if number % 4:
            connection.zadd(registry.key, {name: 2e9 + number})
    inside = [name for number, name in enumerate(ids) if number % 4]
    # Other entries in between, which must remain.
    connection.zadd(registry.key, {f'other-{number}': 2e9 + number for number in range(0, 400, 7)})
    others = set(registry.get_job_ids()) - set(inside)
    asked = [*inside[150:], *ids[:200], *reversed(inside[:150]), 'nobody', *random.Random(5).sample(ids, 300)]
    result = FailedJobRegistry('q', connection=client_without(*without)).remove_many(asked, delete_job=True)
    assert (result.done, result.missing, result.failed) == (300, len(asked) - 300, [])
    assert set(registry.get_job_ids()) == others
    assert {key.decode()[7:] for key in connection.keys('rq:job:*')} == set(ids) - set(inside)


@pytest.mark.covering(1)
@pytest.mark.parametrize(('kind', 'status'), [('FailedJobRegistry', 'failed'), ('DeferredJobRegistry', 'deferred')])
@pytest.mark.parametrize('other', [[], ['rate_limit'], ['no_status'], ['group'], ['no_status', 'group']])
@pytest.mark.parametrize('trait', ['abandoned', 'running', 'lost_execution', 'wrong_executions'])
def test_purge_equals_loop_if_started_registry_is_of_other_type(
    comparison: Comparison, kind: str, status: str, trait: str, other: list[str]
) -> None:
    """RQ removes expired executions before it reads the others, and only these are in the started registry."""
    world = World(
        jobs=[AJob('a', status, [trait, *other]), AJob('b', status)], spoiled={'StartedJobRegistry': 'string'}
    )
    same_as_loop(comparison, kind, remove, purge, world)


@pytest.mark.parametrize('job_class', [None, 'AppJob'])
def test_registry_of_other_type_raises(comparison: Comparison, job_class: str | None) -> None:
    """It is not reported as a failure of each job."""
    world = World(jobs=[AJob('a', 'failed')], spoiled={'FailedJobRegistry': 'string'})
    setup = Setup(job_class=job_class, subclass='fixed_job_ids')
    assert isinstance(same_as_loop(comparison, 'FailedJobRegistry', remove, purge, world, setup), redis.ResponseError)


def test_purge_of_subclass_equals_loop(comparison: Comparison) -> None:
    for subclass in ('noted_remove', 'fixed_job_ids', 'own_keys', 'raising_cleanup'):
        setup = Setup(subclass=subclass)
        same_as_loop(comparison, 'FailedJobRegistry', remove, purge, FAILED, setup)


def test_error_before_first_job_has_result(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    connection.set(registry.key, 'x')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE') as raised:
        registry.purge()
    assert raised.value.result.total == 0  # type: ignore[attr-defined]


def test_job_timeout_of_caller_is_raised(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call may itself run in a job, whose timeout RQ raises in the middle of it."""
    registry = FailedJobRegistry('q', connection=connection)
    for name in ('a', 'b'):
        job = rqreg_ext.Queue('q', connection=connection).create_job('len', job_id=name)
        job.save()
        registry.add(job, exc_string='')

    def take_too_long(*args: Any, **kwargs: Any) -> Any:
        raise JobTimeoutException('Task exceeded maximum timeout value (180 seconds)')

    monkeypatch.setattr(rq.job.Job, 'delete', take_too_long)
    with pytest.raises(JobTimeoutException) as raised:
        registry.purge()
    assert raised.value.result.failed == []  # type: ignore[attr-defined]
    assert 'b' in registry


@pytest.mark.parametrize('delete_job', [True, False])
def test_dry_run_of_overridden_remove_foresees_result(connection: redis.Redis, delete_job: bool) -> None:
    class Noting(FailedJobRegistry):
        def remove(self, *args: Any, **kwargs: Any) -> Any:
            return super().remove(*args, **kwargs)

    registry = Noting('q', connection=connection)
    connection.zadd(registry.key, {'gone': 4_000_000_000})
    foreseen = registry.remove_many(['gone', 'nobody'], delete_job=delete_job, dry_run=True)
    assert registry.count == 1
    done = registry.remove_many(['gone', 'nobody'], delete_job=delete_job)
    assert (foreseen.done, foreseen.missing, foreseen.skipped) == (done.done, done.missing, done.skipped)
    assert (done.done, done.missing, done.skipped) == ((0, 1, {'no such job': 1}) if delete_job else (1, 1, {}))
