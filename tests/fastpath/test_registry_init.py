"""Constructing and comparing registries, and the arguments that they refuse."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import rq.registry
from differential.arguments import TheRegistry
from differential.comparison import Call, Setup
from differential.functions import AppJob
from differential.observe import Outcome
from differential.sides import REGISTRIES
from differential.world import AJob, World
from private_redis import PrivateRedis
from redis import Redis
from rq.serializers import DefaultSerializer, JSONSerializer
from rq.timeouts import TimerDeathPenalty, UnixSignalDeathPenalty

import rqreg_ext

Same = Callable[..., Outcome]
FAILED = World(jobs=[AJob('a', 'failed')])


@pytest.mark.parametrize('how', ['name', 'positional', 'queue', 'rq_queue'])
@pytest.mark.parametrize('kind', REGISTRIES)
def test_constructed_registry_has_same_attributes(same_as_rq: Same, kind: str, how: str) -> None:
    setup = Setup(how=how, job_class='AppJob', death_penalty='timer', serializer='rq.serializers.JSONSerializer')
    # The first call also compares the attributes of the new registry.
    assert same_as_rq(kind, Call('key'), setup=setup).value == World().key(kind)


@pytest.mark.parametrize('registry_class', [rq.registry.FailedJobRegistry, rqreg_ext.FailedJobRegistry])
def test_registry_without_arguments_has_defaults_of_rq(connection: Redis, registry_class: Any) -> None:
    registry = registry_class(connection=connection)
    assert registry.name == 'default'
    assert registry.key == 'rq:failed:default'
    assert registry.connection is connection
    assert registry.job_class is rq.job.Job
    assert registry.serializer is DefaultSerializer
    assert registry.death_penalty_class is UnixSignalDeathPenalty


@pytest.mark.parametrize('registry_class', [rq.registry.FailedJobRegistry, rqreg_ext.FailedJobRegistry])
def test_queue_overrides_other_arguments(connection: Redis, registry_class: Any) -> None:
    queue = rq.Queue('q', connection=connection, serializer=JSONSerializer, job_class=AppJob)
    registry = registry_class('other', None, None, queue, DefaultSerializer, TimerDeathPenalty)
    assert (registry.name, registry.connection) == ('q', connection)
    assert registry.serializer is JSONSerializer
    assert registry.job_class is rq.job.Job
    assert registry.death_penalty_class is TimerDeathPenalty


@pytest.mark.parametrize('name', ['', 'räksmörgås-队列', '{q}', '{0}', 'a:b', 'two words', '*'])
def test_unusual_queue_names_are_read_as_by_rq(same_as_rq: Same, name: str) -> None:
    world = World(name, jobs=[AJob('a', 'failed')])
    assert same_as_rq('FailedJobRegistry', Call('key'), Call('get_job_ids'), world=world).value == ['a']


@pytest.mark.parametrize('name', [None, 5, b'q', ['q'], 'q\udc80'])
def test_name_that_is_not_str_makes_same_key_as_rq(connection: Redis, name: Any) -> None:
    expected = rq.registry.FailedJobRegistry(name, connection)
    registry = rqreg_ext.FailedJobRegistry(name, connection)
    assert (registry.name, registry.key) == (expected.name, expected.key)


def outcome_of(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        return (type(error), error.args)


class Undecided:
    """Raises an error when its truth value is tested."""

    def __bool__(self) -> bool:
        raise RuntimeError('undecided')


@pytest.mark.parametrize(
    'arguments',
    [
        {'no_such_argument': 1},
        {'serializer': 5},
        {'serializer': 'no.such.module'},
        {'serializer': 'rq.job.Job'},
        {'death_penalty_class': 'no.such.Class'},
        {'queue': 'q'},
        {'queue': 5},
        {'name': 'twice'},
        {'queue': Undecided()},
        {'job_class': Undecided()},
    ],
)
def test_bad_arguments_raise_same_error(connection: Redis, arguments: dict[str, Any]) -> None:
    expected = outcome_of(lambda: rq.registry.FailedJobRegistry('q', connection=connection, **arguments))
    ours = outcome_of(lambda: rqreg_ext.FailedJobRegistry('q', connection=connection, **arguments))
    assert isinstance(expected, tuple)
    assert ours == expected


class Hostile(str):
    """A keyword with the hash of a plain str, that raises an error when it is compared."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError('not to be compared')


