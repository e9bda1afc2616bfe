"""purge(), requeue_all(), check() and repair() over many queues do what the methods do with each registry."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis
import rq
import rq.defaults
import rq.registry
from clients.recording import Recorder
from differential.database import COPY_SCRIPT, differences, dump
from differential.sides import OUR_DATABASE, RQ_DATABASE
from differential.world import AJob, Entry, World, Writer
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

import rqreg_ext
from rqreg_ext import BulkResult, BulkResults, FailedJobRegistry

if TYPE_CHECKING:
    from private_redis import PrivateRedis

TRIES = 10
NAMES = ['high', 'low', 'räksmörgås']
CALLS = [rqreg_ext.purge, rqreg_ext.requeue_all]
call_of_each = pytest.mark.parametrize('call', CALLS, ids=lambda call: call.__name__)


def world(queue: str, *traits: str) -> World:
    """Return failed, finished and queued jobs of one queue, and entries without a job."""
    jobs = [AJob(f'{queue[0]}-plain', 'failed'), AJob(f'{queue[0]}-queued', 'queued', ['in_queue'])]
    jobs += [AJob(f'{queue[0]}-{number}', 'failed', trait.split()) for number, trait in enumerate(traits)]
    jobs += [AJob(f'{queue[0]}-done', 'finished')]
    return World(queue, jobs, [Entry(member=f'{queue[0]}-stale'), Entry(member='old', score='expired')])


WORLDS = [
    world('high', 'meta', 'times', 'group in_group', 'exc_info'),
    world('low', 'in_queue', 'old_result'),
    world('räksmörgås', 'other_origin', 'retries', 'bad_created_at'),
]
FAILED_IN = {'high': 6, 'low': 4, 'räksmörgås': 5}


@pytest.fixture
def write(connection: redis.Redis) -> Callable[[], None]:
    """A function that writes the worlds, the same into both databases."""

    def write() -> None:
        with connection.pipeline(transaction=False) as pipe:
            pipe.flushall()
            for one in WORLDS:
                Writer(one, pipe, math.floor(time.time())).write()
                pipe.sadd(rq.Queue.redis_queues_keys, f'{rq.Queue.redis_queue_namespace_prefix}{one.queue}')
            pipe.eval(COPY_SCRIPT, 0, RQ_DATABASE, OUR_DATABASE)
            pipe.execute()

    return write


@pytest.fixture(params=[2, 3], ids=['RESP2', 'RESP3'])
def client(request: pytest.FixtureRequest, connection: redis.Redis, redis_server: PrivateRedis) -> Iterator[Any]:
    with redis_server.client(protocol=request.param, db=OUR_DATABASE) as client:
        yield client


def fail(client: Any, queue: str, *job_ids: str, **options: Any) -> FailedJobRegistry:
    """Add failed jobs to the registry of a queue, and the queue to RQ's list."""
    of_rq = rq.Queue(queue, connection=client)
    client.sadd(rq.Queue.redis_queues_keys, of_rq.key)
    registry = FailedJobRegistry(queue, connection=client)
    for number, job_id in enumerate(job_ids):
        job = of_rq.create_job('len', job_id=job_id, status='failed', **options)  # type: ignore[arg-type]
        job.save()
        registry.add(job, 1000 + number)
    return registry


def counts(client: Any, *queues: str) -> list[int]:
    return [rq.registry.FailedJobRegistry(name, connection=client).count for name in queues]


# What the calls do


def rqs_loop(client: Any, names: list[str], step: Callable[[Any, str], Any]) -> dict[str, list[str]]:
    """Loop over the failed jobs of each queue as RQ's users do; return the ids that raised an error."""
    not_done: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        registry = rq.registry.FailedJobRegistry(name, connection=client)
        for job_id in registry.get_job_ids():
            try:
                step(registry, job_id)
            except NoSuchJobError:
                continue
            except Exception:
                not_done[name].append(job_id)
    return not_done


