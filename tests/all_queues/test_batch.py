"""batch() returns and leaves what single calls do, in one write."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import fakeredis
import pytest
import redis
import rq.registry
from clients.outcomes import Outcome, outcome_of
from clients.recording import Recorder
from depth import IS_DEEP
from differential.database import COPY_SCRIPT, differences, dump
from differential.sides import OUR_DATABASE, REGISTRIES, RQ_DATABASE
from differential.strategies import FLAG, JOB_ID, mostly, worlds
from differential.world import World, Writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from private_redis import PrivateRedis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.executions import ExecutionRegistry
from rq.job import Job

import rqreg_ext
from rqreg_ext import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry, batch
from rqreg_ext._query.pages import Page

NEVER = 4_000_000_000
TRIES = 30
REGISTRIES_WITH_CLEANUP = [
    name for name in vars(rq.registry) if name.endswith('JobRegistry') and name in rqreg_ext.__all__
]
KEY = rq.registry.FailedJobRegistry.key_template.format('q')

examples = settings(
    max_examples=1000 if IS_DEEP else 150,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs' webhooks fail on this machine, not in a proxy."""
    monkeypatch.setenv('no_proxy', '*')


@pytest.fixture(params=[2, 3], ids=['RESP2', 'RESP3'])
def client(request: pytest.FixtureRequest, connection: redis.Redis, redis_server: PrivateRedis) -> Iterator[Any]:
    connection.zadd(KEY, {'a': NEVER, 'b': NEVER + 1, 'c': NEVER + 2, 'expired': 1})
    with redis_server.client(protocol=request.param) as client:
        yield client


# Results


def test_results_are_available_after_block(client: redis.Redis) -> None:
    failed = FailedJobRegistry('q', client)
    finished = FinishedJobRegistry('q', client)
    with batch(client) as calls:
        uncleaned = calls.count(failed, cleanup=False)
        count = calls.count(failed)
        there, gone = calls.contains(failed, 'a'), calls.contains(failed, 'expired')
        ids = calls.get_job_ids(failed, desc=True)
        some = calls.get_job_ids(failed, 1, 1)
        removed, not_there = calls.remove(failed, 'a'), calls.remove(failed, 'nobody')
        rest = calls.get_job_count(failed)
        nothing = calls.get_job_ids(finished)
        assert len(calls) == 10
    assert (uncleaned.result(), count.result(), rest.result()) == (4, 3, 2)
    assert (there.result(), gone.result()) == (True, False)
    assert (ids.result(), some.result(), nothing.result()) == (['c', 'b', 'a'], ['b'], [])
    assert (removed.result(), not_there.result()) == (1, 0)
    assert client.zrange(KEY, 0, -1) == [b'b', b'c']


def test_batched_get_page_returns_same_as_single_call(client: redis.Redis) -> None:
    client.zadd(StartedJobRegistry('q', client).key, {'running:run': NEVER})
    failed = FailedJobRegistry('q', client)
    with batch(client) as calls:
        first = calls.get_page(failed, per_page=2)
        scored = calls.get_page(failed, 2, 2, with_scores=True)
        downwards = calls.get_page(failed, per_page=2, desc=True)
        started = calls.get_page(StartedJobRegistry('q', client))
        of_rq = calls.get_page(rq.registry.FailedJobRegistry('q', connection=client), per_page=1)
    assert first.result() == Page(total=3, page=1, per_page=2, job_ids=['a', 'b'])
    assert scored.result() == Page(total=3, page=2, per_page=2, job_ids=['c'], scores=[NEVER + 2])
    assert downwards.result().job_ids == ['c', 'b']
    assert started.result() == Page(total=1, page=1, per_page=100, job_ids=['running'])
    assert of_rq.result() == Page(total=3, page=1, per_page=1, job_ids=['a'])
    assert first.result() == failed.get_page(per_page=2)


@pytest.mark.parametrize(('page', 'error'), [(0, ValueError), ('1', TypeError)])
def test_invalid_page_raises(client: redis.Redis, page: Any, error: type[Exception]) -> None:
    with batch(client) as calls, pytest.raises(error, match='page='):
        calls.get_page(FailedJobRegistry('q', client), page)


def test_job_object_is_accepted(client: redis.Redis) -> None:
    job = Job.create('os.getpid', id='b', connection=client)
    with batch(client) as calls:
        there = calls.contains(FailedJobRegistry('q', client), job)
        removed = calls.remove(FailedJobRegistry('q', client), job)
    assert (there.result(), removed.result()) == (True, 1)


