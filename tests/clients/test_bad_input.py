"""Invalid ids, jobs, ranges and connections raise RQ's error, or if RQ has none, one that names the value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry
from redis.exceptions import DataError
from rq.job import Job

import rqreg_ext
import rqreg_ext.executions
import rqreg_ext.registry
from rqreg_ext import _core

from .connections import opened_by
from .outcomes import Outcome, outcome_of
from .tour import EXECUTIONS, NAME, prepare, state

if TYPE_CHECKING:
    from types import ModuleType

    from private_redis import PrivateRedis

REGISTRIES = ('BaseRegistry', 'FailedJobRegistry', 'StartedJobRegistry', 'ScheduledJobRegistry', 'CanceledJobRegistry')


class Text(str):
    """A str of a subclass, as ORMs and templates hand them out."""

    __slots__ = ()


BAD_IDS: dict[str, Any] = {
    'None': None,
    'bytes': b'failed-1',
    'bytearray': bytearray(b'failed-1'),
    'memoryview': memoryview(b'failed-1'),
    'int': 7,
    'bool': True,
    'float': 1.5,
    'nan': float('nan'),
    'list': ['failed-1'],
    'tuple': ('failed-1',),
    'dict': {'id': 'failed-1'},
    'object': object,
    'exception': ValueError('failed-1'),
    'surrogate': 'failed\udc80',
    'empty': '',
    'null character': 'a\0b',
    'line ends': 'a\r\n$3\r\nb',
    'colon': 'failed-1:x',
    'spaces': ' ',
    'huge': 'x' * 1_000_000,
    'astral': '\U0001f600',
    'str subclass': Text('failed-1'),
}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    'in': lambda registry, value: value in registry,
    'remove': lambda registry, value: registry.remove(value),
    'delete': lambda registry, value: registry.remove(value, delete_job=True),
    'requeue': lambda registry, value: registry.requeue(value),
    'expiration time': lambda registry, value: registry.get_expiration_time(value),
}


def assert_same(server: PrivateRedis, admin: redis.Redis, kind: str, call: Callable[[Any], Any]) -> Outcome:
    """Make the call twice with RQ and with ours on databases prepared alike; return what both got at first."""
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(admin)
        client = server.client()
        registry = getattr(namespace, kind)(NAME, connection=client)
        outcomes = [outcome_of(kind, lambda: call(registry)) for _ in range(2)]  # noqa: B023
        # What was refused has not disturbed the connection: the next answer is its own.
        usable = namespace.FailedJobRegistry(NAME, connection=client)
        found.append((outcomes, usable.get_job_ids(), usable.count, state(admin)))
        client.close()
    assert found[1] == found[0]
    return found[1][0][0]


@pytest.mark.covering(1)
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('value', BAD_IDS)
def test_bad_ids_have_same_outcome_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, value: str, call: str
) -> None:
    for kind in REGISTRIES:
        assert_same(redis_server, connection, kind, lambda registry: CALLS[call](registry, BAD_IDS[value]))


@pytest.mark.parametrize('value', BAD_IDS)
def test_bad_ids_of_scheduled_jobs_have_same_outcome_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, value: str
) -> None:
    assert_same(
        redis_server, connection, 'ScheduledJobRegistry', lambda registry: registry.get_scheduled_time(BAD_IDS[value])
    )


@pytest.mark.parametrize('value', ['None', 'bool', 'list', 'tuple', 'dict', 'object', 'surrogate'])
def test_argument_that_redis_py_refuses_raises(redis_server: PrivateRedis, connection: redis.Redis, value: str) -> None:
    """Both raise: the comparison above does not compare two successes."""
    outcome = assert_same(
        redis_server, connection, 'FailedJobRegistry', lambda registry: registry.remove(BAD_IDS[value])
    )
    assert outcome.error is (UnicodeEncodeError if value == 'surrogate' else DataError)


@pytest.mark.parametrize('value', ['bytes', 'memoryview', 'str subclass'])
def test_argument_that_redis_py_accepts_removes_entry(
    redis_server: PrivateRedis, connection: redis.Redis, value: str
) -> None:
    outcome = assert_same(
        redis_server, connection, 'FailedJobRegistry', lambda registry: registry.remove(BAD_IDS[value])
    )
    assert outcome.value == (int, 1)


RANGES: list[dict[str, Any]] = [
    {'start': None},
    {'start': '0'},
    {'start': b'1'},
    {'start': 1.5},
    {'start': 1.0},
    {'start': True},
    {'start': 'first'},
    {'start': '\udc80'},
    {'start': 10**30},
    {'start': -(10**30)},
    {'start': 2**63 - 1},
    {'start': [0]},
    {'end': None},
    {'end': 'last'},
    {'end': 2**64},
    {'end': -(2**63)},
    {'desc': None},
    {'desc': 'no'},
    {'desc': [], 'start': 3, 'end': 1},
    {'cleanup': None},
    {'cleanup': 'yes'},
    {'cleanup': 0.0},
    {'no_such_argument': 1},
]


@pytest.mark.covering(1)
@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'StartedJobRegistry', 'DeferredJobRegistry'])
@pytest.mark.parametrize('arguments', RANGES, ids=repr)
def test_bad_ranges_have_same_outcome_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, kind: str, arguments: dict[str, Any]
) -> None:
    outcome = assert_same(redis_server, connection, kind, lambda registry: registry.get_job_ids(**arguments))
    assert outcome.error is not None or outcome.value[0] is list


TIMES: list[Any] = [None, 0, -1, 1.5, '5', b'5', 'now', '+inf', '(5', float('inf'), float('nan'), True, [5], 10**400]


@pytest.mark.parametrize('time', TIMES, ids=lambda time: repr(time)[:12])
def test_bad_times_have_same_outcome_as_rq(redis_server: PrivateRedis, connection: redis.Redis, time: Any) -> None:
    for kind in ('FailedJobRegistry', 'FinishedJobRegistry', 'DeferredJobRegistry'):
        assert_same(redis_server, connection, kind, lambda registry: registry.get_expired_job_ids(time))
        assert_same(redis_server, connection, kind, lambda registry: registry.cleanup(time))
    assert_same(
        redis_server, connection, 'ScheduledJobRegistry', lambda registry: registry.get_jobs_to_schedule(time, 2)
    )


@pytest.mark.parametrize('size', [None, 0, -1, 1.5, '2', 'two', True, 10**30], ids=repr)
def test_bad_chunk_sizes_have_same_outcome_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, size: Any
) -> None:
    assert_same(
        redis_server,
        connection,
        'ScheduledJobRegistry',
        lambda registry: registry.get_jobs_to_schedule(4_000_000_001, chunk_size=size),
    )


class Odd(Job):
    """A job with any value as its id."""

    odd_id: Any = None

    @property
    def id(self) -> Any:
        """Return what is not an id."""
        return self.odd_id


@pytest.mark.parametrize('value', ['None', 'bytes', 'int', 'list', 'surrogate', 'empty'])
@pytest.mark.parametrize('call', ['in', 'remove', 'expiration time'])
def test_jobs_with_odd_ids_have_same_outcome_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, value: str, call: str
) -> None:
    job = Odd('unused', connection=connection)
    job.odd_id = BAD_IDS[value]
    for kind in ('FailedJobRegistry', 'StartedJobRegistry'):
        assert_same(redis_server, connection, kind, lambda registry: CALLS[call](registry, job))


@pytest.mark.parametrize('job_id', [None, 5, b'running', '', 'a:b', 'x\udc80'], ids=repr)
def test_execution_registries_of_odd_jobs_have_same_outcome_as_rq(
    redis_server: PrivateRedis, connection: redis.Redis, job_id: Any
) -> None:
    prepare(connection)
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        registry = EXECUTIONS[namespace](job_id, connection=redis_server.client())
        calls = {'count': lambda: registry.count, 'ids': registry.get_execution_ids}  # noqa: B023
        found.append([outcome_of(name, call) for name, call in calls.items()])
    assert found[1] == found[0]


# ---- Connections ---------------------------------------------------------------------------------


BAD_CONNECTIONS: dict[str, Any] = {
    'None': None,
    'int': 7,
    'float': 1.5,
    'bool': True,
    'bytes': b'redis://localhost:6379/0',
    'object': object(),
    'class': redis.Redis,
    'list': ['redis://localhost:6379/0'],
    'tuple': ('localhost', 6379),
    'dict': {'host': 'localhost'},
    'module': redis,
    'pool': redis.ConnectionPool(),
    'function': len,
}
CONNECTION_CALLS: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'ids': lambda registry: registry.get_job_ids(),
    'in': lambda registry: 'a' in registry,
    'remove': lambda registry: registry.remove('a'),
    'delete': lambda registry: registry.remove('a', delete_job=True),
    'requeue': lambda registry: registry.requeue('a'),
    'cleanup': lambda registry: registry.cleanup(),
    'expired': lambda registry: registry.get_expired_job_ids(),
}


def answers_on(namespace: ModuleType, connection: Any) -> list[Outcome]:
    """Make every call on registries of this connection."""
    outcomes = []
    for kind in ('FailedJobRegistry', 'StartedJobRegistry'):
        registry = getattr(namespace, kind)('q', connection=connection)
        outcomes += [outcome_of(name, lambda: call(registry)) for name, call in CONNECTION_CALLS.items()]  # noqa: B023
    return outcomes


@pytest.mark.parametrize('name', BAD_CONNECTIONS)
def test_connection_that_is_no_client_has_same_outcome_as_rq(name: str) -> None:
    """RQ stores any connection and fails in the first call; so do we, with the same message."""
    theirs = answers_on(rq.registry, BAD_CONNECTIONS[name])
    assert answers_on(rqreg_ext.registry, BAD_CONNECTIONS[name]) == theirs
    assert all(outcome.error is not None for outcome in theirs)


BAD_URLS = [
    '',
    ' ',
    'localhost',
    'localhost:6379',
    '/tmp/redis.sock',
    'http://localhost:6379/0',
    'REDISS//localhost',
    'redis:/localhost',
    'redis://localhost:port/0',
    'redis://localhost:99999/0',
    'redis://[::1/0',
    'redis://localhost/0?socket_timeout=soon',
    'redis://localhost/0?max_connections=many',
    '\udc80',
]


@pytest.mark.parametrize('url', BAD_URLS, ids=ascii)
@pytest.mark.parametrize(
    'make',
    [
        pytest.param(lambda url: rqreg_ext.FailedJobRegistry('q', connection=url), id='registry'),
        pytest.param(lambda url: rqreg_ext.StartedJobRegistry('q', url), id='positional'),
        pytest.param(lambda url: rqreg_ext.executions.ExecutionRegistry('job', connection=url), id='executions'),
        pytest.param(lambda url: rqreg_ext.Queue('q', connection=url or ' '), id='queue'),
    ],
)
def test_invalid_url_raises_error_that_names_it(make: Callable[[str], Any], url: str) -> None:
    with pytest.raises(ValueError, match=r'connection=') as raised:
        make(url)
    assert repr(url)[1:-1] in str(raised.value)


def test_empty_url_of_queue_raises_type_error_as_rq() -> None:
    found = [outcome_of('queue', lambda: queue('q', connection='')) for queue in (rq.Queue, rqreg_ext.Queue)]  # noqa: B023
    assert found[1] == found[0]
    assert found[1].error is TypeError


def test_invalid_url_is_not_kept(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match='http'):
            rqreg_ext.FailedJobRegistry('q', connection='http://localhost')
        assert rqreg_ext.FailedJobRegistry('q', connection=redis_server.url).count == 0


def test_unknown_argument_in_url_raises_at_first_call_as_rq(redis_server: PrivateRedis) -> None:
    """redis-py accepts it, and fails when it connects: the call raises RQ's error."""
    url = f'{redis_server.url}?no_such_argument=1'
    theirs = answers_on(rq.registry, redis.Redis.from_url(url))
    assert answers_on(rqreg_ext.registry, url) == theirs
    assert {outcome.error for outcome in theirs if outcome.call in ('count', 'ids', 'in')} == {TypeError}


