"""Errors that a server would answer to every command are raised by the bulk calls, and not counted for one job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import rq
from host.patience import eventually
from private_redis import PrivateRedis
from redis.exceptions import NoPermissionError, ResponseError
from rq.group import Group
from rq.job import Job
from rq.timeouts import JobTimeoutException

import rqreg_ext
from rqreg_ext import BulkResult, BulkResults
from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry

from .test_refusing_servers import REFUSALS

IDS = ['plain', 'for-rq', 'last']


def fill(client: Any, *queues: str) -> None:
    """Make failed jobs of these queues, of which RQ does one itself."""
    client.flushall()
    for name in queues:
        queue = rq.Queue(name, connection=client)
        client.sadd('rq:queues', queue.key)
        for number, job_id in enumerate(IDS):
            job = queue.create_job('len', job_id=f'{name}-{job_id}', status='failed')  # type: ignore[arg-type]
            if job_id == 'for-rq':
                # The one is why RQ's methods delete it, the other why they requeue and cancel it.
                job.group_id = 'équipe'
                job._exc_info = 'Traceback'
                client.sadd(Group.get_key('équipe'), job.id)
            job.save()
            client.zadd(f'rq:failed:{name}', {job.id: 4e9 + number})


class OwnJob(Job):
    """A class of jobs that RQ requeues one by one."""

    def save(self, *arguments: Any, **keywords: Any) -> None:
        super().save(*arguments, **keywords)


def of_one(method: str, job_class: type[Job] = Job, **options: Any) -> Callable[[Any], Any]:
    def call(client: Any) -> Any:
        registry = FailedJobRegistry('a', connection=client, job_class=job_class)
        given = [[f'a-{job_id}' for job_id in IDS]] if method.endswith('many') else []
        return getattr(registry, method)(*given, **options)

    return call


OF_ONE: dict[str, Callable[[Any], Any]] = {
    'purge': of_one('purge'),
    'purge(delete_job=False)': of_one('purge', delete_job=False),
    'remove_many': of_one('remove_many', delete_job=True),
    'remove_many(delete_job=False)': of_one('remove_many'),
    'requeue_all': of_one('requeue_all'),
    'requeue_many': of_one('requeue_many'),
    'requeue_many by RQ': of_one('requeue_many', job_class=OwnJob),
    'cancel_many': of_one('cancel_many'),
    'cancel_all': of_one('cancel_all'),
    'cancel_many by RQ': of_one('cancel_many', job_class=OwnJob),
    'move_many': of_one('move_many', to='low'),
    'move_many by RQ': of_one('move_many', job_class=OwnJob, to='low'),
}
OF_QUEUES: dict[str, Callable[[Any], Any]] = {
    'purge of queues': lambda client: rqreg_ext.purge(client),
    'purge of queues(delete_job=False)': lambda client: rqreg_ext.purge(client, delete_job=False),
    'purge of named queues': lambda client: rqreg_ext.purge(client, queues=['a', 'b']),
    'purge of queues(progress)': lambda client: rqreg_ext.purge(client, progress=lambda *_: None),
    'requeue_all of queues': lambda client: rqreg_ext.requeue_all(client),
    'cancel_all of queues': lambda client: rqreg_ext.cancel_all(client, 'failed'),
}
CALLS = {**OF_ONE, **OF_QUEUES}


@pytest.fixture(scope='module')
def server() -> Iterator[PrivateRedis]:
    with PrivateRedis(save='3600 1000') as server:
        yield server


def assert_raised_for_all(name: str, client: Any, error: type[Exception], words: str | None = None) -> None:
    with pytest.raises(error, match=words) as raised:
        CALLS[name](client)
    result = raised.value.result  # type: ignore[attr-defined]
    assert isinstance(result, BulkResults if name in OF_QUEUES else BulkResult)
    if isinstance(result, BulkResults):
        assert result.errors == {}
        result = result.total
    assert (result.done, result.failed) == (0, []), str(result)


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('reason', ['BUSY', 'MISCONF', 'NOREPLICAS', 'MASTERDOWN', 'READONLY'])
def test_refusal_of_all_commands_is_raised(server: PrivateRedis, name: str, reason: str) -> None:
    admin = server.client()
    fill(admin, 'a', 'b')
    with REFUSALS[reason](server, admin):
        assert_raised_for_all(name, server.client(retry=None), ResponseError)
    assert admin.zcard('rq:failed:a') == admin.zcard('rq:failed:b') == len(IDS)


@pytest.mark.parametrize('name', ['requeue_all', 'requeue_many', 'requeue_all of queues'])
def test_oom_is_raised(server: PrivateRedis, name: str) -> None:
    admin = server.client()
    fill(admin, 'a', 'b')
    with REFUSALS['OOM'](server, admin), pytest.raises(ResponseError) as raised:
        CALLS[name](server.client(retry=None))
    result = raised.value.result  # type: ignore[attr-defined]
    assert not getattr(result, 'failed', None)
    assert not getattr(result, 'errors', None)


@pytest.mark.parametrize('name', CALLS)
def test_changes_on_replica_are_raised(server: PrivateRedis, name: str) -> None:
    fill(server.client(), 'a', 'b')
    with PrivateRedis(replicaof=f'127.0.0.1 {server.port}') as replica:
        client = replica.client()
        assert eventually(lambda: client.zcard('rq:failed:b') == len(IDS))
        assert_raised_for_all(name, client, ResponseError, 'read only replica')


def test_dry_run_works_on_replica(server: PrivateRedis) -> None:
    fill(server.client(), 'a', 'b')
    with PrivateRedis(replicaof=f'127.0.0.1 {server.port}') as replica:
        client = replica.client()
        assert eventually(lambda: client.zcard('rq:failed:b') == len(IDS))
        for make in (rqreg_ext.purge, rqreg_ext.requeue_all, rqreg_ext.cancel_all):
            result = make(client, 'failed', dry_run=True)
            assert (result.total.done, result.errors) == (2 * len(IDS), {})
        assert FailedJobRegistry('a', connection=client).purge(dry_run=True).done == len(IDS)


# MovedError, or before redis-py 6 the plain ResponseError, whose text begins with MOVED.
REDIRECT = r'^(MOVED )?\d+ 127\.0\.0\.1:\d+'


@pytest.fixture(scope='module')
def wrong_node() -> Iterator[PrivateRedis]:
    """A node of a cluster that has none of the slots."""
    options = {'cluster_enabled': 'yes', 'cluster_node_timeout': 2000}
    with PrivateRedis(**options) as owner, PrivateRedis(**options) as other:
        admin, client = owner.client(), other.client()
        for first in range(0, 16384, 4096):
            admin.execute_command('CLUSTER', 'ADDSLOTS', *range(first, first + 4096))
        client.execute_command('CLUSTER', 'MEET', '127.0.0.1', owner.port)
        assert eventually(lambda: client.execute_command('CLUSTER', 'INFO').startswith(b'cluster_state:ok'))
        yield other


@pytest.mark.parametrize('name', CALLS)
def test_redirect_of_wrong_node_is_raised(wrong_node: PrivateRedis, name: str) -> None:
    assert_raised_for_all(name, wrong_node.client(), ResponseError, REDIRECT)


def test_check_and_repair_raise_redirect(wrong_node: PrivateRedis) -> None:
    client = wrong_node.client()
    for make in (rqreg_ext.check, rqreg_ext.repair):
        with pytest.raises(ResponseError, match=REDIRECT):
            make(client)
        with pytest.raises(ResponseError, match=REDIRECT):
            make(client, queues=['a'])
    registry = FailedJobRegistry('a', connection=client)
    for method in (registry.check, registry.repair, lambda: list(registry.find(func_name='*'))):
        with pytest.raises(ResponseError, match=REDIRECT):
            method()


def test_repair_on_replica_raises_with_report(server: PrivateRedis) -> None:
    admin = server.client()
    fill(admin, 'a')
    admin.zadd('rq:failed:a', {'gone': 4e9})
    registry = FailedJobRegistry('a', connection=server.client(retry=None))
    problems = registry.check(settle=0)
    assert [problem.job_id for problem in problems] == ['gone']
    with REFUSALS['READONLY'](server, admin), pytest.raises(ResponseError, match='read only replica') as raised:
        registry.repair(problems)
    report = raised.value.result  # type: ignore[attr-defined]
    assert (report.total, report.failed) == (0, [])


@pytest.mark.parametrize('error', [redis.ConnectionError('lost'), JobTimeoutException('over')], ids=repr)
def test_repair_raises_errors_of_rqs_clean_up(
    server: PrivateRedis, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    admin = server.client()
    fill(admin, 'a')
    admin.hset('rq:job:a-plain', 'status', 'started')
    admin.zadd('rq:wip:a', {'a-plain:gone': 1})
    registry = StartedJobRegistry('a', connection=server.client())
    problems = registry.check(settle=0).of('abandoned')
    assert len(problems) == 1

    def cleanup(self: Any, *args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(StartedJobRegistry, 'cleanup', cleanup)
    with pytest.raises(type(error)) as raised:
        registry.repair(problems)
    assert raised.value.result.failed == []  # type: ignore[attr-defined]


@pytest.mark.parametrize('name', OF_QUEUES)
def test_denied_command_is_raised_for_all_queues(server: PrivateRedis, name: str) -> None:
    admin = server.client()
    fill(admin, 'a', 'b')
    admin.execute_command('ACL', 'SETUSER', 'limited', 'reset', 'on', '>x', '~*', '+@all', '-zrange', '-zrem')
    try:
        client = server.client(username='limited', password='x')
        with pytest.raises(NoPermissionError, match=r'zrange|zrem') as raised:
            OF_QUEUES[name](client)
        assert raised.value.result.errors == {}  # type: ignore[attr-defined]
    finally:
        admin.execute_command('ACL', 'DELUSER', 'limited')


@pytest.mark.parametrize('name', OF_QUEUES)
def test_error_of_one_queue_is_reported_for_it_only(server: PrivateRedis, name: str) -> None:
    admin = server.client()
    fill(admin, 'a', 'b', 'c')
    admin.delete('rq:failed:a')
    admin.set('rq:failed:a', 'x')
    admin.zadd('rq:failed:c', {b'\xff': 4e9})
    result = OF_QUEUES[name](server.client())
    expected = ['a'] if 'named' in name else ['a', 'c']
    assert list(result.errors) == expected
    assert result['b'].done == len(IDS)


@pytest.mark.parametrize('password', [None, 'wrong'])
def test_missing_password_is_raised(password: str | None) -> None:
    with PrivateRedis(requirepass='right') as server:
        for name in OF_QUEUES:
            with pytest.raises((redis.AuthenticationError, redis.ConnectionError, ResponseError)) as raised:
                OF_QUEUES[name](server.client(password=password, retry=None))
            assert raised.value.result.errors == {}  # type: ignore[attr-defined]