def test_registries_of_rq_are_accepted(client: redis.Redis) -> None:
    queue = Queue('q', connection=client)
    with batch(client) as calls:
        count, ids = calls.count(queue.failed_job_registry), calls.get_job_ids(queue.failed_job_registry)
    assert (count.result(), ids.result()) == (3, ['a', 'b', 'c'])


def test_execution_registry_is_accepted(client: redis.Redis) -> None:
    client.zadd(ExecutionRegistry.key_template.format('a'), {'run': NEVER, 'gone': 1})
    with batch(client) as calls:
        count = calls.count(rqreg_ext.ExecutionRegistry('a', client))
        ids = calls.get_job_ids(rqreg_ext.ExecutionRegistry('a', client))
    assert (count.result(), ids.result()) == (1, ['run'])


def test_block_without_calls_is_empty(client: redis.Redis) -> None:
    with batch(client) as calls:
        assert len(calls) == 0


# One write


@pytest.fixture
def recorded(client: redis.Redis, redis_server: PrivateRedis) -> Iterator[tuple[Recorder, redis.Redis]]:
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as through:
        assert FailedJobRegistry('elsewhere', through).count == 0
        recorder.clear()
        yield recorder, through


def test_calls_are_sent_in_one_write(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    failed, started = FailedJobRegistry('q', client), StartedJobRegistry('q', client)
    with batch(client) as calls:
        calls.count(failed)
        calls.contains(failed, 'a')
        calls.count(started)
        calls.get_job_ids(started, cleanup=False)
        calls.get_page(failed, cleanup=False)
        calls.remove(failed, 'a')
        assert recorder.blocks == []
    expected = ['ZREMRANGEBYSCORE', 'ZCARD', 'ZSCORE', 'ZRANGEBYSCORE', 'ZCARD', 'ZRANGE', 'ZRANGE', 'ZCARD', 'ZREM']
    assert recorder.blocks == [expected]


@pytest.mark.parametrize('name', REGISTRIES_WITH_CLEANUP)
def test_cleanup_sends_what_the_single_call_sends(recorded: tuple[Recorder, redis.Redis], name: str) -> None:
    """Also the command that finds out whether RQ's cleanup has work to do: the user needs the same rights."""
    recorder, client = recorded
    registry = getattr(rqreg_ext, name)('q', client)
    assert registry.count == registry.get_job_count()
    single = _without_times(recorder.writes[-1].octets)
    with batch(client) as calls:
        calls.count(registry)
    assert _without_times(recorder.writes[-1].octets) == single


def _without_times(octets: bytes) -> bytes:
    return re.sub(rb'\b[12]\d{9}\b', b'now', octets)


def test_exception_in_block_sends_nothing(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    failed = FailedJobRegistry('q', client)
    error = KeyError('mine')
    with pytest.raises(KeyError, match='mine'), batch(client) as calls:  # noqa: PT012
        removed = calls.remove(failed, 'a')
        deleted = calls.remove(failed, 'b', delete_job=True)
        raise error
    assert recorder.blocks == []
    for call in (removed, deleted):
        with pytest.raises(RuntimeError, match="no result, because the batch ended with KeyError: 'mine'") as raised:
            call.result()
        assert raised.value.__cause__ is error
    assert len(client.zrange(KEY, 0, -1)) == 4


# Calls that are not sent with the batch


def abandon(client: Any, job_id: str) -> None:
    queue = Queue('q', connection=client)
    job = queue.enqueue('os.getpid', job_id=job_id)
    queue.remove(job)
    job.set_status('started')
    client.zadd(queue.started_job_registry.key, {f'{job_id}:run': 1})


def test_cleanup_with_work_is_done_by_rq(client: redis.Redis) -> None:
    abandon(client, 'lost')
    client.zadd(StartedJobRegistry('q', client).key, {'running:run': NEVER})
    with batch(client) as calls:
        failed_before = calls.count(FailedJobRegistry('q', client))
        count = calls.count(StartedJobRegistry('q', client))
        ids = calls.get_job_ids(StartedJobRegistry('q', client))
        there = calls.contains(StartedJobRegistry('q', client), 'running')
    assert (count.result(), ids.result(), there.result()) == (1, ['running'], True)
    assert failed_before.result() == 3
    assert 'lost' in FailedJobRegistry('q', client)


def test_remove_deletes_job(client: redis.Redis) -> None:
    job = Queue('elsewhere', connection=client).enqueue('os.getpid', job_id='a')
    with batch(client) as calls:
        deleted = calls.remove(FailedJobRegistry('q', client), 'a', delete_job=True)
        missing = calls.remove(FailedJobRegistry('q', client), 'b', delete_job=True)
    assert deleted.result() == 1
    assert not client.exists(job.key)
    with pytest.raises(rq.exceptions.NoSuchJobError):
        missing.result()


class Doubling(FailedJobRegistry):
    def cleanup(self, timestamp: Any = None, exception_handlers: Any = None) -> None:
        self.cleaned = True

    def get_job_count(self, cleanup: bool = True) -> int:
        return 2 * super().get_job_count(cleanup)

    def get_job_ids(self, *args: Any, **kwargs: Any) -> list[str]:
        return [job_id.upper() for job_id in super().get_job_ids(*args, **kwargs)]

    def __contains__(self, item: Any) -> bool:
        return not super().__contains__(item)

    def get_page(self, *args: Any, **kwargs: Any) -> Any:
        return 'a page'

    def remove(self, job: Any, pipeline: Any = None, delete_job: bool = False) -> Any:
        return f'{job} removed'


def test_overridden_methods_are_called(client: redis.Redis) -> None:
    registry = Doubling('q', client)
    with batch(client) as calls:
        count, ids = calls.count(registry), calls.get_job_ids(registry)
        there, removed = calls.contains(registry, 'a'), calls.remove(registry, 'a')
        page = calls.get_page(registry)
    assert page.result() == 'a page'
    assert (count.result(), ids.result()) == (8, ['EXPIRED', 'A', 'B', 'C'])
    assert (there.result(), removed.result(), registry.cleaned) == (False, 'a removed', True)


class Parsing(FailedJobRegistry):
    @staticmethod
    def parse_job_id(entry: Any) -> str:
        return f'job {rq.registry.BaseRegistry.parse_job_id(entry)}'


def test_overridden_parse_job_id_is_called(client: redis.Redis) -> None:
    with batch(client) as calls:
        ids = calls.get_job_ids(Parsing('q', client), 0, 0)
        page = calls.get_page(Parsing('q', client), per_page=1)
    assert ids.result() == page.result().job_ids == ['job a']


def test_cleanup_of_instance_is_called(client: redis.Redis) -> None:
    registry = FailedJobRegistry('q', client)
    registry.cleanup = mock.Mock()  # type: ignore[method-assign]
    with batch(client) as calls:
        count = calls.count(registry)
        calls.count(registry, cleanup=False)
    assert count.result() == 4
    registry.cleanup.assert_called_once()


@pytest.mark.parametrize('name', ['get_job_count', 'get_job_ids', 'remove'])
def test_method_of_instance_is_called(client: redis.Redis, name: str) -> None:
    registry = FailedJobRegistry('q', client)
    with mock.patch.object(registry, name, return_value='mine'), batch(client) as calls:
        arguments = ('a',) if name == 'remove' else ()
        call = getattr(calls, name)(registry, *arguments)
    assert call.result() == 'mine'


@pytest.mark.parametrize('owner', [FailedJobRegistry, rq.registry.FailedJobRegistry])
def test_patched_cleanup_is_called(client: redis.Redis, owner: Any) -> None:
    with mock.patch.object(owner, 'cleanup') as patched, batch(client) as calls:
        count = calls.count(owner('q', connection=client))
    assert count.result() == 3 + patched.called
    assert patched.called


# Errors


def test_result_within_block_raises(client: redis.Redis) -> None:
    with batch(client) as calls:
        count = calls.count(FailedJobRegistry('q', client))
        with pytest.raises(RuntimeError, match='sent at the end of its with block'):
            count.result()
    assert count.result() == 3


def test_call_after_block_raises(client: redis.Redis) -> None:
    with batch(client) as calls:
        pass
    with pytest.raises(RuntimeError, match='this batch is over'):
        calls.count(FailedJobRegistry('q', client))


def test_error_of_one_call_is_raised_by_its_result(client: redis.Redis) -> None:
    client.set(FinishedJobRegistry('q', client).key, 'x')
    client.zadd(FailedJobRegistry('odd', client).key, {b'\xff': NEVER})
    with batch(client) as calls:
        before = calls.count(FailedJobRegistry('q', client))
        wrong = calls.count(FinishedJobRegistry('q', client))
        odd = calls.get_job_ids(FailedJobRegistry('odd', client))
        odd_page = calls.get_page(FailedJobRegistry('odd', client), with_scores=True)
        surrogate = calls.contains(FailedJobRegistry('q', client), '\udc80')
        no_id = calls.remove(FailedJobRegistry('q', client), ('a',))  # type: ignore[arg-type]
        started = calls.remove(StartedJobRegistry('q', client), 'a')
        after = calls.remove(FailedJobRegistry('q', client), 'a')
    assert (before.result(), after.result()) == (3, 1)
    for call, error in [
        (wrong, redis.ResponseError),
        (odd, UnicodeDecodeError),
        (odd_page, UnicodeDecodeError),
        (surrogate, UnicodeEncodeError),
        (no_id, redis.DataError),
        (started, NotImplementedError),
    ]:
        for _ in range(2):
            with pytest.raises(error):
                call.result()


def test_lost_connection_is_raised_by_block(client: redis.Redis, redis_server: PrivateRedis) -> None:
    lost = redis.Redis(port=1)
    with pytest.raises(redis.ConnectionError), batch(lost) as calls:
        count = calls.count(FailedJobRegistry('q', lost))
    with pytest.raises(RuntimeError, match='no result, because the batch ended with ConnectionError'):
        count.result()


def test_connection_lost_after_write_keeps_earlier_results(client: redis.Redis, redis_server: PrivateRedis) -> None:
    """Results that arrived before are kept."""
    with Recorder(redis_server.port) as recorder:
        through = redis_server.client(port=recorder.port, retry=Retry(NoBackoff(), 0))
        assert 'a' not in StartedJobRegistry('q', through)
        recorder.cut('EVALSHA')
        with pytest.raises(redis.ConnectionError), batch(through) as calls:  # noqa: PT012
            count = calls.count(FailedJobRegistry('q', through))
            there = calls.contains(StartedJobRegistry('q', through), 'a')
            removed = calls.remove(FailedJobRegistry('q', through), 'b')
    assert count.result() == 3
    for call in (there, removed):
        with pytest.raises(RuntimeError, match='no result, because the batch ended with ConnectionError: '):
            call.result()


def test_registry_of_other_redis_is_refused(client: redis.Redis, redis_server: PrivateRedis) -> None:
    for other in (redis_server.client(db=5), redis.Redis(port=1)):
        with batch(client) as calls, pytest.raises(ValueError, match='is in another Redis than this batch'):
            calls.count(FailedJobRegistry('q', other))
    with batch(client) as calls:
        count = calls.count(FailedJobRegistry('q', redis_server.client()))
    assert count.result() == 3


@pytest.mark.parametrize('registry', [None, 'failed', KEY, Queue('q', connection=redis.Redis())])
def test_other_objects_are_refused(client: redis.Redis, registry: Any) -> None:
    calls_of: list[Callable[[Any], Any]] = [
        lambda calls: calls.count(registry),
        lambda calls: calls.contains(registry, 'a'),
        lambda calls: calls.get_job_ids(registry),
        lambda calls: calls.remove(registry, 'a'),
    ]
    with batch(client) as calls:
        for call in calls_of:
            with pytest.raises(TypeError, match='is not a registry'):
                call(calls)


def test_invalid_client_is_refused() -> None:
    with pytest.raises(TypeError, match='connection=5 is not a client'), batch(5):  # type: ignore[arg-type]
        pass


# Clients


class Instrumented(redis.Redis):
    """A client with an overridden method, which our code must call."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)


@pytest.mark.parametrize(
    'make',
    [
        lambda server: server.url,
        lambda server: server.client(decode_responses=True),
        lambda server: Instrumented(host='127.0.0.1', port=server.port),
        lambda server: Instrumented(host='127.0.0.1', port=server.port, decode_responses=True, protocol=3),
    ],
    ids=['url', 'decode_responses', 'instrumented', 'instrumented, decode_responses'],
)
def test_batch_answers_on_each_kind_of_client(
    client: redis.Redis, redis_server: PrivateRedis, make: Callable[[PrivateRedis], Any]
) -> None:
    connection_ = make(redis_server)
    client.zadd(StartedJobRegistry('q', client).key, {'running:run': NEVER})
    with batch(connection_) as calls:
        failed = FailedJobRegistry('q', connection_)
        count, ids, there = calls.count(failed), calls.get_job_ids(failed), calls.contains(failed, 'b')
        page = calls.get_page(failed, 1, 2, with_scores=True)
        started = calls.get_job_ids(StartedJobRegistry('q', connection_))
        removed = calls.remove(failed, 'a')
    assert (count.result(), ids.result(), there.result(), removed.result()) == (3, ['a', 'b', 'c'], True, 1)
    assert started.result() == ['running']
    assert (page.result().job_ids, page.result().scores) == (['a', 'b'], [NEVER, NEVER + 1])


def test_batch_answers_on_fakeredis() -> None:
    client = fakeredis.FakeRedis()
    client.zadd(KEY, {'a': NEVER, 'expired': 1})
    with batch(client) as calls:
        count, there = calls.count(FailedJobRegistry('q', client)), calls.contains(FailedJobRegistry('q', client), 'a')
    assert (count.result(), there.result()) == (1, True)


# Compared with RQ, on random databases

RANK = mostly(
    st.sampled_from([0, -1, 1, -2, 2, 100]), st.sampled_from([None, 'x', 1.5, True, '0', b'1', 2**64, [], '\udc80'])
)
ARGUMENTS: dict[str, Any] = {
    'get_job_count': st.tuples(FLAG),
    'contains': st.tuples(mostly(JOB_ID, st.sampled_from([None, b'a', 5, 1.5, '\udc80', ('a',), b'\xff', 'é']))),
    'get_job_ids': st.tuples(RANK, RANK, FLAG, FLAG),
    'remove': st.tuples(mostly(JOB_ID, st.sampled_from([None, b'a', 5, '\udc80', 'é']))),
}
CALLS = st.sampled_from(list(ARGUMENTS)).flatmap(lambda name: st.tuples(st.just(name), ARGUMENTS[name]))


def single(registry: Any, name: str, arguments: tuple[Any, ...]) -> Outcome:
    if name == 'contains':
        return outcome_of(name, lambda: arguments[0] in registry)
    return outcome_of(name, lambda: getattr(registry, name)(*arguments))


def of_library(kind: str, name: str) -> Any:
    """Return RQ's class; ours for the one call that may differ (differential/known_differences.py)."""
    return getattr(rqreg_ext if (kind, name) == ('StartedJobRegistry', 'contains') else rq.registry, kind)


def compare(sides: tuple[Any, Any, Any], world: World, kind: str, calls: list[Any]) -> tuple[Any, Any, list[str]]:
    """Return the outcomes of RQ's single calls and of a batch of ours, and where the databases differ then."""
    model, of_rq, ours = sides
    with model.pipeline(transaction=False) as pipe:
        pipe.flushall()
        Writer(world, pipe, math.floor(time.time())).write()
        pipe.eval(COPY_SCRIPT, 0, RQ_DATABASE, OUR_DATABASE)
        pipe.execute()
    expected = [
        single(of_library(kind, name)(world.queue, connection=of_rq), name, arguments) for name, arguments in calls
    ]
    registry = getattr(rqreg_ext, kind)(world.queue, connection=ours)
    with batch(ours) as gathered:
        pending = [(name, getattr(gathered, name)(registry, *arguments)) for name, arguments in calls]
    found = [outcome_of(name, call.result) for name, call in pending]
    return found, expected, differences(dump(of_rq), dump(ours))


def assert_same(sides: tuple[Any, Any, Any], world: World, kind: str, calls: list[Any]) -> None:
    for _ in range(TRIES):
        second = math.floor(time.time())
        found, expected, different = compare(sides, world, kind, calls)
        # What takes the time of day may have got another second on the other side.
        if (found == expected and not different) or math.floor(time.time()) == second:
            break
    assert found == expected
    assert different == []


@pytest.mark.parametrize('kind', REGISTRIES)
@pytest.mark.filterwarnings('ignore:Composite key')
def test_random_calls_equal_single_calls(kind: str, sides: tuple[Any, Any, Any]) -> None:
    @examples
    @given(world=worlds(kind), call=CALLS)
    def one_call(world: World, call: Any) -> None:
        assert_same(sides, world, kind, [call])

    one_call()


@pytest.mark.parametrize('kind', ['FailedJobRegistry', 'FinishedJobRegistry', 'CanceledJobRegistry'])
def test_random_batches_equal_single_calls(kind: str, sides: tuple[Any, Any, Any]) -> None:
    """All of the calls are sent with the batch, and so are made in their order."""

    def are_sent(call: tuple[str, tuple[Any, ...]]) -> bool:
        name, arguments = call
        # A rank that is a bool is passed to RQ's own method.
        ranks = arguments[:2] if name == 'get_job_ids' else ()
        return (
            all(type(argument) in (str, int, bool) for argument in arguments)
            and not any(type(rank) is bool for rank in ranks)
            and '\udc80' not in arguments
        )

    @examples
    @given(world=worlds(kind), calls=st.lists(CALLS.filter(are_sent), max_size=6))
    def many_calls(world: World, calls: list[Any]) -> None:
        assert_same(sides, world, kind, calls)

    many_calls()
