"""The name of a queue that does not exist raises an error with similar names, in every call with `queues`."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
from clients.recording import Recorder
from rq import Queue
from rq.registry import FailedJobRegistry as RQFailedJobRegistry
from rq.worker import SimpleWorker
from rq.worker_registration import register

import rqreg_ext

if TYPE_CHECKING:
    from private_redis import PrivateRedis

CALLS: dict[str, Callable[..., Any]] = {
    'purge': rqreg_ext.purge,
    'requeue_all': rqreg_ext.requeue_all,
    'purge(dry_run)': lambda client, **options: rqreg_ext.purge(client, dry_run=True, **options),
    'cancel_all': lambda client, **options: rqreg_ext.cancel_all(client, 'failed', **options),
    'trim': lambda client, **options: rqreg_ext.trim(client, keep=9, **options),
    'find': lambda client, **options: list(rqreg_ext.find(client, **options)),
    'count_by': lambda client, **options: rqreg_ext.count_by(client, 'queue', **options),
    'list_jobs': lambda client, **options: rqreg_ext.list_jobs(client, **options),
    'export': lambda client, **options: rqreg_ext.export(client, io.BytesIO(), **options),
    'check': lambda client, **options: rqreg_ext.check(client, settle=0, **options),
    'repair': rqreg_ext.repair,
    'repair of nothing': lambda client, **options: rqreg_ext.repair(client, [], **options),
    'snapshot': rqreg_ext.snapshot,
    'snapshot(cleanup)': lambda client, **options: rqreg_ext.snapshot(client, cleanup=True, **options),
    'snapshot(scores)': lambda client, **options: rqreg_ext.snapshot(client, scores=True, workers=False, **options),
}
of_each_call = pytest.mark.parametrize('call', CALLS.values(), ids=list(CALLS))


def test_every_call_with_queues_is_in_table() -> None:
    named = {
        name
        for name in rqreg_ext.__all__
        # A class of a newer RQ.
        if not isinstance(getattr(rqreg_ext, name, type), type)
        and 'queues' in inspect.signature(getattr(rqreg_ext, name)).parameters
    }
    assert named == {name.partition('(')[0] for name in CALLS} - {'repair of nothing'}


def enqueue_on(client: Any, *names: str) -> None:
    for name in names:
        Queue(name, connection=client).enqueue('len')


@pytest.mark.covering(1)
@of_each_call
@pytest.mark.parametrize('queues', ['mial', ['mial'], ['mail', 'mial']], ids=str)
def test_unknown_queue_is_refused_with_similar_names(
    any_client: Any, storing_client: Any, call: Any, queues: Any
) -> None:
    for name in ('mail', 'labels'):
        storing_client.sadd('rq:queues', f'rq:queue:{name}')
        storing_client.zadd(f'rq:failed:{name}', {'gone': 4e9})
    before = sorted(storing_client.keys('*')), storing_client.zcard('rq:failed:mail')
    words = r"no queue 'mial' \(did you mean 'mail'\?\)\. RQ knows 'labels', 'mail'\. Give a Queue object"
    with pytest.raises(ValueError, match=words):
        call(any_client, queues=queues)
    assert (sorted(storing_client.keys('*')), storing_client.zcard('rq:failed:mail')) == before


@of_each_call
def test_error_names_every_unknown_queue(connection: redis.Redis, call: Any) -> None:
    enqueue_on(connection, *(f'tenant-{number}' for number in range(30)), 'mail')
    words = r"no queue 'mial' \(did you mean 'mail'\?\), nor 'nothing like it'\. RQ knows 'mail', .* and 21 more\."
    with pytest.raises(ValueError, match=words):
        call(connection, queues=['mial', 'tenant-7', 'nothing like it'])


@of_each_call
def test_queue_name_in_empty_redis_is_refused(connection: redis.Redis, call: Any) -> None:
    with pytest.raises(ValueError, match=r"no queue 'mail'\. RQ knows none\."):
        call(connection, queues='mail')


def listen(client: Any) -> None:
    register(SimpleWorker(['q'], connection=client))  # type: ignore[no-untyped-call]


EXISTING: dict[str, Callable[[Any], Any]] = {
    'listed': lambda client: client.sadd('rq:queues', 'rq:queue:q'),
    'list': lambda client: client.rpush('rq:queue:q', 'a'),
    **{
        name: lambda client, name=name: client.zadd(f'rq:{name}:q', {'a': 4e9})  # type: ignore[misc]
        for name in ('failed', 'finished', 'deferred', 'scheduled', 'canceled')
    },
    'started': lambda client: client.zadd('rq:wip:q', {'a:b': 4e9}),
    'listened to': listen,
    'key of another type': lambda client: client.set('rq:queue:q', 'x'),
}


@pytest.mark.parametrize('name', EXISTING)
def test_queue_with_any_key_is_accepted(connection: redis.Redis, name: str) -> None:
    EXISTING[name](connection)
    assert list(rqreg_ext.purge(connection, queues=['q'])) == ['q']
    connection.flushdb()
    EXISTING[name](connection)
    if name != 'key of another type':
        assert list(rqreg_ext.snapshot(connection, ['q'])) == ['q']


@of_each_call
def test_queue_object_without_jobs_is_accepted(connection: redis.Redis, call: Any) -> None:
    queue = Queue('new', connection=connection)
    call(connection, queues=queue)
    call(connection, queues=[rqreg_ext.Queue('newer', connection=connection), queue])
    assert rqreg_ext.snapshot(connection, queue)['new'].queued == queue.count == 0
    assert RQFailedJobRegistry('new', connection=connection).count == 0


# ---- Users with few rights


@pytest.fixture
def client_with(redis_server: PrivateRedis, connection: redis.Redis) -> Iterator[Callable[..., redis.Redis]]:
    """Return a function that returns a client whose user has these rights."""

    def client(*rules: str) -> redis.Redis:
        connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', *rules)
        return redis_server.client(username='limited', password='x')

    yield client
    connection.execute_command('ACL', 'DELUSER', 'limited')


OF_ALL_KEYS = ('~*', '+@all')
WORDS = r"there is no queue 'mial' \(did you mean 'mail'\?\)\. RQ knows 'mail'\. Give a Queue object"


@pytest.mark.covering(1)
@of_each_call
@pytest.mark.parametrize('denied', ['-exists', '-sismember', '-llen', '-scard', '-exists -sismember', '-@dangerous'])
def test_unknown_queue_is_refused_without_right_to_one_command(
    connection: redis.Redis, client_with: Callable[..., redis.Redis], call: Any, denied: str
) -> None:
    enqueue_on(connection, 'mail')
    client = client_with(*OF_ALL_KEYS, *denied.split())
    with pytest.raises(ValueError, match=WORDS):
        call(client, queues=['mial'])


# check() itself sends EXISTS.
@pytest.mark.parametrize('name', [name for name in CALLS if name not in ('check', 'repair')])
@pytest.mark.parametrize('denied', ['-exists', '-sismember', '-exists -sismember'])
def test_existing_queue_is_accepted_without_right_to_one_command(
    connection: redis.Redis, client_with: Callable[..., redis.Redis], name: str, denied: str
) -> None:
    enqueue_on(connection, 'mail')
    connection.zadd('rq:failed:unlisted', {'gone': 4e9})
    CALLS[name](client_with(*OF_ALL_KEYS, *denied.split()), queues=['mail', 'unlisted'])


@of_each_call
@pytest.mark.parametrize('denied', ['', '-exists', '-sismember'])
def test_error_names_similar_queues_and_hidden_keys(
    connection: redis.Redis, client_with: Callable[..., redis.Redis], call: Any, denied: str
) -> None:
    enqueue_on(connection, 'mail')
    client = client_with('~rq:[^q]*', '~rq:queues', '~rq:queue:mail', '+@all', *denied.split())
    words = (
        r"RQ lists no queue 'mial' \(did you mean 'mail'\?\), and your user has no right to rq:queue:mial, "
        r"where it may have jobs\. RQ knows 'mail'\. Give a Queue object"
    )
    with pytest.raises(ValueError, match=words):
        call(client, queues=['mial'])
    with pytest.raises(ValueError, match="no queue 'mial'"):
        call(client, queues=['mail', 'mial'])
    call(client, queues=['mail'])


@of_each_call
def test_error_says_that_queues_cannot_be_listed(
    connection: redis.Redis, client_with: Callable[..., redis.Redis], call: Any
) -> None:
    enqueue_on(connection, 'mail')
    words = r"there is no queue 'mial'\. Your user has no right to read rq:queues, where RQ lists its queues\. Give"
    with pytest.raises(ValueError, match=words):
        call(client_with(*OF_ALL_KEYS, '-smembers'), queues=['mial'])
    client = client_with('~rq:[^q]*', '~rq:queue:*', '+@all')
    with pytest.raises(ValueError, match=words):
        call(client, queues=['mial'])
    call(client, queues=['mail'])


@pytest.mark.parametrize('name', ['purge', 'requeue_all', 'snapshot'])
def test_queue_with_hidden_keys_only_is_accepted(
    connection: redis.Redis, client_with: Callable[..., redis.Redis], name: str
) -> None:
    """The server's error names the key."""
    enqueue_on(connection, 'mail')
    result = CALLS[name](client_with('~rq:worker*', '~rq:*mail', '+@all'), queues=['mail', 'mial'])
    assert [*result.errors] == ['mial']
    assert result.errors['mial'].key in ('rq:failed:mial', 'rq:queue:mial')