@pytest.mark.parametrize('keyword', ['name', 'queue', 'death_penalty_class', 'no_such_argument'])
def test_keyword_that_raises_when_compared_raises_same_error_as_rq(connection: Redis, keyword: str) -> None:
    arguments: dict[str, Any] = {'connection': connection, Hostile(keyword): None}
    expected = outcome_of(lambda: rq.registry.FailedJobRegistry(**arguments))
    assert expected == (RuntimeError, ('not to be compared',))
    assert outcome_of(lambda: rqreg_ext.FailedJobRegistry(**arguments)) == expected


CALLS_BY_KEYWORD: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    'get_job_count': lambda registry, arguments: registry.get_job_count(**arguments),
    'get_job_ids': lambda registry, arguments: registry.get_job_ids(**arguments),
    'remove': lambda registry, arguments: registry.remove('a', **arguments),
    'requeue': lambda registry, arguments: registry.requeue('a', **arguments),
    'get_expired_job_ids': lambda registry, arguments: registry.get_expired_job_ids(**arguments),
}
KEYWORDS = {
    'get_job_count': 'cleanup',
    'get_job_ids': 'desc',
    'remove': 'delete_job',
    'requeue': 'at_front',
    'get_expired_job_ids': 'timestamp',
}


@pytest.mark.parametrize('call', CALLS_BY_KEYWORD)
@pytest.mark.parametrize('keyword', [Hostile, type('Plain', (str,), {})])
def test_keyword_of_str_subclass_has_same_outcome_as_rq(connection: Redis, call: str, keyword: type[str]) -> None:
    arguments: dict[str, Any] = {keyword(KEYWORDS[call]): False}
    expected, ours = (
        outcome_of(lambda: CALLS_BY_KEYWORD[call](namespace.FailedJobRegistry('q', connection), arguments))  # noqa: B023
        for namespace in (rq.registry, rqreg_ext)
    )
    assert ours == expected
    assert (expected == (RuntimeError, ('not to be compared',))) is (keyword is Hostile)


def test_too_many_arguments_raise_same_error(connection: Redis) -> None:
    arguments = ('q', connection, None, None, None, None, None)
    expected = outcome_of(lambda: rq.registry.FailedJobRegistry(*arguments))
    assert outcome_of(lambda: rqreg_ext.FailedJobRegistry(*arguments)) == expected
    assert expected[0] is TypeError


@pytest.mark.parametrize('call', ['count', 'get_job_ids', 'remove', 'in'])
def test_missing_connection_raises_at_first_call(call: str) -> None:
    calls: dict[str, Callable[[Any], Any]] = {
        'count': lambda registry: registry.count,
        'get_job_ids': lambda registry: registry.get_job_ids(),
        'remove': lambda registry: registry.remove('a'),
        'in': lambda registry: 'a' in registry,
    }
    expected = outcome_of(lambda: calls[call](rq.registry.FailedJobRegistry('q')))
    assert outcome_of(lambda: calls[call](rqreg_ext.FailedJobRegistry('q'))) == expected
    assert expected[0] is AttributeError


def test_registry_takes_url_as_connection(redis_server: PrivateRedis, connection: Redis) -> None:
    connection.zadd('rq:failed:q', {'a': 2_000_000_000})
    for name in (*REGISTRIES, 'ExecutionRegistry'):
        registry = getattr(rqreg_ext, name)('q', connection=redis_server.url)
        assert registry.count == (1 if name == 'FailedJobRegistry' else 0)
        assert isinstance(registry.connection, Redis)


def test_same_url_shares_client(redis_server: PrivateRedis) -> None:
    first = rqreg_ext.FailedJobRegistry('q', connection=redis_server.url)
    assert rqreg_ext.FailedJobRegistry('r', connection=redis_server.url).connection is first.connection