@pytest.mark.parametrize('queues', [None, ['low', 'räksmörgås'], ['räksmörgås', 'high', 'low']])
@pytest.mark.parametrize('method', ['purge', 'requeue_all'])
def test_call_on_all_queues_equals_rq_loop_over_queues(
    redis_server: PrivateRedis, client: Any, write: Callable[[], None], method: str, queues: list[str] | None
) -> None:
    def step(registry: Any, job_id: str) -> None:
        if method == 'requeue_all':
            registry.requeue(job_id)
        # RQ removes the entry of this job before it finds that it cannot load the job.
        elif job_id != 'r-2':
            registry.remove(job_id, delete_job=True)

    for _ in range(TRIES):
        second = math.floor(time.time())
        write()
        if method == 'purge':
            for database in (RQ_DATABASE, OUR_DATABASE):
                with redis_server.client(db=database) as some:
                    some.zrem('rq:failed:räksmörgås', 'r-2')
        with redis_server.client(db=RQ_DATABASE) as theirs:
            not_done = rqs_loop(theirs, queues or NAMES, step)
            result = getattr(rqreg_ext, method)(client, 'failed', queues)
            lines = differences(dump(theirs), dump(client))
        if not lines or math.floor(time.time()) == second:
            break
    assert lines == []
    assert list(result) == (queues or NAMES)
    assert result.errors == {}
    assert {name: [job_id for job_id, _ in found.failed] for name, found in result.items()} == not_done
    assert result.total.skipped == {'no such job': len(result)}
    assert result.total.done == sum(FAILED_IN[name] for name in result) - len(result) - ('räksmörgås' in result)


@call_of_each
def test_call_on_all_queues_equals_method_of_each_registry(
    client: Any, redis_server: PrivateRedis, write: Any, call: Any
) -> None:
    write()
    with redis_server.client(db=RQ_DATABASE) as other:
        result = call(client, chunk_size=2)
        for name in NAMES:
            alone = getattr(FailedJobRegistry(name, connection=other), call.__name__)(chunk_size=2)
            assert {**result[name].to_dict(), 'seconds': 0} == {**alone.to_dict(), 'seconds': 0}


def test_arguments_are_passed_on(client: Any) -> None:
    for queue in ('a', 'b'):
        fail(client, queue, f'{queue}1', f'{queue}2', meta={'owner': queue})
        client.rpush(f'rq:queue:{queue}', 'first')
    assert rqreg_ext.requeue_all(client, at_front=True, meta={'owner': 'b'}).total.done == 2
    assert client.lrange('rq:queue:b', 0, -1) == [b'b2', b'b1', b'first']
    assert counts(client, 'a', 'b') == [2, 0]
    foreseen = rqreg_ext.purge(client, dry_run=True, job_id='*1')
    assert (foreseen.dry_run, foreseen.total.dry_run, foreseen.total.done) == (True, True, 1)
    assert rqreg_ext.purge(client, delete_job=False, job_id='*1').total.done == 1
    assert client.exists('rq:job:a1') == 1
    assert counts(client, 'a', 'b') == [1, 0]
    assert rqreg_ext.purge(client, min_score=0).total.done == 1
    assert client.exists('rq:job:a2') == 0


def test_purge_takes_every_registry_name(client: Any) -> None:
    queue = rq.Queue('q', connection=client)
    for name in ('finished', 'deferred', 'scheduled', 'canceled'):
        job = queue.create_job('len', job_id=name)
        job.save()
        registry = getattr(queue, f'{name}_job_registry')
        client.zadd(registry.key, {name: 4_000_000_000})
        assert rqreg_ext.purge(client, name, 'q').total.done == 1
        assert client.exists(job.key, registry.key) == 0


@pytest.mark.skipif(not hasattr(rq.registry, 'ReadyJobRegistry'), reason='this RQ has no such registry')
def test_dry_run_of_purge_counts_jobs_of_ready_registry(client: Any) -> None:
    """RQ's cleanup() moves its jobs to their queue, so only a dry run finds any."""
    queue = rq.Queue('q', connection=client)
    queue.create_job('len', job_id='a').save()
    client.zadd(queue.ready_job_registry.key, {'a': 1})
    assert rqreg_ext.purge(client, 'ready', 'q', dry_run=True).total.done == 1