def test_url_of_str_subclass_is_accepted(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    assert rqreg_ext.FailedJobRegistry('q', connection=Text(redis_server.url)).count == 0


# ---- Attributes changed afterwards ----------------------------------------------------------------


@pytest.fixture
def registries(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[list[Any]]:
    """RQ's failed registry and ours, both used before."""
    prepare(connection)
    clients = [redis_server.client(), redis_server.client()]
    made = [
        rq.registry.FailedJobRegistry(NAME, connection=clients[0]),
        rqreg_ext.registry.FailedJobRegistry(NAME, connection=clients[1]),
    ]
    assert [registry.count for registry in made] == [9, 9]
    yield made
    for client in clients:
        client.close()


@pytest.mark.parametrize('key', [None, 5, b'rq:failed:q', '', Text('rq:failed:q'), ['q']], ids=repr)
def test_replaced_key_has_same_outcome_as_rq(registries: list[Any], key: Any) -> None:
    found = []
    for registry in registries:
        registry.key = key
        found.append([outcome_of(name, lambda: call(registry)) for name, call in CONNECTION_CALLS.items()])  # noqa: B023
    assert found[1] == found[0]


@pytest.mark.parametrize('call', CONNECTION_CALLS)
def test_key_that_cannot_be_encoded_has_same_outcome_as_rq(registries: list[Any], call: str) -> None:
    found = []
    for registry in registries:
        registry.key = 'a\udc80'
        found.append(outcome_of(call, lambda: CONNECTION_CALLS[call](registry)))  # noqa: B023
    assert found[0].error is not None
    assert found[1] == found[0]


@pytest.mark.parametrize('attribute', ['key', 'connection', 'job_class', 'serializer', 'name'])
def test_deleted_attribute_has_same_outcome_as_rq(registries: list[Any], attribute: str) -> None:
    found = []
    for registry in registries:
        delattr(registry, attribute)
        found.append([outcome_of(name, lambda: call(registry)) for name, call in CONNECTION_CALLS.items()])  # noqa: B023
    for theirs, ours in zip(*found, strict=True):
        assert (ours.call, ours.value, ours.error) == (theirs.call, theirs.value, theirs.error)


def test_replaced_connection_is_used_from_then_on(registries: list[Any], redis_server: PrivateRedis) -> None:
    for registry in registries:
        registry.connection = redis_server.client(db=9)
        assert registry.count == 0
        registry.connection = None
        assert outcome_of('count', lambda: registry.count).error is AttributeError  # noqa: B023


def test_bad_input_opens_no_second_connection(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """An id that cannot be encoded is refused before anything is sent, so the connection stays usable."""
    registry = rqreg_ext.FailedJobRegistry('q', connection=redis_server.client())
    assert registry.count == 0

    def refuse() -> None:
        for value in BAD_IDS.values():
            outcome_of('in', lambda: value in registry)  # noqa: B023
            outcome_of('remove', lambda: registry.remove(value))  # noqa: B023
        assert registry.count == 0

    # One of the client's own, should RQ's path have been asked for something.
    assert len(opened_by(connection, refuse)) <= 1


@pytest.mark.parametrize('method', ['_execute_command', '_send_command_parse_response'])
def test_stand_in_without_a_call_sends_nothing(method: str) -> None:
    """An object of this class that no call has made: it has no command to compare with."""
    with pytest.raises(RuntimeError, match='over, or at work'):
        getattr(_core.StandIn(), method)('GET', 'key', 'value')