def test_rights_of_rq_loop_are_enough(connection: redis.Redis, client_with: Callable[..., redis.Redis]) -> None:
    """Whether the queue exists cannot be seen, so it is accepted, as in RQ's loop."""
    connection.zadd('rq:failed:mail', {'gone': 4e9})
    loop = ('~*', '+zrange', '+zrangebyscore', '+zremrangebyscore', '+zrem', '+hgetall', '+client', '+hello', '+auth')
    result = rqreg_ext.purge(client_with(*loop), queues=['mail', 'mial'])
    assert {name: found.total for name, found in result.items()} == {'mail': 1, 'mial': 0}


@of_each_call
def test_error_of_list_of_queues_is_raised(connection: redis.Redis, call: Any) -> None:
    connection.set('rq:queues', 'text')
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        call(connection, queues=['q'])


def test_named_queues_are_checked_in_at_most_one_round_trip(
    redis_server: PrivateRedis, connection: redis.Redis
) -> None:
    """The check takes no round trip in a snapshot and one in the other calls, however many queues are named."""
    enqueue_on(connection, 'a', 'b')
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        queues = [Queue(name, connection=client) for name in ('a', 'b')]
        rqreg_ext.snapshot(client)

        def blocks(call: Any, given: Any) -> int:
            recorder.clear()
            call(client, queues=given)
            return len(recorder.blocks)

        for name, call in CALLS.items():
            more = 0 if 'snapshot' in name else 1
            assert blocks(call, ['a', 'b']) == blocks(call, queues) + more, name
