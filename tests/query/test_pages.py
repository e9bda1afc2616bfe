"""get_page() and get_jobs(): the ids, counts and jobs of RQ's own methods, and the same keys afterwards."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import rq.registry
from clients.outcomes import Outcome, outcome_of
from clients.recording import Recorder
from depth import IS_DEEP
from differential.database import COPY_SCRIPT, differences, dump
from differential.sides import OUR_DATABASE, REGISTRIES, RQ_DATABASE
from differential.strategies import worlds
from differential.world import AJob, Entry, World, Writer
from every_client import ClientWithout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import NoPermissionError, ResponseError
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

if TYPE_CHECKING:
    pass

NEVER = 4_000_000_000
IDS = [f'job-{number}' for number in range(10)]


@pytest.fixture
def registry(any_client: redis.Redis) -> FailedJobRegistry:
    """Return a registry with ten entries that do not expire, and one that has expired."""
    any_client.zadd('rq:failed:q', {**{job_id: NEVER + n for n, job_id in enumerate(IDS)}, 'expired': 1})
    return FailedJobRegistry('q', connection=any_client)


# ---- Pages


def test_get_page_returns_ids_and_numbers(registry: FailedJobRegistry) -> None:
    page = registry.get_page(2, 4)
    assert page.job_ids == list(page) == IDS[4:8]
    assert (page.total, page.page, page.per_page, page.pages, page.has_next, len(page)) == (10, 2, 4, 3, True, 4)
    assert page.scores is None
    last = registry.get_page(3, 4)
    assert (last.job_ids, last.has_next) == (IDS[8:], False)
    assert registry.get_page().job_ids == IDS


@pytest.mark.covering(1)
@pytest.mark.parametrize('per_page', [1, 3, 10, 11, 2**70])
@pytest.mark.parametrize('desc', [False, True])
def test_all_pages_together_are_all_entries(registry: FailedJobRegistry, per_page: int, desc: bool) -> None:
    pages = registry.get_page(per_page=per_page, desc=desc).pages
    ids = [job_id for page in range(1, pages + 1) for job_id in registry.get_page(page, per_page, desc)]
    assert ids == (IDS[::-1] if desc else IDS)


@pytest.mark.parametrize('page', [4, 100, 2**64])
def test_page_after_the_last_is_empty(registry: FailedJobRegistry, page: int) -> None:
    found = registry.get_page(page, 4)
    assert (found.job_ids, found.total, found.pages, found.has_next) == ([], 10, 3, False)


def test_page_of_empty_registry_is_empty(connection: redis.Redis) -> None:
    page = FailedJobRegistry('q', connection=connection).get_page()
    assert (page.job_ids, page.total, page.pages, page.has_next) == ([], 0, 0, False)


def test_page_with_scores_has_those_of_its_entries(registry: FailedJobRegistry) -> None:
    page = registry.get_page(2, 3, with_scores=True)
    assert (page.job_ids, page.scores) == (IDS[3:6], [NEVER + 3, NEVER + 4, NEVER + 5])
    page = registry.get_page(2, 3, desc=True, with_scores=True)
    assert (page.job_ids, page.scores) == (IDS[6:3:-1], [NEVER + 6, NEVER + 5, NEVER + 4])


def test_page_without_cleanup_has_expired_entries(registry: FailedJobRegistry) -> None:
    assert registry.get_page(per_page=1, cleanup=False).job_ids == ['expired']
    assert registry.get_page(per_page=1, cleanup=False).total == 11
    assert registry.get_page(per_page=1).total == 10
    assert registry.get_page(per_page=1, cleanup=False).total == 10


def test_page_of_execution_registry_has_execution_ids(connection: redis.Redis) -> None:
    executions = rqreg_ext.ExecutionRegistry('a', connection)
    connection.zadd(executions.key, {'run': NEVER, 'gone': 1})
    assert executions.get_page().job_ids == ['run']
    for call in (executions.get_jobs, executions.find):
        with pytest.raises(TypeError, match='ExecutionRegistry holds the executions of one job, not jobs'):
            call()


@pytest.mark.parametrize(
    ('arguments', 'error', 'words'),
    [
        ({'page': 0}, ValueError, 'page=0: pages are counted from 1'),
        ({'page': -1}, ValueError, 'page=-1: pages are counted from 1'),
        ({'per_page': 0}, ValueError, 'per_page=0: give how many entries a page has, at least 1'),
        ({'per_page': -5}, ValueError, 'per_page=-5: '),
        ({'page': '1'}, TypeError, "page='1' is not an int: pages are counted from 1"),
        ({'page': True}, TypeError, 'page=True is not an int'),
        ({'per_page': 2.5}, TypeError, 'per_page=2.5 is not an int'),
        ({'per_page': None}, TypeError, 'per_page=None is not an int'),
    ],
)
def test_page_refuses_bad_arguments(arguments: dict[str, Any], error: type, words: str) -> None:
    nowhere = FailedJobRegistry(connection=redis.Redis(port=1))
    for call in (nowhere.get_page, nowhere.get_jobs):
        with pytest.raises(error, match=words):
            call(**arguments)


# ---- Comparison with RQ, on random databases


def by_rq(registry: Any, page: int, per_page: int, desc: bool, cleanup: bool) -> tuple[list[str], int]:
    start = (page - 1) * per_page
    ids = registry.get_job_ids(start, start + per_page - 1, desc=desc, cleanup=cleanup)
    return ids, registry.get_job_count(cleanup=False)


def by_us(registry: Any, page: int, per_page: int, desc: bool, cleanup: bool) -> tuple[list[str], int]:
    found = registry.get_page(page, per_page, desc, cleanup=cleanup)
    return found.job_ids, found.total


def compared(
    sides: tuple[Any, Any, Any], world: World, kind: str, arguments: Any
) -> tuple[Outcome, Outcome, list[str]]:
    model, rqs, ours = sides
    for _ in range(30):
        now = math.floor(time.time())
        with model.pipeline(transaction=False) as pipe:
            pipe.flushall()
            Writer(world, pipe, now).write()
            pipe.eval(COPY_SCRIPT, 0, RQ_DATABASE, OUR_DATABASE)
            pipe.execute()
        outcomes = [
            outcome_of(
                kind,
                lambda call=call, package=package, client=client: call(  # type: ignore[misc]
                    getattr(package, kind)(world.queue, connection=client, serializer=world.serializer), *arguments
                ),
            )
            for call, package, client in ((by_rq, rq.registry, rqs), (by_us, rqreg_ext, ours))
        ]
        different = differences(dump(rqs), dump(ours))
        # RQ writes timestamps in seconds: repeat the comparison if a second has passed between both sides.
        if math.floor(time.time()) == now or not different:
            break
    return outcomes[0], outcomes[1], different


@pytest.mark.parametrize('kind', REGISTRIES)
@settings(
    max_examples=1000 if IS_DEEP else 60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_random_pages_are_same_as_rqs(
    sides: tuple[Any, Any, Any], kind: str, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('no_proxy', '*')
    world = data.draw(worlds(kind))
    arguments = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans()))
    expected, found, different = compared(sides, world, kind, arguments)
    assert (found.value, type(found.error)) == (expected.value, type(expected.error))
    assert different == []


def test_page_ignores_undecodable_entry_that_cleanup_removes(
    sides: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('no_proxy', '*')
    kind = 'StartedJobRegistry'
    world = World(
        jobs=[AJob('a', 'started'), AJob('b', 'started', score='expired')], entries=[Entry(kind, b'\xff\xfe', 'later')]
    )
    expected, found, different = compared(sides, world, kind, (2, 2, False, True))
    assert (found.value, type(found.error)) == (expected.value, type(expected.error))
    assert different == []


# ---- Round trips


def test_page_needs_one_round_trip(recorded: tuple[Recorder, Any]) -> None:
    recorder, client = recorded
    FailedJobRegistry('q', connection=client).get_page()
    StartedJobRegistry('q', connection=client).get_page(desc=True)
    ScheduledJobRegistry('q', connection=client).get_page(with_scores=True)
    assert recorder.blocks == [
        ['ZREMRANGEBYSCORE', 'ZRANGE', 'ZCARD'],
        ['ZRANGEBYSCORE', 'ZREVRANGE', 'ZCARD'],
        ['ZRANGE', 'ZCARD'],
    ]


def test_get_jobs_needs_two_round_trips(recorded: tuple[Recorder, Any]) -> None:
    recorder, client = recorded
    client.zadd('rq:failed:q', {'a': NEVER, 'b': NEVER})
    # The first call, where redis-py has a connection, compares that one with ours.
    assert FailedJobRegistry('elsewhere', connection=client).count == 0
    recorder.clear()
    FailedJobRegistry('q', connection=client).get_jobs()
    assert recorder.blocks == [['ZREMRANGEBYSCORE', 'ZRANGE', 'ZCARD'], ['HGETALL', 'HGETALL']]
    recorder.clear()
    FailedJobRegistry('nothing', connection=client).get_jobs()
    assert recorder.blocks == [['ZREMRANGEBYSCORE', 'ZRANGE', 'ZCARD']]


def test_page_calls_replaced_cleanup(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {'a': NEVER, 'expired': 1})
    with mock.patch.object(registry, 'cleanup') as cleanup:
        assert registry.get_page().job_ids == ['expired', 'a']
        assert registry.get_jobs(cleanup=False).total == 2
    cleanup.assert_called_once_with()


# ---- Jobs


class Mine(Job):
    """A custom job class."""


def store(client: Any, registry: Any, *job_ids: str, **options: Any) -> list[Job]:
    jobs = []
    for score, job_id in enumerate(job_ids, NEVER):
        job = Job.create('app.tasks.charge', args=(job_id,), connection=client, id=job_id, origin='q', **options)
        job.save()
        client.zadd(registry.key, {job_id: score})
        jobs.append(job)
    return jobs


def test_get_jobs_returns_jobs_as_stored(any_client: redis.Redis, storing_client: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=any_client, job_class=Mine)
    stored = store(storing_client, registry, 'a', 'b', 'c', 'd', meta={'tenant': 'acme'}, timeout=77)
    storing_client.delete(Job.key_for('c'))
    page = registry.get_jobs(1, 3)
    assert [job.to_dict() for job in page] == [job.to_dict() for job in stored[:2]]
    for job in page.jobs:
        assert type(job) is Mine
        assert job.connection is any_client
        assert (job.func_name, job.args, job.meta) == ('app.tasks.charge', (job.id,), {'tenant': 'acme'})
    assert (page.missing, page.unreadable, len(page)) == (['c'], [], 2)
    assert (page.total, page.pages, page.has_next) == (4, 2, True)
    assert [job.id for job in registry.get_jobs(1, 2, desc=True)] == ['d']


def test_get_jobs_lists_unreadable_jobs(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    store(connection, registry, 'a', 'b', 'c', 'd')
    connection.hdel(Job.key_for('a'), 'data')
    connection.hset(Job.key_for('b'), 'status', 'odd')
    connection.delete(Job.key_for('c'))
    connection.set(Job.key_for('c'), 'text')
    page = registry.get_jobs()
    assert [job.id for job in page.jobs] == ['d']
    assert [(job_id, type(error)) for job_id, error in page.unreadable] == [
        ('a', rq.exceptions.NoSuchJobError),
        ('b', ValueError),
        ('c', ResponseError),
    ]


@pytest.mark.parametrize('serializer', ['rq.serializers.JSONSerializer', 'rq.serializers.DefaultSerializer'])
def test_get_jobs_uses_serializer_of_registry(connection: redis.Redis, serializer: str) -> None:
    registry = FailedJobRegistry('q', connection=connection, serializer=serializer)
    store(connection, registry, 'a', serializer=serializer, meta={'tries': 3})
    [job] = registry.get_jobs()
    assert job.serializer is registry.serializer
    assert (job.func_name, list(job.args), job.meta) == ('app.tasks.charge', ['a'], {'tries': 3})


def test_get_jobs_calls_overridden_fetch_many(connection: redis.Redis) -> None:
    calls = []

    class Fetching(Job):
        @classmethod
        def fetch_many(cls, job_ids: Any, connection: Any, serializer: Any = None) -> list[Job | None]:
            calls.append((job_ids, connection, serializer))
            return super().fetch_many(job_ids, connection, serializer)

    registry = FailedJobRegistry('q', connection=connection, job_class=Fetching)
    store(connection, registry, 'a', 'b')
    connection.delete(Job.key_for('a'))
    page = registry.get_jobs()
    assert calls == [(['a', 'b'], connection, registry.serializer)]
    assert ([job.id for job in page], page.missing) == (['b'], ['a'])


def test_get_jobs_of_started_registry_loads_jobs_of_entries(connection: redis.Redis) -> None:
    registry = StartedJobRegistry('q', connection=connection)
    store(connection, FailedJobRegistry('q', connection=connection), 'a')
    connection.zadd(registry.key, {'a:one': NEVER, 'gone:two': NEVER})
    page = registry.get_jobs()
    assert ([job.id for job in page], page.missing) == (['a'], ['gone'])


def test_server_error_is_raised_not_taken_for_missing_job(
    connection: redis.Redis, client_without: ClientWithout
) -> None:
    store(connection, FailedJobRegistry('q', connection=connection), 'a')
    registry = FailedJobRegistry('q', connection=client_without('hgetall'))
    with pytest.raises(NoPermissionError, match='hgetall'):
        registry.get_jobs()
