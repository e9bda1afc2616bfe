"""Every documented call on the same database, made by RQ's classes or by ours on the same client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import rq.registry
from rq import Queue
from rq.executions import ExecutionRegistry as RQExecutionRegistry
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry

import rqreg_ext.executions
import rqreg_ext.registry

from .outcomes import Outcome, outcome_of

if TYPE_CHECKING:
    import redis

NAME = 'tour é'
LONG_PAST = 1
NEVER = 4_000_000_000
NAMESPACES = (rq.registry, rqreg_ext.registry)
EXECUTIONS = {rq.registry: RQExecutionRegistry, rqreg_ext.registry: rqreg_ext.executions.ExecutionRegistry}

Call = Callable[[], Any]


def prepare(admin: redis.Redis) -> None:
    """Empty the database of `admin` and fill it with jobs in every registry, some of them expired."""
    admin.flushdb()
    queue = Queue(NAME, connection=admin)
    for number in range(8):
        job = queue.enqueue('os.getpid', job_id=f'failed-{number}')
        queue.remove(job)
        job.set_status(JobStatus.FAILED)
        FailedJobRegistry(queue=queue).add(job, ttl=3600, exc_string='an error')
        admin.zadd(queue.failed_job_registry.key, {job.id: NEVER + number})
    admin.zadd(queue.failed_job_registry.key, {'expired': LONG_PAST, 'é': NEVER - 1})
    admin.zadd(queue.finished_job_registry.key, {'done-1': NEVER, 'done-2': NEVER, 'expired': LONG_PAST})
    admin.zadd(queue.deferred_job_registry.key, {'waiting': NEVER})
    admin.zadd(queue.canceled_job_registry.key, {'canceled': NEVER})
    admin.zadd(queue.scheduled_job_registry.key, {'due': LONG_PAST, 'later': NEVER})
    admin.zadd(queue.started_job_registry.key, {'running:one': NEVER, 'running:two': NEVER + 1, 'lone': NEVER + 2})
    admin.zadd(RQExecutionRegistry('running', connection=admin).key, {'one': NEVER, 'two': NEVER, 'gone': LONG_PAST})


def state(admin: redis.Redis) -> dict[str, Any]:
    """Return what the database of `admin` holds, without the times of day."""
    held: dict[str, Any] = {}
    for key in sorted(admin.keys('*')):
        kind = admin.type(key)
        if kind == b'zset':
            held[key] = admin.zrange(key, 0, -1)
        elif kind == b'list':
            held[key] = admin.lrange(key, 0, -1)
        elif kind == b'set':
            held[key] = sorted(admin.smembers(key))
        elif kind == b'hash':
            held[key] = (sorted(admin.hkeys(key)), admin.hget(key, 'status'))
        else:
            held[key] = kind
    return held


def _failed(failed: Any, job: Callable[[str], Job]) -> Iterator[tuple[str, Call]]:
    yield 'expired ids', failed.get_expired_job_ids
    yield 'count without cleanup', lambda: failed.get_job_count(cleanup=False)
    yield 'ids without cleanup', lambda: failed.get_job_ids(cleanup=False)
    yield 'count', lambda: failed.count
    yield 'len', lambda: len(failed)
    yield 'ids', failed.get_job_ids
    yield 'ids 1 to 3', lambda: failed.get_job_ids(1, 3)
    yield 'last ids', lambda: failed.get_job_ids(start=-2, desc=True)
    yield 'id in', lambda: 'failed-3' in failed
    yield 'job in', lambda: job('failed-3') in failed
    yield 'id not in', lambda: 'nobody' in failed
    yield 'expired ids at', lambda: failed.get_expired_job_ids(NEVER + 2)
    yield 'expiration time', lambda: failed.get_expiration_time(job('failed-3'))
    yield 'queue', failed.get_queue
    yield 'remove id', lambda: failed.remove('failed-0')
    yield 'remove nobody', lambda: failed.remove('nobody')
    yield 'remove job', lambda: failed.remove(job('failed-1'))
    yield 'delete id', lambda: failed.remove('failed-2', delete_job=True)
    yield 'delete job', lambda: failed.remove(job('failed-3'), delete_job=True)
    yield 'delete nobody', lambda: failed.remove('nobody', delete_job=True)
    yield 'requeue id', lambda: failed.requeue('failed-4')
    yield 'requeue job', lambda: failed.requeue(job('failed-5'), at_front=True)
    yield 'requeue again', lambda: failed.requeue('failed-5')
    yield 'requeue nobody', lambda: failed.requeue('nobody')
    yield 'cleanup', lambda: failed.cleanup(NEVER)
    yield 'ids in the end', failed.get_job_ids


def _started(started: Any, executions: Any, job: Callable[[str], Job]) -> Iterator[tuple[str, Call]]:
    yield 'started count', lambda: started.count
    yield 'started ids', lambda: started.get_job_ids(end=1)
    yield 'started pairs', lambda: started.get_job_and_execution_ids(0, 1)
    yield 'started id in', lambda: 'running' in started
    yield 'started job not in', lambda: job('failed-6') in started
    yield 'started remove', lambda: started.remove('running')
    yield 'started add', lambda: started.add(job('failed-6'))
    yield 'executions', executions.get_execution_ids
    yield 'executions count', lambda: executions.count


def _others(namespace: ModuleType, client: Any) -> Iterator[tuple[str, Call]]:
    finished = namespace.FinishedJobRegistry(NAME, connection=client)
    scheduled = namespace.ScheduledJobRegistry(NAME, connection=client)
    deferred = namespace.DeferredJobRegistry(NAME, connection=client)
    canceled = namespace.CanceledJobRegistry(NAME, connection=client)
    yield 'finished', lambda: (finished.count, finished.get_job_ids())
    yield 'deferred', lambda: (deferred.count, deferred.get_job_ids(), 'waiting' in deferred)
    yield 'canceled', lambda: (canceled.count, canceled.get_job_ids(), canceled.remove('canceled'))
    yield 'canceled expired', canceled.get_expired_job_ids
    yield 'scheduled', lambda: (scheduled.count, scheduled.get_job_ids())
    yield 'scheduled time', lambda: scheduled.get_scheduled_time('later')
    yield 'scheduled time of nobody', lambda: scheduled.get_scheduled_time('nobody')
    yield 'to schedule', lambda: scheduled.get_jobs_to_schedule(NEVER * 2)
    yield 'to schedule, one', lambda: scheduled.get_jobs_to_schedule(NEVER * 2, chunk_size=1)
    yield 'to enqueue', scheduled.get_jobs_to_enqueue
    if hasattr(namespace, 'ReadyJobRegistry'):
        ready = namespace.ReadyJobRegistry(NAME, connection=client)
        yield 'ready', lambda: (ready.count, ready.get_job_ids())
    yield 'clean registries', lambda: namespace.clean_registries(Queue(NAME, connection=client))


def tour(
    namespace: ModuleType, client: Any, admin: redis.Redis, begin: Callable[[str], object] = lambda name: None
) -> list[Outcome]:
    """Prepare the database, make every call with the classes of `namespace` on `client`, and add the state at the end.

    `namespace` is rq.registry or rqreg_ext.registry; `admin` may do everything in the same database. `begin` is called
    before each call, with its name.
    """

    def job(job_id: str) -> Job:
        return Job.fetch(job_id, connection=admin)

    prepare(admin)
    failed = namespace.FailedJobRegistry(NAME, connection=client)
    started = namespace.StartedJobRegistry(NAME, connection=client)
    executions = EXECUTIONS[namespace]('running', connection=client)
    calls = [*_failed(failed, job), *_started(started, executions, job), *_others(namespace, client)]
    outcomes = []
    for name, call in calls:
        begin(name)
        outcomes.append(outcome_of(name, call))
    return [*outcomes, Outcome('state', state(admin))]


def assert_same_tour(make: Callable[[], Any], admin: redis.Redis) -> list[Outcome]:
    """Go on the tour with RQ and with ours, each with a client of its own, and find no difference. Return ours."""
    expected = tour(rq.registry, make(), admin)
    answered = tour(rqreg_ext.registry, make(), admin)
    for theirs, ours in zip(expected, answered, strict=True):
        assert ours == theirs
    return answered


def assert_went_well(outcomes: list[Outcome]) -> None:
    """Check that the tour really got answers: otherwise two broken clients would agree as well."""
    by_call = {outcome.call: outcome for outcome in outcomes}
    assert by_call['count'].value == (int, 9)
    assert by_call['id in'].value == (bool, True)
    assert by_call['job in'].value == (bool, True)
    assert by_call['id not in'].value == (bool, False)
    assert by_call['remove id'].value == (int, 1)
    assert by_call['requeue id'].error is None
    assert by_call['delete id'].error is None
    assert by_call['started pairs'].error is None
    failures = {outcome.call for outcome in outcomes if outcome.error is not None}
    assert failures == {
        'canceled expired',
        'delete nobody',
        'requeue again',
        'requeue nobody',
        'scheduled time of nobody',
        'started add',
        'started remove',
    }