@pytest.mark.parametrize('url', ['', 'nonsense', 'http://127.0.0.1:1/0', 'redis://127.0.0.1:port/0'])
def test_malformed_url_is_named_in_error(url: str) -> None:
    with pytest.raises(ValueError, match=r'.+') as caught:
        rqreg_ext.FailedJobRegistry('q', connection=url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize('other', [TheRegistry(), TheRegistry('FinishedJobRegistry'), TheRegistry(name='r')])
def test_equality_of_registries_equals_rq(same_as_rq: Same, other: TheRegistry) -> None:
    assert same_as_rq('FailedJobRegistry', Call('==', other)).value is (other.name is None)
    assert same_as_rq('FailedJobRegistry', Call('!=', other)).value is (other.name is not None)


def test_registry_of_other_database_is_not_equal(same_as_rq: Same) -> None:
    assert same_as_rq('FailedJobRegistry', Call('==', TheRegistry(elsewhere=True))).value is False


@pytest.mark.parametrize('other', [None, 'q', 5])
def test_comparison_with_other_object_raises_as_in_rq(same_as_rq: Same, other: Any) -> None:
    assert isinstance(same_as_rq('FailedJobRegistry', Call('==', other)).error, AttributeError)


def test_registry_of_ours_equals_that_of_rq(connection: Redis) -> None:
    assert rqreg_ext.FailedJobRegistry('q', connection) == rq.registry.FailedJobRegistry('q', connection)
    assert rq.registry.FailedJobRegistry('q', connection) == rqreg_ext.FailedJobRegistry('q', connection)


def test_registries_are_not_hashable(same_as_rq: Same) -> None:
    assert isinstance(same_as_rq('FailedJobRegistry', Call('hash')).error, TypeError)


@pytest.mark.parametrize('kind', [*REGISTRIES, 'ExecutionRegistry'])
def test_our_class_is_subclass_of_rqs(connection: Redis, kind: str) -> None:
    module = rq.executions if kind == 'ExecutionRegistry' else rq.registry
    ours, rqs = getattr(rqreg_ext, kind), getattr(module, kind)
    registry = ours('q', connection=connection)
    assert ours is not rqs
    assert issubclass(ours, rqs)
    assert isinstance(registry, rqs)
    assert isinstance(registry, rqreg_ext.BaseRegistry)
    assert ours.__name__ == rqs.__name__


@pytest.mark.parametrize('name', ['name', 'key', 'connection', 'serializer', 'job_class', 'label'])
def test_attributes_can_be_set(connection: Redis, name: str) -> None:
    registry = rqreg_ext.FailedJobRegistry('q', connection)
    value = object()
    setattr(registry, name, value)
    assert getattr(registry, name) is value


def test_assigned_key_is_used(connection: Redis) -> None:
    connection.zadd('mine', {'a': 2_000_000_000})
    registry = rqreg_ext.FailedJobRegistry('q', connection)
    registry.key = 'mine'
    assert (registry.count, registry.get_job_ids(), 'a' in registry) == (1, ['a'], True)


def test_count_cannot_be_set(connection: Redis) -> None:
    registry = rqreg_ext.FailedJobRegistry('q', connection)
    with pytest.raises(AttributeError):
        registry.count = 1


def test_subclass_with_own_init_has_same_outcome_as_rq(same_as_rq: Same) -> None:
    outcome = same_as_rq('FailedJobRegistry', Call('get_job_ids'), world=FAILED, setup=Setup(subclass='own_init'))
    assert outcome.value == ['a']


def test_subclass_that_does_not_call_init_raises_same_error_as_rq() -> None:
    def make(base: Any) -> Any:
        class Registry(base):  # type: ignore[misc]
            def __init__(self) -> None:
                pass

        return Registry

    expected = outcome_of(lambda: make(rq.registry.FailedJobRegistry)().count)
    assert outcome_of(lambda: make(rqreg_ext.FailedJobRegistry)().count) == expected
    assert expected[0] is AttributeError


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext])
def test_negative_count_raises_in_len(connection: Redis, namespace: Any) -> None:
    class Negative(namespace.FailedJobRegistry):  # type: ignore[misc]
        count = -1

    with pytest.raises(ValueError, match='should return >= 0'):
        len(Negative(connection=connection))


class Unclassified:
    """Raises an error when its `__class__` is read, as a lazy proxy without a target does."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError('unclassified')


@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext])
def test_job_whose_class_cannot_be_read_raises_as_in_rq(connection: Redis, namespace: Any) -> None:
    item = Unclassified()
    failed = namespace.FailedJobRegistry(connection=connection)
    started = namespace.StartedJobRegistry(connection=connection)
    scheduled = namespace.ScheduledJobRegistry(connection=connection)
    calls = [
        lambda: item in failed,
        lambda: item in started,
        lambda: failed.remove(item),
        lambda: scheduled.get_scheduled_time(item),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match='unclassified'):
            call()


@pytest.mark.skipif(not hasattr(sys, 'get_int_max_str_digits'), reason='this Python writes every number')
@pytest.mark.parametrize('namespace', [rq.registry, rqreg_ext])
def test_rank_with_too_many_digits_raises_value_error(connection: Redis, namespace: Any) -> None:
    with pytest.raises(ValueError, match='Exceeds the limit'):
        namespace.FailedJobRegistry(connection=connection).get_job_ids(10**5000)
