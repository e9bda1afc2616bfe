"""contains_many(): it agrees with `in` for each job."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import rq.registry
from clients.recording import Recorder
from differential.sides import REGISTRIES
from every_client import ClientWithout
from private_redis import PrivateRedis
from redis.exceptions import ResponseError
from rq.job import Job

import rqreg_ext
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

MEMBERS = ['a', 'é', '5', '1.5', 'a:b', 'c:run', 'ä:run', '']
ASKED = ['a', 'missing', 'é', 'a', 5, 1.5, b'a', 'a:b', 'c', 'ä', 'c:run', b'\xff', '', 'b']


@pytest.mark.covering(1)
@pytest.mark.parametrize('kind', [*REGISTRIES, 'ExecutionRegistry'])
def test_contains_many_agrees_with_in(any_client: redis.Redis, kind: str) -> None:
    registry = getattr(rqreg_ext, kind)('q', connection=any_client)
    members = [member for member in MEMBERS if kind != 'StartedJobRegistry' or member.count(':') == 1]
    any_client.zadd(registry.key, {member: number for number, member in enumerate(members)})
    theirs = getattr(rq.executions if kind == 'ExecutionRegistry' else rq.registry, kind)('q', connection=any_client)
    expected = [job_id in theirs for job_id in ASKED]
    assert any(expected)
    assert not all(expected)
    assert registry.contains_many(ASKED) == expected
    assert registry.contains_many(iter(ASKED)) == expected
    assert registry.contains_many([]) == []
    jobs = [Job(job_id, connection=any_client) for job_id in ('a', 'b', 'c')]
    assert registry.contains_many(jobs) == [job in theirs for job in jobs]
    assert registry.contains_many({'a': 1}) == ['a' in theirs]


def test_contains_many_accepts_jobs_of_other_class(connection: redis.Redis) -> None:
    class Mine(Job):
        pass

    registry = FailedJobRegistry('q', connection=connection, job_class=Mine)
    connection.zadd(registry.key, {'a': 1})
    jobs = [Mine('a', connection=connection), Job('a', connection=connection), Job('b', connection=connection)]
    assert registry.contains_many(jobs) == [True, True, False]


def test_contains_many_answers_more_ids_than_one_write_holds(connection: redis.Redis) -> None:
    registry = FailedJobRegistry('q', connection=connection)
    connection.zadd(registry.key, {f'{number}': number for number in range(0, 25_000, 2)})
    assert registry.contains_many(map(str, range(25_000))) == [True, False] * 12_500


def test_contains_many_calls_overridden_contains(connection: redis.Redis) -> None:
    class Never(FailedJobRegistry):
        def __contains__(self, item: Any) -> bool:
            return item == 'b'

    class Listing(StartedJobRegistry):
        def get_job_ids(self, *args: Any, **kwargs: Any) -> list[str]:
            return [*super().get_job_ids(*args, **kwargs), 'listed']

    connection.zadd('rq:failed:q', {'a': 1})
    connection.zadd('rq:wip:q', {'a:run': 1})
    assert Never('q', connection=connection).contains_many(['a', 'b']) == [False, True]
    assert Listing('q', connection=connection).contains_many(['a', 'listed', 'b']) == [True, True, False]


def test_contains_many_needs_one_round_trip(recorded: tuple[Recorder, Any]) -> None:
    recorder, client = recorded
    FailedJobRegistry('q', connection=client).contains_many(['a', 'b', 'c'])
    StartedJobRegistry('q', connection=client).contains_many(['a', 'b', 'c'])
    assert recorder.blocks == [['ZMSCORE'], ['ZRANGE']]


def test_contains_many_works_on_server_without_zmscore() -> None:
    with PrivateRedis(rename_command='ZMSCORE NO-SUCH-COMMAND') as server, server.client() as client:
        client.zadd('rq:failed:q', {'a': 1})
        assert FailedJobRegistry('q', connection=client).contains_many(['a', 'b']) == [True, False]


def test_contains_many_works_without_right_to_zmscore(connection: redis.Redis, client_without: ClientWithout) -> None:
    connection.zadd('rq:failed:q', {'a': 1})
    assert FailedJobRegistry('q', connection=client_without('zmscore')).contains_many(['a', 'b']) == [True, False]


@pytest.mark.parametrize('ids', ['abc', b'abc', None, 5, Job])
def test_contains_many_refuses_argument_that_is_no_collection(ids: Any) -> None:
    registry = FailedJobRegistry('q', connection=redis.Redis(port=1))
    with pytest.raises(TypeError, match='is not a collection of job ids: for one job, give a list of one'):
        registry.contains_many(ids)


@pytest.mark.parametrize('job_id', [None, True, ('a',), object()])
def test_contains_many_refuses_item_that_is_no_id(job_id: Any) -> None:
    registry = FailedJobRegistry('q', connection=redis.Redis(port=1))
    with pytest.raises(TypeError, match='is not a job id: give ids, or Job objects'):
        registry.contains_many(['a', job_id])


@pytest.mark.parametrize('registry_class', [FailedJobRegistry, StartedJobRegistry])
def test_key_of_wrong_type_raises(connection: redis.Redis, registry_class: Any) -> None:
    registry = registry_class('q', connection=connection)
    connection.set(registry.key, 'text')
    with pytest.raises(ResponseError, match='WRONGTYPE'):
        registry.contains_many(['a'])
