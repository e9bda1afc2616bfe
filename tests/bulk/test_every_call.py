"""What all calls that change many jobs have in common: what is left is told, and arguments are checked alike."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
import redis
from rq import Queue, SimpleWorker
from rq.job import JobStatus
from rq.utils import utcformat

import rqreg_ext
from rqreg_ext import BulkResult, BulkResults

NOW = datetime.now(timezone.utc)
COUNT = 6


class Many(NamedTuple):
    """A call on all jobs of a registry, of a queue, or of a registry of two queues."""

    place: str
    make: Callable[..., Any]
    is_over_queues: bool = False


def of_registry(place: str, method: str, *arguments: Any, **options: Any) -> Many:
    """Return a call of a method by filters."""
    return Many(place, lambda jobs, **more: getattr(jobs, method)(*arguments, **options, **more))


def with_ids(place: str, method: str, *arguments: Any) -> Many:
    """Return a call of a method with the ids of all jobs."""
    return Many(place, lambda jobs, **more: getattr(jobs, method)(jobs.get_job_ids(), *arguments, **more))


def over_queues(place: str, name: str, **options: Any) -> Many:
    """Return a call of a function on two queues."""
    return Many(place, lambda client, **more: getattr(rqreg_ext, name)(client, place, **options, **more), True)


CALLS = {
    'cancel_all': of_registry('scheduled', 'cancel_all'),
    'cancel_many': with_ids('failed', 'cancel_many'),
    'move_many': with_ids('failed', 'move_many', 'other'),
    'move_many of deferred jobs': with_ids('deferred', 'move_many', 'other'),
    'purge': of_registry('finished', 'purge'),
    'purge with filters': of_registry('failed', 'purge', description='*'),
    'purge of entries': of_registry('failed', 'purge', delete_job=False),
    'remove_many': with_ids('failed', 'remove_many'),
    'requeue_all': of_registry('failed', 'requeue_all'),
    'requeue_many': with_ids('failed', 'requeue_many'),
    'trim': of_registry('failed', 'trim', older_than=timedelta(0)),
    'remove_many of started jobs': with_ids('started', 'remove_many'),
    'cancel_all of waiting jobs': of_registry('queued', 'cancel_all'),
    'cancel_many of waiting jobs': with_ids('queued', 'cancel_many'),
    'empty of waiting jobs': of_registry('queued', 'empty'),
    'move_many of waiting jobs': with_ids('queued', 'move_many', 'other'),
    'purge of waiting jobs': of_registry('queued', 'purge'),
    'purge of waiting jobs with filters': of_registry('queued', 'purge', description='*'),
    'remove_many of waiting jobs': with_ids('queued', 'remove_many', True),
    'cancel_all of queues': over_queues('scheduled', 'cancel_all'),
    'purge of queues': over_queues('failed', 'purge'),
    'requeue_all of queues': over_queues('failed', 'requeue_all'),
    'trim of queues': over_queues('failed', 'trim', older_than=timedelta(0)),
}
# These take no limit.
STARTED_CALLS = {
    'fail_many of started jobs': with_ids('started', 'fail_many'),
    'stop_many of started jobs': with_ids('started', 'stop_many'),
    'stop_all of started jobs': of_registry('started', 'stop_all'),
}
CLASSES = {
    'failed': rqreg_ext.FailedJobRegistry,
    'finished': rqreg_ext.FinishedJobRegistry,
    'deferred': rqreg_ext.DeferredJobRegistry,
    'scheduled': rqreg_ext.ScheduledJobRegistry,
    'started': rqreg_ext.StartedJobRegistry,
    'queued': rqreg_ext.WaitingJobs,
}


def fill(client: Any, place: str, name: str = 'q') -> Any:
    """Put jobs into the place, which scripts can change; return its object."""
    queue = Queue(name, connection=client)
    jobs: Any = CLASSES[place](name, connection=client)
    client.sadd('rq:queues', queue.key)
    for number in range(COUNT):
        job = queue.create_job('len', job_id=f'{name}-{number}')
        if place in ('queued', 'started'):
            queue.enqueue_job(job)
            continue
        job.set_status(JobStatus(place))
        job.save()
        client.hset(job.key, 'ended_at', utcformat(NOW - timedelta(hours=1)))
        client.zadd(jobs.key, {job.id: 4e9 + number})
    if place == 'started':
        worker = SimpleWorker([queue], connection=client)
        for number in range(COUNT):
            job = queue.fetch_job(f'{name}-{number}')
            client.lrem(queue.key, 0, f'{name}-{number}')
            worker.prepare_execution(job)
            worker.prepare_job_execution(job)
    return jobs


def begin(client: Any, call: Many) -> tuple[Callable[..., BulkResult], int]:
    """Return the call on jobs that are put there, which returns its total, and their number."""
    client.flushdb()
    jobs = fill(client, call.place)
    if call.is_over_queues:
        fill(client, call.place, 'r')
        return lambda **options: call.make(client, **options).total, 2 * COUNT
    return lambda **options: call.make(jobs, **options), COUNT


def until_then(error: BaseException) -> BulkResult:
    """Return the result that an exception of a call has."""
    result = error.result  # type: ignore[attr-defined]
    return result.total if isinstance(result, BulkResults) else result  # type: ignore[no-any-return]


def parameters_of(member: Any) -> set[str]:
    try:
        return set(inspect.signature(member).parameters)
    except (TypeError, ValueError):
        return set()


def test_every_call_is_here() -> None:
    found = set()
    for name in rqreg_ext.__all__:
        # RQ before 3 has no ReadyJobRegistry.
        member = getattr(rqreg_ext, name, None)
        if not inspect.isclass(member):
            found |= {f'{name} of queues'} if 'wait_replicas' in parameters_of(member) else set()
            continue
        of = {'WaitingJobs': ' of waiting jobs', 'StartedJobRegistry': ' of started jobs'}.get(name, '')
        inherited = dir(rqreg_ext.BaseRegistry) if name == 'StartedJobRegistry' else ()
        for method in dir(member):
            is_own = method not in inherited or getattr(member, method) is not getattr(rqreg_ext.BaseRegistry, method)
            if is_own and not method.startswith('_') and 'wait_replicas' in parameters_of(getattr(member, method)):
                found.add(f'{method}{of}')
    assert found <= set(CALLS)


# ---- What is left


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('dry_run', [False, True])
def test_limit_leaves_the_rest(connection: redis.Redis, name: str, dry_run: bool) -> None:
    for limit, chunk_size in ((0, None), (4, None), (4, 3), (COUNT, 2)):
        call, count = begin(connection, CALLS[name])
        result = call(limit=limit, chunk_size=chunk_size, dry_run=dry_run)
        assert (result.done, result.remaining, result.interrupted, result.stopped) == (
            limit,
            count - limit,
            False,
            False,
        )
    call, count = begin(connection, CALLS[name])
    result = call(limit=count + 1, dry_run=dry_run)
    assert (result.done, result.remaining) == (count, 0)


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', [*CALLS, *STARTED_CALLS])
@pytest.mark.parametrize('dry_run', [False, True])
def test_progress_that_ends_the_call_leaves_the_rest(connection: redis.Redis, name: str, dry_run: bool) -> None:
    call, count = begin(connection, {**CALLS, **STARTED_CALLS}[name])
    reports: list[tuple[int, int]] = []

    def end_at_once(*report: int) -> bool:
        reports.append(report)
        return False

    result = call(progress=end_at_once, chunk_size=2, dry_run=dry_run)
    assert reports == [(result.total, count)]
    assert (result.remaining, result.stopped, result.interrupted) == (count - result.total, True, False)
    assert 0 < result.total < count or (dry_run and 'empty' in name)


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', [*CALLS, *STARTED_CALLS])
@pytest.mark.parametrize('dry_run', [False, True])
def test_exception_has_what_is_left(connection: redis.Redis, name: str, dry_run: bool) -> None:
    call, count = begin(connection, {**CALLS, **STARTED_CALLS}[name])

    def interrupt(*report: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        call(progress=interrupt, chunk_size=2, dry_run=dry_run)
    result = until_then(raised.value)
    assert (result.remaining, result.stopped, result.interrupted) == (count - result.total, False, True)
    assert result.total > 0
    assert result.seconds > 0


@pytest.mark.parametrize('name', [name for name, call in CALLS.items() if not call.is_over_queues])
def test_what_is_left_is_unknown_where_nothing_was_read(connection: redis.Redis, name: str) -> None:
    call, _ = begin(connection, CALLS[name])
    jobs = CLASSES[CALLS[name].place]('q', connection=connection)
    connection.set(jobs.key, 'text')
    if 'many' in name:
        # The ids are given.
        ids = [f'q-{number}' for number in range(COUNT)]
        arguments = ('other',) if 'move' in name else ()
        method = getattr(jobs, name.split()[0])
        call = lambda: method(ids, *arguments)  # noqa: E731
    with pytest.raises(redis.ResponseError, match='WRONGTYPE') as raised:
        call()
    result = until_then(raised.value)
    assert (result.total, result.remaining, result.interrupted) == (0, COUNT if 'many' in name else None, True)


# ---- Exports


def exports(client: Any) -> dict[str, Callable[..., Any]]:
    """Return each call that writes jobs into a file, or reads one."""
    file = io.BytesIO()
    fill(client, 'failed').export(file)
    return {
        'registry': lambda **options: fill(client, 'failed').export(io.BytesIO(), **options),
        'waiting': lambda **options: fill(client, 'queued').export(io.BytesIO(), **options),
        'queues': lambda **options: rqreg_ext.export(client, io.BytesIO(), **options).total,
        'restore': lambda **options: rqreg_ext.restore(client, io.BytesIO(file.getvalue()), **options).total,
    }


@pytest.mark.parametrize('name', ['registry', 'waiting', 'queues', 'restore'])
def test_export_that_ends_early_does_not_know_what_is_left(connection: redis.Redis, name: str) -> None:
    call = exports(connection)[name]
    assert call().remaining == 0
    result = call(progress=lambda *counts: False)
    assert (result.stopped, result.interrupted, result.remaining) == (True, False, None)

    def interrupt(*report: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        call(progress=interrupt)
    result = until_then(raised.value)
    assert (result.stopped, result.interrupted, result.remaining) == (False, True, None)
    if name != 'restore':
        result = call(limit=2)
        assert (result.stopped, result.interrupted, result.remaining) == (False, False, None)


class Full(io.BytesIO):
    """A file on a full disk, which notices at the end."""

    def flush(self) -> None:
        raise OSError(28, 'No space left on device')


def test_file_that_fails_at_its_end_has_result(connection: redis.Redis) -> None:
    fill(connection, 'failed')
    for call in (
        rqreg_ext.FailedJobRegistry('q', connection=connection).export,
        lambda to: rqreg_ext.export(connection, to),
    ):
        with pytest.raises(OSError, match='No space left') as raised:
            call(Full())
        assert (until_then(raised.value).done, until_then(raised.value).interrupted) == (COUNT, True)


def test_error_of_one_queue_is_in_its_result(connection: redis.Redis) -> None:
    fill(connection, 'failed', 'a')
    fill(connection, 'failed', 'b')
    connection.delete('rq:failed:a')
    connection.set('rq:failed:a', 'text')
    for results in (rqreg_ext.export(connection, io.BytesIO()), rqreg_ext.purge(connection)):
        assert (list(results.errors), results['b'].done) == (['a'], COUNT)
        assert (results['a'].interrupted, results['a'].remaining, results['b'].remaining) == (True, None, 0)
        assert (results.interrupted, results.total.remaining) == (False, None)


# ---- Arguments

WRONG = {
    'limit': (
        (-1, ValueError, 'limit=-1: give the most jobs to change, or leave it out for all'),
        ('2', TypeError, "limit='2' is not an int: give the most jobs to change, or leave it out for all"),
        (True, TypeError, 'limit=True is not an int: give the most jobs to change, or leave it out for all'),
    ),
    'wait_replicas': (
        (-1, ValueError, 'wait_replicas=-1 is not a number of replicas: give one like 1, or 0 for none'),
        ('2', TypeError, "wait_replicas='2' is not a number of replicas: give one like 1, or 0 for none"),
        (True, TypeError, 'wait_replicas=True is not a number of replicas: give one like 1, or 0 for none'),
    ),
    'chunk_size': (
        (0, ValueError, 'chunk_size=0: give a number of entries from 1 to 2147483647'),
        ('2', TypeError, "chunk_size='2' is not an int: give the number of entries to read at a time, like 1000"),
    ),
    'rate': (
        (
            0,
            ValueError,
            'rate=0: give how many jobs to change per second, like 100 or 0.5, or leave it out for any number',
        ),
        (True, TypeError, 'rate=True is not a number: give how many jobs to change per second, or leave it out'),
    ),
    'progress': ((5, TypeError, 'progress=5 cannot be called: give a function of a count and a total'),),
}


@pytest.mark.covering(2)
@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('argument', WRONG)
@pytest.mark.parametrize('dry_run', [False, True])
def test_wrong_argument_has_same_error_in_every_call(
    connection: redis.Redis, name: str, argument: str, dry_run: bool
) -> None:
    call, _ = begin(connection, CALLS[name])
    before = sorted(connection.scan_iter())
    for value, error, words in WRONG[argument]:
        with pytest.raises(error) as raised:
            call(**{argument: value}, dry_run=dry_run)
        assert str(raised.value) == words
    assert sorted(connection.scan_iter()) == before