# Which queues


def test_empty_list_of_queues_changes_nothing(client: Any) -> None:
    fail(client, 'a', 'a1')
    seen: list[Any] = []
    for call in CALLS:
        result = call(client, queues=[], dry_run=True, progress=lambda *reported: seen.append(reported))
        assert (len(result), result.errors, result.stopped, result.total.total) == (0, {}, False, 0)
        assert result.total.dry_run
    client.flushdb()
    assert dict(rqreg_ext.purge(client, progress=lambda *reported: seen.append(reported))) == {}
    assert seen == []


def test_result_of_other_queue_raises_key_error(client: Any) -> None:
    with pytest.raises(KeyError):
        rqreg_ext.purge(client)['elsewhere']


def test_queue_given_twice_is_processed_once(client: Any) -> None:
    fail(client, 'a', 'a1', 'a2')
    fail(client, 'b', 'b1')
    queues = ['a', rq.Queue('b', connection=client), rqreg_ext.Queue('a', connection=client), 'a']
    result = rqreg_ext.requeue_all(client, queues=queues)
    assert {name: found.done for name, found in result.items()} == {'a': 2, 'b': 1}
    assert result.total.missing == 0


def test_queue_given_by_name_or_object_is_only_one_changed(client: Any) -> None:
    fail(client, 'a', 'a1')
    fail(client, 'b', 'b1')
    assert list(rqreg_ext.purge(client, queues='a')) == ['a']
    assert list(rqreg_ext.requeue_all(client, queues=rq.Queue('b', connection=client))) == ['b']
    assert counts(client, 'a', 'b') == [0, 0]


def test_job_class_and_serializer_of_queue_object_are_used(client: Any) -> None:
    class LoudJob(Job):
        def save(self, *args: Any, **kwargs: Any) -> Any:
            self.description = 'loud'
            return super().save(*args, **kwargs)

    class LoudQueue(rq.Queue):
        job_class = LoudJob  # type: ignore[assignment]

    fail(client, 'a', 'a1')
    fail(client, 'b', 'b1')
    with_json = rq.Queue('c', connection=client, serializer=JSONSerializer)  # type: ignore[arg-type]
    job = with_json.create_job('len', job_id='c1', meta={'n': 1}, status='failed')  # type: ignore[arg-type]
    job.save()
    with_json.failed_job_registry.add(job, 1000)
    result = rqreg_ext.requeue_all(client, queues=['a', LoudQueue('b', connection=client), with_json])
    assert (result.total.done, result.total.failed) == (3, [])
    assert [client.hget(f'rq:job:{job_id}', 'description') == b'loud' for job_id in ('a1', 'b1')] == [False, True]
    assert Job.fetch('c1', connection=client, serializer=JSONSerializer).meta == {'n': 1}


