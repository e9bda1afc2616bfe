"""A queue that is given by a name that nobody has: an error that says which are near, in every call with `queues`."""

from __future__ import annotations

from collections.abc import Callable
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
    'check': lambda client, **options: rqreg_ext.check(client, settle=0, **options),
    'repair': rqreg_ext.repair,
    'repair of nothing': lambda client, **options: rqreg_ext.repair(client, [], **options),
    'snapshot': rqreg_ext.snapshot,
    'snapshot(cleanup)': lambda client, **options: rqreg_ext.snapshot(client, cleanup=True, **options),
    'snapshot(scores)': lambda client, **options: rqreg_ext.snapshot(client, scores=True, workers=False, **options),
}
of_each_call = pytest.mark.parametrize('call', CALLS.values(), ids=list(CALLS))


def enqueue_on(client: Any, *names: str) -> None:
    for name in names:
        Queue(name, connection=client).enqueue('len')


@of_each_call
@pytest.mark.parametrize('queues', ['mial', ['mial'], ['mail', 'mial']], ids=str)
def test_mistyped_queue_is_refused_with_those_near(
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
def test_every_mistyped_queue_is_named(connection: redis.Redis, call: Any) -> None:
    enqueue_on(connection, *(f'tenant-{number}' for number in range(30)), 'mail')
    words = r"no queue 'mial' \(did you mean 'mail'\?\), nor 'nothing like it'\. RQ knows 'mail', .* and 21 more\."
    with pytest.raises(ValueError, match=words):
        call(connection, queues=['mial', 'tenant-7', 'nothing like it'])


@of_each_call
def test_name_of_queue_in_empty_redis_is_refused(connection: redis.Redis, call: Any) -> None:
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
def test_queue_of_which_anything_exists_is_taken(connection: redis.Redis, name: str) -> None:
    EXISTING[name](connection)
    assert list(rqreg_ext.purge(connection, queues=['q'])) == ['q']
    connection.flushdb()
    EXISTING[name](connection)
    if name != 'key of another type':
        assert list(rqreg_ext.snapshot(connection, ['q'])) == ['q']


@of_each_call
def test_queue_object_is_taken_before_its_first_job(connection: redis.Redis, call: Any) -> None:
    queue = Queue('new', connection=connection)
    call(connection, queues=queue)
    call(connection, queues=[rqreg_ext.Queue('newer', connection=connection), queue])
    assert rqreg_ext.snapshot(connection, queue)['new'].queued == queue.count == 0
    assert RQFailedJobRegistry('new', connection=connection).count == 0


@of_each_call
def test_queue_is_taken_where_user_may_not_ask_for_it(
    redis_server: PrivateRedis, connection: redis.Redis, call: Any
) -> None:
    connection.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '~*', '+@all', '-exists')
    try:
        with redis_server.client(username='limited', password='x') as client:
            call(client, queues=['q'])
    finally:
        connection.execute_command('ACL', 'DELUSER', 'limited')


def test_round_trips(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    """None more for a snapshot, one more for the others, however many queues are named."""
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