@pytest.mark.parametrize('make', [rqreg_ext.purge, rqreg_ext.requeue_all, rqreg_ext.check])
@pytest.mark.parametrize(
    ('queues', 'error', 'words'),
    [
        (5, TypeError, r'queues=5 names no queues'),
        ([b'low'], TypeError, r"b'low' in queues is not a queue"),
        ([rq.Queue('low', connection=redis.Redis(port=1))], ValueError, r"Queue\('low'\) in queues is in another"),
    ],
)
def test_invalid_queues_are_refused(client: Any, make: Any, queues: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(client, queues=queues)


# Arguments


@pytest.mark.parametrize('queues', [None, []])
@pytest.mark.parametrize(
    ('given', 'error', 'words'),
    [
        (
            {'registry': 'lost'},
            ValueError,
            "registry='lost' names no registry of RQ: give one of 'finished', ",
        ),
        ({'registry': None}, ValueError, 'registry=None names no registry'),
        ({'registry': ['failed']}, ValueError, r"registry=\['failed'\] names no registry"),
        ({'registry': 'started'}, NotImplementedError, "registry='started': its entries are executions"),
        ({'progress': 5}, TypeError, 'progress=5 cannot be called'),
        ({'chunk_size': 0}, ValueError, 'chunk_size=0'),
        ({'chunk_size': 'x'}, TypeError, "chunk_size='x'"),
        ({'wait_replicas': -1}, ValueError, 'wait_replicas=-1 is not a number of replicas'),
        ({'wait_replicas': '1'}, TypeError, "wait_replicas='1' is not a number of replicas"),
        ({'colour': 'red'}, TypeError, "there is no filter 'colour'"),
        ({'func_name': None}, TypeError, 'func_name=None is not a filter'),
    ],
)
@call_of_each
def test_invalid_arguments_are_refused_before_sending(
    queues: Any, given: dict[str, Any], error: type[Exception], words: str, call: Any
) -> None:
    nobody_listens = redis.Redis(port=1)
    with pytest.raises(error, match=words):
        call(nobody_listens, queues=queues, **given)


@pytest.mark.parametrize('given', [{'progress': 5}, {'chunk_size': 0}, {'settle': -1}, {'limit': 0}])
def test_check_refuses_invalid_arguments(given: dict[str, Any]) -> None:
    ((name, value),) = given.items()
    with pytest.raises((TypeError, ValueError), match=f'{name}={value}'):
        rqreg_ext.check(redis.Redis(port=1), **given)


@pytest.mark.parametrize('make', [rqreg_ext.purge, rqreg_ext.requeue_all, rqreg_ext.check, rqreg_ext.repair])
@pytest.mark.parametrize('connection_', [None, 5, redis.asyncio.Redis()])
def test_invalid_client_is_refused(make: Any, connection_: Any) -> None:
    with pytest.raises(TypeError, match=r'connection=.* is not a client'):
        make(connection_)


def test_calls_take_url_as_connection(connection: redis.Redis, redis_server: PrivateRedis) -> None:
    fail(connection, 'a', 'a1', 'a2')
    assert rqreg_ext.requeue_all(redis_server.url, job_id='a1').total.done == 1
    assert rqreg_ext.purge(redis_server.url).total.done == 1
    assert not rqreg_ext.check(redis_server.url, settle=0)


@call_of_each
def test_call_works_on_each_kind_of_client(job_client: Any, call: Any) -> None:
    for queue in ('a', 'b'):
        fail(job_client, queue, f'{queue}1', f'{queue}2')
    seen: list[Any] = []
    result = call(job_client, progress=lambda *reported: seen.append(reported))
    assert {name: found.done for name, found in result.items()} == {'a': 2, 'b': 2}
    assert seen[-1] == (4, 4)
    assert counts(job_client, 'a', 'b') == [0, 0]


# Progress


def test_progress_counts_all_queues_together(client: Any) -> None:
    fail(client, 'a', 'a1', 'a2', 'a3')
    fail(client, 'b')
    fail(client, 'c', 'c1', 'c2')
    seen: list[Any] = []
    rqreg_ext.purge(client, delete_job=False, progress=lambda *reported: seen.append(reported), chunk_size=2)
    assert seen == [(2, 5), (3, 5), (5, 5)]


@call_of_each
def test_progress_is_called_after_each_chunk(client: Any, call: Any) -> None:
    fail(client, 'a', *(f'a{number}' for number in range(20)))
    fail(client, 'b', *(f'b{number}' for number in range(20)))
    seen: list[Any] = []
    call(client, progress=lambda *reported: seen.append(reported), chunk_size=5)
    # Chunks may be smaller: a script stops after a certain time.
    assert all(after - before <= 5 for (before, _), (after, _) in zip([(0, 0), *seen], seen, strict=False))
    assert {total for _, total in seen} == {40}
    assert seen[-1] == (40, 40)


def test_progress_counts_entries_within_bounds(client: Any) -> None:
    for queue in ('a', 'b'):
        client.sadd('rq:queues', f'rq:queue:{queue}')
        client.zadd(f'rq:failed:{queue}', {f'{queue}{number}': 4_000_000_000 + number for number in range(10)})
    seen: list[Any] = []
    result = rqreg_ext.purge(client, progress=lambda *reported: seen.append(reported), max_score=4_000_000_003)
    assert seen == [(4, 8), (8, 8)]
    assert result.total.skipped == {'no such job': 8}


def test_progress_ends_at_its_total(client: Any) -> None:
    """Even if the last entries are gone by then: expired, or removed by another client."""
    fail(client, 'a', 'a1', 'a2', 'a3')
    client.sadd('rq:queues', 'rq:queue:b')
    client.zadd('rq:failed:b', {'old': 1})
    seen: list[Any] = []

    def progress(count: int, total: int | None) -> None:
        seen.append((count, total))
        client.delete('rq:failed:b')

    rqreg_ext.purge(client, delete_job=False, progress=progress, chunk_size=2)
    assert seen == [(2, 4), (3, 4), (3, 3)]


@call_of_each
def test_progress_stops_call(client: Any, call: Any) -> None:
    for queue in ('a', 'b', 'c'):
        fail(client, queue, f'{queue}1', f'{queue}2')
    result = call(client, progress=lambda count, total: count < 3, chunk_size=1)
    assert {name: found.done for name, found in result.items()} == {'a': 2, 'b': 1}
    assert [found.stopped for found in result.values()] == [False, True]
    assert result.stopped
    assert result.total.stopped
    assert counts(client, 'a', 'b', 'c') == [0, 1, 2]
    assert call(client).total.done == 3


def test_progress_stops_call_at_queue_without_jobs(client: Any) -> None:
    client.zadd('rq:failed:a', {'old': 1})
    fail(client, 'b', 'b1')
    result = rqreg_ext.purge(client, queues=['b', 'a'], progress=lambda count, total: total == 2)
    assert result.stopped
    assert list(result) == ['b', 'a']
    assert result['a'].stopped


# Errors


@call_of_each
def test_error_of_one_queue_is_reported_and_others_are_done(client: Any, call: Any) -> None:
    fail(client, 'a', 'a1')
    client.sadd('rq:queues', 'rq:queue:b')
    client.set('rq:failed:b', 'x')
    fail(client, 'c', 'c1')
    seen: list[Any] = []
    result = call(client, progress=lambda *reported: seen.append(reported))
    assert {name: found.done for name, found in result.items()} == {'a': 1, 'b': 0, 'c': 1}
    assert list(result.errors) == ['b']
    assert isinstance(result.errors['b'], redis.ResponseError)
    assert seen == [(1, 2), (2, 2)]
    assert "\n  'b' ended with ResponseError: WRONGTYPE" in str(result)
    assert result.to_dict()['errors']['b'].startswith('ResponseError: WRONGTYPE')


def test_denied_queue_is_in_errors(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    for queue in ('a', 'b'):
        fail(connection, queue, f'{queue}1')
    rules = ['~rq:queues', '~rq:failed:a']
    connection.execute_command('ACL', 'SETUSER', 'some', 'on', '>x', *rules, '+@all')
    try:
        with redis_server.client(username='some', password='x') as client:
            result = rqreg_ext.purge(client, queues=['b', 'a'], delete_job=False, progress=lambda *reported: None)
        assert {name: found.done for name, found in result.items()} == {'b': 0, 'a': 1}
        assert [type(error).__name__ for error in result.errors.values()] == ['NoPermissionError']
    finally:
        connection.execute_command('ACL', 'DELUSER', 'some')


class Enough(Exception):
    """An exception that a signal handler or a progress function may raise."""


@pytest.mark.parametrize('error', [Enough, ValueError, KeyboardInterrupt, redis.ResponseError, JobTimeoutException])
@call_of_each
def test_exception_of_progress_has_result_until_then(client: Any, call: Any, error: type[BaseException]) -> None:
    fail(client, 'a', 'a1', 'a2')
    fail(client, 'b', 'b1', 'b2')
    fail(client, 'c', 'c1', 'c2')

    def progress(count: int, total: int | None) -> None:
        if count == 3:
            raise error('enough')

    with pytest.raises(error) as raised:
        call(client, progress=progress, chunk_size=1)
    result = raised.value.result  # type: ignore[attr-defined]
    assert isinstance(result, BulkResults)
    assert {name: found.done for name, found in result.items()} == {'a': 2, 'b': 1}
    assert result.errors == {}
    assert result.interrupted
    assert result.to_dict()['total']['interrupted']
    assert ', interrupted before the end; ' in str(result)
    rest = call(client)
    assert rest.total.done == 3
    assert 'interrupted' not in str(rest)


@pytest.mark.parametrize('error', [Enough, JobTimeoutException, MemoryError, NotImplementedError])
def test_other_exceptions_end_the_call(client: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    fail(client, 'a', 'a1')
    fail(client, 'b', 'b1')

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error('in the middle of it')

    monkeypatch.setattr(FailedJobRegistry, 'cleanup', interrupted)
    with pytest.raises(error, match='in the middle') as raised:
        rqreg_ext.purge(client)
    assert {name: found.total for name, found in raised.value.result.items()} == {'a': 0}  # type: ignore[attr-defined]


@pytest.mark.parametrize('queues', [None, ['a', 'b']])
@call_of_each
def test_lost_server_is_raised(call: Any, queues: Any) -> None:
    for progress in (None, lambda *reported: None):
        with pytest.raises(redis.ConnectionError) as raised:
            call(redis.Redis(port=1), queues=queues, progress=progress)
        assert isinstance(raised.value.result, BulkResults)  # type: ignore[attr-defined]


def test_connection_lost_during_call_has_result(connection: redis.Redis, redis_server: PrivateRedis) -> None:
    for queue in ('a', 'b', 'c'):
        fail(connection, queue, f'{queue}1')
    with Recorder(redis_server.port) as recorder:
        client = redis.Redis(port=recorder.port, retry=None)

        def cut(count: int, total: int | None) -> None:
            if count == 2:
                recorder.cut('EVALSHA')

        with pytest.raises(redis.ConnectionError) as raised:
            rqreg_ext.purge(client, progress=cut)
        client.close()
    result = raised.value.result  # type: ignore[attr-defined]
    assert {name: found.done for name, found in result.items()} == {'a': 1, 'b': 1, 'c': 0}
    assert result.errors == {}


# The result


def test_result_prints_as_text_and_dumps_as_json(client: Any) -> None:
    fail(client, 'a', 'a1', 'a2')
    fail(client, 'b', 'b1')
    result = rqreg_ext.purge(client)
    assert isinstance(result['a'], BulkResult)
    assert 'a' in result
    assert 'c' not in result
    assert str(result) == f'2 queues: {result.total}'
    assert str(result.total).startswith('3 of 3 done; ')
    assert repr(result) == f'<BulkResults of 2 queues: {result.total}>'
    values = json.loads(json.dumps(result.to_dict()))
    assert values == {
        'queues': {name: found.to_dict() for name, found in result.items()},
        'total': result.total.to_dict(),
        'errors': {},
    }
    assert values['total']['done'] == 3


# Round trips


@pytest.fixture
def recorded(connection: redis.Redis, redis_server: PrivateRedis) -> Iterator[tuple[Recorder, redis.Redis]]:
    """A recording proxy of a server with three queues without failed jobs, and a connected client of it."""
    for queue in ('a', 'b', 'c'):
        fail(connection, queue)
    with Recorder(redis_server.port) as recorder, redis_server.client(port=recorder.port) as client:
        rqreg_ext.purge(client)
        recorder.clear()
        yield recorder, client


def test_queues_take_one_round_trip_to_be_found(recorded: tuple[Recorder, redis.Redis]) -> None:
    recorder, client = recorded
    rqreg_ext.purge(client, queues=[rq.Queue(name, connection=client) for name in ('a', 'b', 'c')])
    of_the_queues = recorder.blocks
    recorder.clear()
    rqreg_ext.purge(client, queues=['a', 'b', 'c'])
    assert recorder.blocks == [['SISMEMBER', 'EXISTS'] * 3, *of_the_queues]
    recorder.clear()
    rqreg_ext.purge(client)
    assert recorder.blocks == [['SMEMBERS'], *of_the_queues]
    recorder.clear()
    rqreg_ext.purge(client, progress=lambda *reported: None)
    assert recorder.blocks == [['SMEMBERS'], ['ZCOUNT'] * 3, *of_the_queues]


# check()


def test_check_finds_problems_of_each_registry(client: Any) -> None:
    for queue in ('a', 'b'):
        registry = fail(client, queue, f'{queue}1')
        client.zadd(registry.key, {f'{queue}-gone': 4_000_000_000})
    of_each = [
        problem.to_dict()
        for queue in ('a', 'b')
        for problem in FailedJobRegistry(queue, connection=client).check(settle=0)
    ]
    assert [problem['kind'] for problem in of_each] == ['missing_job'] * 2
    assert [problem.to_dict() for problem in rqreg_ext.check(client, settle=0)] == of_each
    for queues in ('b', ['b', 'b'], rq.Queue('b', connection=client), [rqreg_ext.Queue('b', connection=client)]):
        assert [problem.to_dict() for problem in rqreg_ext.check(client, queues, settle=0)] == of_each[1:]
    assert not rqreg_ext.check(client, [], settle=0)
    assert not rqreg_ext.check(client, rq.Queue('nowhere', connection=client), settle=0)


def break_two_queues(client: Any) -> None:
    """Create in each of two queues an entry without a job, a job without an entry, and a failed job."""
    for queue in ('a', 'b'):
        fail(client, queue, f'{queue}1', f'{queue}2')
        client.zadd(f'rq:failed:{queue}', {f'{queue}-gone': 4_000_000_000})
        client.zrem(f'rq:failed:{queue}', f'{queue}2')


def test_repair_of_registry_repairs_problems_of_all_queues(client: Any) -> None:
    break_two_queues(client)
    report = rqreg_ext.check(client, settle=0)
    assert {kind.value: count for kind, count in report.counts.items()} == {'missing_job': 2, 'orphan': 2}
    repaired = FailedJobRegistry('a', connection=client).repair(report)
    assert (repaired.total, sum(repaired.repaired.values())) == (4, 4)
    assert not rqreg_ext.check(client, settle=0)
    assert counts(client, 'a', 'b') == [2, 2]


def test_repair_repairs_given_problems_or_those_it_finds(client: Any) -> None:
    break_two_queues(client)
    report = rqreg_ext.check(client, settle=0)
    missing = [problem for problem in report if problem.kind is rqreg_ext.ProblemKind.MISSING_JOB]
    would = rqreg_ext.repair(client, report, dry_run=True)
    assert (would.total, would.dry_run, len(rqreg_ext.check(client, settle=0))) == (4, True, 4)
    assert rqreg_ext.repair(client, missing).repaired == {'missing_job': 2}
    seen: list[Any] = []
    # Without problems given, repair() checks this queue first.
    done = rqreg_ext.repair(client, queues=['b'], kinds=['orphan'], progress=lambda *reported: seen.append(reported))
    assert (done.repaired, seen[-1]) == ({'orphan': 1}, (1, 1))
    assert [problem.job_id for problem in rqreg_ext.check(client, settle=0)] == ['a2']
    assert rqreg_ext.repair(client, rqreg_ext.check(client, settle=0)).repaired == {'orphan': 1}
    assert counts(client, 'a', 'b') == [2, 2]


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'progress': 5}, 'progress=5'),
        ({'kinds': 'nonsense'}, 'nonsense'),
        ({'kinds': ['nonsense']}, 'nonsense'),
        ({'queues': 5}, 'queues=5'),
        ({'problems': [7]}, '7'),
    ],
)
def test_repair_refuses_invalid_arguments(given: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        rqreg_ext.repair(redis.Redis(port=1), **given)


def test_timedelta_is_same_time_for_all_queues(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for queue in ('a', 'b'):
        fail(client, queue, f'{queue}1')
    times: list[Any] = []

    def purge(self: Any, **given: Any) -> Any:
        times.append(given['ended_before'])
        return rqreg_ext.BulkResult()

    monkeypatch.setattr(FailedJobRegistry, 'purge', purge)
    rqreg_ext.purge(client, ended_before=timedelta(days=3))
    assert len(times) == 2
    assert times[0] == times[1]


def test_check_calls_progress_and_ends_at_limit(client: Any) -> None:
    fail(client, 'a', 'a1')
    client.zadd('rq:failed:a', {'x': 4_000_000_000, 'y': 4_000_000_001})
    seen: list[Any] = []
    assert len(rqreg_ext.check(client, settle=0, chunk_size=1, progress=lambda *reported: seen.append(reported))) == 2
    assert seen[-1][0] == seen[-1][1]
    limited = rqreg_ext.check(client, settle=0, limit=1)
    assert (len(limited), limited.stopped) == (1, True)
    assert rqreg_ext.check(client, settle=0, progress=lambda *reported: False).stopped


def test_check_uses_keys_of_job_class(client: Any) -> None:
    class Apart(Job):
        redis_job_namespace_prefix = 'apart:job:'

    fail(client, 'a', 'a1')
    client.rename('rq:job:a1', 'apart:job:a1')
    assert [problem.kind for problem in rqreg_ext.check(client, 'a', settle=0)] == ['missing_job']
    assert not rqreg_ext.check(client, 'a', settle=0, job_class=Apart)


# Keys


ELSEWHERE = """
import json, sys
import redis, rq
import rqreg_ext

client = redis.Redis(port=int(sys.argv[1]))
for name in ('a', 'b'):
    queue = rq.Queue(name, connection=client)
    client.sadd(queue.redis_queues_keys, queue.key)
    for number in range(3):
        job = queue.create_job('len', job_id=f'{name}{number}', status='failed')
        job.save()
        queue.failed_job_registry.add(job, 1000)
    client.zadd(queue.failed_job_registry.key, {'gone': 4000000000})
found = len(rqreg_ext.check(client, settle=0))
requeued = rqreg_ext.requeue_all(client, job_id='*1').total
purged = rqreg_ext.purge(client).total
print(json.dumps([found, requeued.done, requeued.by_rq, purged.done, purged.by_rq]))
print(json.dumps(sorted(key.decode() for key in client.keys('*'))))
"""


@pytest.mark.skipif(not hasattr(rq.defaults, 'RQ_KEY_PREFIX'), reason='this RQ has no key prefix')
@pytest.mark.parametrize('prefix', ['{app}', 'app:rq'])
def test_calls_use_key_prefix_of_environment(connection: redis.Redis, redis_server: PrivateRedis, prefix: str) -> None:
    done = subprocess.run(
        [sys.executable, '-c', ELSEWHERE, str(redis_server.port)],
        env={**os.environ, 'RQ_KEY_PREFIX': prefix},
        cwd=Path(rqreg_ext.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures, keys = map(json.loads, done.stdout.splitlines())
    assert figures == [2, 2, 0, 4, 0]
    names = ('job:a1', 'job:b1', 'queue:a', 'queue:b', 'queues')
    assert keys == [f'{prefix}:{name}' for name in names]


def test_queue_of_other_server_is_refused(client: Any) -> None:
    """Even if both servers have the same address, as with fakeredis."""
    fail(client, 'a', 'a1')
    other = rq.Queue('a', connection=fakeredis.FakeRedis())
    with pytest.raises(ValueError, match='another Redis'):
        rqreg_ext.purge(client, queues=[other])
    assert counts(client, 'a') == [1]
