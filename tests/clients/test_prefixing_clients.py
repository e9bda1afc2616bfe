"""Every public call, by clients that put a prefix before each key.

The database also has the keys of another application, without a prefix. What a call leaves there, of both
applications, is what RQ's own calls leave, made by the same client.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import redis
import rq
import rq.command
import rq.executions
import rq.registry
from rq.job import Job, JobStatus

import rqreg_ext
from rqreg_ext._all_queues.batch import Batch
from rqreg_ext._fastpath.clients.support import ClientRefusedError
from rqreg_ext._query.pages import Page

from .outcomes import outcome_of
from .prefixing import COMPLETE, FORMS, PREFIX, Form

if TYPE_CHECKING:
    from private_redis import PrivateRedis

NAME = 'q'
NEVER, LONG_PAST = 4_000_000_000, 1
IDS = ['job-2', 'job-0', 'job-4', 'old', 'nothing']
TIMES = {b'created_at', b'enqueued_at', b'started_at', b'ended_at', b'last_heartbeat'}
REGISTRIES = [
    name
    for name in rqreg_ext.__all__
    if name.endswith('Registry') and (name != 'ReadyJobRegistry' or hasattr(rq.registry, name))
]


# ---- Two applications in one database


def fill(admin: Any, count: int) -> None:
    """Fill a database with jobs in every registry, and with an expired entry."""
    queue = rq.Queue(NAME, connection=admin)
    for number in range(count):
        job = queue.enqueue('os.getpid', job_id=f'job-{number}', description=f'{number} of {count}')
        queue.remove(job)
        job.set_status(JobStatus.FAILED)
        for name in REGISTRIES:
            if name != 'ExecutionRegistry':
                entry = f'{job.id}:run-{number}' if name == 'StartedJobRegistry' else job.id
                key = rqs_class(name).key_template.format(NAME)
                admin.zadd(key, {entry: NEVER + number, 'job-0:old' if ':' in entry else 'old': LONG_PAST})
        admin.hset(job.key, 'worker_name', 'w')
        admin.zadd(f'rq:executions:{job.id}', {f'run-{number}': NEVER, 'old': LONG_PAST})
        admin.hset(
            f'rq:execution:{job.id}:run-{number}',
            mapping={'job_id': job.id, 'created_at': 1e9, 'last_heartbeat': 1e9, 'id': f'run-{number}'},
        )
    for number in range(count):
        queue.enqueue('os.getpid', job_id=f'waiting-{number}', description=f'waits {number}')
    admin.hset('rq:worker:w', mapping={'state': 'busy', 'queues': NAME, 'birth': '2026-01-01T00:00:00.000000Z'})
    admin.sadd('rq:workers', *[f'rq:worker:{name}' for name in 'wv'][: 1 + count % 2])


def contents_of(admin: Any) -> dict[bytes, bytes]:
    keys = sorted(admin.keys('*'))
    return dict(zip(keys, map(admin.dump, keys), strict=True))


def of_others(state: dict[bytes, Any]) -> dict[bytes, Any]:
    """Return what belongs to the application without a prefix."""
    return {key: value for key, value in state.items() if not key.startswith(PREFIX)}


class Database:
    """A database with the keys of two applications, one of them with a prefix."""

    def __init__(self, server: PrivateRedis, number: int, filled: dict[bytes, bytes]) -> None:
        self.arguments = {'host': '127.0.0.1', 'port': server.port, 'db': number}
        self.admin: Any = redis.Redis(**self.arguments)
        self._filled = filled
        self.restore()
        self.of_others = of_others(self.state())

    def restore(self) -> None:
        pipeline = self.admin.pipeline(transaction=False).flushdb()
        for key, value in self._filled.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()

    def state(self) -> dict[bytes, Any]:
        """Return all that is there, without times."""
        return {key: self._value(key) for key in sorted(self.admin.keys('*'))}

    def _value(self, key: bytes) -> Any:
        read: dict[bytes, Callable[[], Any]] = {
            b'hash': lambda: {f: v for f, v in self.admin.hgetall(key).items() if f not in TIMES},
            b'zset': lambda: sorted(self.admin.zrange(key, 0, -1)),
            b'list': lambda: self.admin.lrange(key, 0, -1),
            b'set': lambda: sorted(self.admin.smembers(key)),
            b'stream': lambda: self.admin.xlen(key),
            b'string': lambda: 'text',
        }
        kind = self.admin.type(key)
        return kind, read[kind]()


@pytest.fixture(scope='module')
def databases(redis_server: PrivateRedis) -> Iterator[tuple[Database, Database]]:
    """One for RQ, one for us."""
    with redis_server.client(db=7) as admin:
        admin.flushdb()
        fill(admin, 3)
        filled = {PREFIX + key: value for key, value in contents_of(admin).items()}
        admin.flushdb()
        fill(admin, 5)
        filled |= contents_of(admin)
        admin.flushdb()
    both = Database(redis_server, 8, filled), Database(redis_server, 9, filled)
    yield both
    for database in both:
        database.admin.flushdb()
        database.admin.close()


# ---- The calls


def rqs_class(name: str) -> Any:
    return getattr(rq.executions if name == 'ExecutionRegistry' else rq.registry, name)


def made(registry_class: Any, client: Any) -> Any:
    if issubclass(registry_class, rq.executions.ExecutionRegistry):
        return registry_class('job-0', connection=client)
    return registry_class(NAME, connection=client)


class Call(NamedTuple):
    """A call of ours, and what RQ's users write for it; None: the call must refuse the client, and change nothing.

    Each is called with a registry, or with a client. has_result: whether both return the same.
    """

    ours: Callable[[Any], Any]
    rqs: Callable[[Any], Any] | None
    has_result: bool = True


def same(call: Callable[[Any], Any]) -> Call:
    return Call(call, call)


def loop(method: str, *, calls: Callable[[Any, str], Any]) -> Call:
    """A call on many jobs, as the loop over all of them."""

    is_of_all = not method.endswith('many')

    def by_rq(registry: Any) -> None:
        for job_id in registry.get_job_ids() if is_of_all else IDS:
            with contextlib.suppress(Exception):
                calls(registry, job_id)

    def by_us(registry: Any) -> Any:
        return getattr(registry, method)(*([] if is_of_all else [IDS]))

    return Call(by_us, by_rq, has_result=False)


def job_of(registry: Any, number: int = 0) -> Job:
    return Job.fetch(f'job-{number}', connection=registry.connection)


def cancel(registry: Any, job_id: str) -> None:
    if job_id in registry:
        job_of(registry, int(job_id[-1])).cancel()


def in_pipeline(registry: Any, call: Callable[[Any], Any]) -> Any:
    with registry.connection.pipeline() as pipeline:
        call(pipeline)
        return pipeline.execute()


def execution_of(registry: Any, number: int = 0) -> Any:
    return rq.executions.Execution(f'run-{number}', f'job-{number}', connection=registry.connection)


def entries_of(registry: Any) -> list[Any]:
    entries = registry.connection.zrange(registry.key, 0, -1)
    return [entry for entry in entries if registry.parse_job_id(entry) in IDS]


def with_status(status: JobStatus, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the call, made after a job was given the status."""

    def make(client: Any) -> Any:
        Job.fetch('job-1', connection=client).set_status(status)
        return call(client)

    return make


def move_scheduled(client: Any) -> int:
    job = Job.fetch('job-1', connection=client)
    # It has the status in another application if the client changes some commands only.
    if not job.is_scheduled:
        return 0
    with client.pipeline() as pipeline:
        pipeline.zrem(f'rq:scheduled:{NAME}', job.id)
        pipeline.hset(job.key, 'origin', 'low')
        pipeline.zadd('rq:scheduled:low', {job.id: client.zscore(f'rq:scheduled:{NAME}', job.id)})
        pipeline.sadd('rq:queues', 'rq:queue:low')
        pipeline.execute()
    return 1


def delete_older_canceled(client: Any) -> None:
    registry = rq.registry.CanceledJobRegistry(NAME, connection=client)
    for job_id in registry.get_job_ids()[:-1]:
        with contextlib.suppress(Exception):
            registry.remove(job_id, delete_job=True)


def move_failed(registry: Any) -> None:
    # The jobs in the other registries have failed too, and are in these by mistake.
    if isinstance(registry, rq.registry.FailedJobRegistry):
        for job_id in IDS:
            with contextlib.suppress(Exception):
                job = Job.fetch(job_id, connection=registry.connection)
                if job in registry:
                    job.origin = 'low'
                    registry.connection.sadd('rq:queues', 'rq:queue:low')
                    registry.requeue(job)


def fail_started(registry: Any) -> None:
    for entry in entries_of(registry):
        registry.connection.zadd(registry.key, {entry: 1}, xx=True)
    registry.cleanup(1)


def remove_started(registry: Any) -> None:
    for entry in entries_of(registry):
        execution = rq.executions.Execution.from_composite_key(entry.decode(), connection=registry.connection)
        in_pipeline(registry, lambda p, execution=execution: execution.delete(job_of(registry), p))


def stop_started(registry: Any, ids: Iterable[str]) -> None:
    for job_id in set(ids) & set(registry.get_job_ids(cleanup=False)):
        with contextlib.suppress(Exception):
            rq.command.send_stop_job_command(registry.connection, job_id)


def trim(registry: Any) -> None:
    # In a canceled registry, the score is the time that trim() compares; the others are only cleaned up.
    registry.cleanup()
    if 'canceled' in registry.key:
        registry.connection.zrem(registry.key, 'old')


# By the names of the methods, whichever class has them.
ON_REGISTRIES: dict[str, Call] = {
    '__contains__': same(lambda r: ['job-0' in r, 'job-4' in r]),
    '__eq__': same(lambda r: r == made(type(r), r.connection)),
    '__len__': same(len),
    'add': same(lambda r: r.add(job_of(r), ttl=10)),
    'add_execution': same(lambda r: in_pipeline(r, lambda p: r.add_execution(execution_of(r, 9), p, 9, 9))),
    'cancel_all': loop('cancel_all', calls=cancel),
    'cancel_many': loop('cancel_many', calls=cancel),
    'check': Call(lambda r: r.check(settle=0), None),
    'cleanup': same(lambda r: r.cleanup()),
    'contains_many': Call(
        lambda r: r.contains_many(['job-0', 'job-4', 'x']), lambda r: [i in r for i in ('job-0', 'job-4', 'x')]
    ),
    'count': same(lambda r: r.count),
    'count_by': Call(
        lambda r: [group.count for group in r.count_by('queue')],
        lambda r: [n] if (n := sum(Job.exists(i, r.connection) for i in r.get_job_ids(cleanup=False))) else [],
    ),
    'delete': same(lambda r: in_pipeline(r, lambda p: r.delete(job_of(r), p))),
    'enqueue_jobs': same(lambda r: r.enqueue_jobs()),
    'export': Call(lambda r: r.export(io.BytesIO()), None),
    'fail_many': Call(lambda r: r.fail_many(IDS), lambda r: fail_started(r), has_result=False),
    'find': Call(
        lambda r: list(r.find(description='*of*')) + [dict(f) for _, f in r.find(fields=['func_name'], limit=0)],
        lambda r: [i for i in r.get_job_ids(cleanup=False) if Job.exists(i, r.connection)],
    ),
    'get_execution_ids': same(lambda r: r.get_execution_ids()),
    'get_executions': same(lambda r: len(r.get_executions())),
    'get_expiration_time': same(lambda r: r.get_expiration_time(job_of(r))),
    'get_expired_job_ids': same(lambda r: r.get_expired_job_ids(5)),
    'get_job_and_execution_ids': same(lambda r: r.get_job_and_execution_ids()),
    'get_job_count': same(lambda r: r.get_job_count()),
    'get_job_ids': same(lambda r: r.get_job_ids()),
    'get_jobs': Call(
        lambda r: [job.description for job in r.get_jobs()],
        lambda r: [
            Job.fetch(i, connection=r.connection).description for i in r.get_job_ids() if Job.exists(i, r.connection)
        ],
    ),
    'get_jobs_to_schedule': same(lambda r: r.get_jobs_to_schedule()),
    'get_page': Call(lambda r: list(r.get_page()), lambda r: r.get_job_ids()),
    'get_queue': same(lambda r: r.get_queue().name),
    'get_scheduled_time': same(lambda r: r.get_scheduled_time('job-0')),
    'iter_entries': Call(
        lambda r: [i for i, _ in r.iter_entries(chunk_size=2)], lambda r: r.get_job_ids(cleanup=False)
    ),
    'iter_job_ids': Call(
        lambda r: [*r.iter_job_ids(chunk_size=2), *r.iter_job_ids(desc=True)],
        lambda r: [*r.get_job_ids(cleanup=False), *r.get_job_ids(desc=True, cleanup=False)],
    ),
    'move_many': Call(lambda r: r.move_many(IDS, 'low'), move_failed, has_result=False),
    'parse_job_id': same(lambda r: r.parse_job_id('a')),
    'purge': loop('purge', calls=lambda r, i: r.remove(i, delete_job=True)),
    'register_jobs': same(lambda r: in_pipeline(r, lambda p: r.register_jobs([job_of(r)], p))),
    'remove': same(lambda r: [r.remove('job-0'), r.remove('job-1', delete_job=True)]),
    'remove_execution': same(lambda r: in_pipeline(r, lambda p: r.remove_execution(execution_of(r), p))),
    'remove_executions': same(lambda r: in_pipeline(r, lambda p: r.remove_executions(job_of(r), p))),
    'remove_jobs': same(lambda r: r.remove_jobs()),
    'remove_many': loop('remove_many', calls=lambda r, i: r.remove(i)),
    'repair': Call(lambda r: r.repair(), None),
    'requeue': same(lambda r: r.requeue('job-0')),
    'requeue_all': loop('requeue_all', calls=lambda r, i: r.requeue(i)),
    'requeue_many': loop('requeue_many', calls=lambda r, i: r.requeue(i)),
    'stop_all': Call(lambda r: r.stop_all(), lambda r: stop_started(r, r.get_job_ids()), has_result=False),
    'stop_many': Call(lambda r: r.stop_many(IDS), lambda r: stop_started(r, IDS), has_result=False),
    'schedule': same(lambda r: r.schedule(job_of(r), 4_100_000_000)),
    # Only the entry `old` has a time that is known.
    'trim': Call(lambda r: r.trim(older_than=timedelta(0)), trim, has_result=False),
}
# Where RQ's methods differ from what most registries have.
ON_SOME: dict[tuple[str, str], Call] = {
    ('ExecutionRegistry', 'add'): same(lambda r: in_pipeline(r, lambda p: r.add(execution_of(r, 9), 9, p))),
    ('StartedJobRegistry', 'remove_many'): Call(lambda r: r.remove_many(IDS), lambda r: remove_started(r), False),
    ('ExecutionRegistry', 'remove'): same(lambda r: in_pipeline(r, lambda p: r.remove(execution_of(r), p))),
}
# Ours refuse these, where RQ has nothing of the kind.
REFUSED = {
    **dict.fromkeys(('DeferredJobRegistry', 'ReadyJobRegistry', 'ScheduledJobRegistry'), 'trim'),
    'BaseRegistry': 'move_many trim',
    'StartedJobRegistry': 'move_many purge requeue_all requeue_many trim',
    'ExecutionRegistry': 'cancel_all cancel_many count_by find get_jobs move_many purge remove_many requeue_all '
    'requeue_many trim',
}
DATA = {'connection', 'death_penalty_class', 'job_class', 'key_template'}


def rqs_failed(client: Any) -> Any:
    return rq.registry.FailedJobRegistry(NAME, connection=client)


def in_batch(call: Callable[[Batch, Any], Any]) -> Callable[[Any], Any]:
    def make(client: Any) -> Any:
        registry = rqreg_ext.FailedJobRegistry(NAME, connection=client)
        with rqreg_ext.batch(client) as batch:
            pending = call(batch, registry)
        result = pending.result()
        return list(result) if isinstance(result, Page) else result

    return make


def many(method: str, registry: str = 'FailedJobRegistry') -> Callable[[Any], Any]:
    by_rq = ON_REGISTRIES[method].rqs
    assert by_rq is not None
    return lambda client: by_rq(made(rqs_class(registry), client))


def snapshot_of(client: Any, **options: Any) -> Any:
    taken = rqreg_ext.snapshot(client, scores=True, **options)
    return [(name, queue.queued, queue.failed, queue.started) for name, queue in taken.items()], dict(taken.workers)


def rqs_snapshot(client: Any) -> Any:
    queues = rq.Queue.all(connection=client)
    rows = [
        (
            queue.name,
            queue.count,
            queue.failed_job_registry.get_job_count(cleanup=False),
            queue.started_job_registry.get_job_count(cleanup=False),
        )
        for queue in queues
    ]
    hashes = [client.hgetall(key) for key in client.smembers('rq:workers')]
    states = [fields[b'state'].decode() for fields in hashes if fields]
    return rows, {state: states.count(state) for state in states}


def descriptions(jobs: Any) -> list[Any]:
    return [job and (job.id, job.description, job.return_value()) for job in jobs]


def clean_all(client: Any) -> None:
    for name in REGISTRIES:
        if name not in ('BaseRegistry', 'ExecutionRegistry'):
            made(rqs_class(name), client).cleanup()


def the_queue(client: Any) -> Any:
    return rqreg_ext.Queue(NAME, connection=client)


ON_BATCHES: dict[str, Call] = {
    'contains': Call(in_batch(lambda b, r: b.contains(r, 'job-0')), lambda c: 'job-0' in rqs_failed(c)),
    'count': Call(in_batch(lambda b, r: b.count(r)), lambda c: rqs_failed(c).count),
    'get_job_count': Call(in_batch(lambda b, r: b.get_job_count(r)), lambda c: rqs_failed(c).count),
    'get_job_ids': Call(in_batch(lambda b, r: b.get_job_ids(r)), lambda c: rqs_failed(c).get_job_ids()),
    'get_page': Call(in_batch(lambda b, r: b.get_page(r)), lambda c: rqs_failed(c).get_job_ids()),
    'remove': Call(in_batch(lambda b, r: b.remove(r, 'job-0')), lambda c: rqs_failed(c).remove('job-0')),
}
ON_CLIENTS: dict[str, Call] = {
    'check': Call(lambda c: rqreg_ext.check(c, settle=0), None),
    'check of queues': Call(lambda c: rqreg_ext.check(c, [NAME], settle=0), None),
    'clean_registries': Call(
        lambda c: rqreg_ext.clean_registries(the_queue(c)),
        lambda c: rq.registry.clean_registries(rq.Queue(NAME, connection=c)),
    ),
    'get_jobs': Call(
        lambda c: descriptions(rqreg_ext.get_jobs(c, ['job-1', 'nobody', 'job-0'], with_results=True)),
        lambda c: descriptions([(Job.exists(i, c) and Job.fetch(i, c)) or None for i in ('job-1', 'nobody', 'job-0')]),
    ),
    'count_by': Call(
        lambda c: [group.count for group in rqreg_ext.count_by(c, 'queue', queues=NAME)],
        lambda c: [sum(Job.exists(i, c) for i in rqs_failed(c).get_job_ids(cleanup=False))],
    ),
    'cancel_all': Call(lambda c: rqreg_ext.cancel_all(c, 'failed'), many('cancel_all'), has_result=False),
    'find': Call(
        lambda c: [*rqreg_ext.find(c, queues=NAME, description='*of*')],
        lambda c: [(NAME, i) for i in rqs_failed(c).get_job_ids(cleanup=False) if Job.exists(i, c)],
    ),
    'list_jobs': Call(
        lambda c: sorted(job.id for job in rqreg_ext.list_jobs(c, NAME, ['queued', 'failed'], cleanup=False)),
        lambda c: sorted(
            i
            for i in {*rq.Queue(NAME, connection=c).get_job_ids(), *rqs_failed(c).get_job_ids(cleanup=False)}
            if c.hgetall(Job.key_for(i))
        ),
    ),
    'move_many of a scheduled registry': Call(
        with_status(
            JobStatus.SCHEDULED,
            lambda c: rqreg_ext.ScheduledJobRegistry(NAME, connection=c).move_many(['job-1'], 'low').done,
        ),
        with_status(JobStatus.SCHEDULED, move_scheduled),
    ),
    'trim of a canceled registry': Call(
        lambda c: rqreg_ext.CanceledJobRegistry(NAME, connection=c).trim(keep=1),
        delete_older_canceled,
        has_result=False,
    ),
    'export': Call(lambda c: rqreg_ext.export(c, io.BytesIO()), None),
    'purge': Call(lambda c: rqreg_ext.purge(c), many('purge'), has_result=False),
    'purge of queues': Call(lambda c: rqreg_ext.purge(c, queues=the_queue(c)), many('purge'), has_result=False),
    'repair': Call(lambda c: rqreg_ext.repair(c), None),
    'repair of problems': Call(lambda c: rqreg_ext.repair(c, []), None),
    'requeue_all': Call(lambda c: rqreg_ext.requeue_all(c), many('requeue_all'), has_result=False),
    'restore': Call(lambda c: rqreg_ext.restore(c, io.BytesIO()), None),
    'snapshot': Call(snapshot_of, rqs_snapshot),
    'snapshot with details': Call(
        lambda c: snapshot_of(c, worker_details=True, oldest=True),
        rqs_snapshot,
    ),
    'trim': Call(lambda c: rqreg_ext.trim(c, older_than=timedelta(0)), many('trim'), has_result=False),
    'snapshot after cleanup': Call(
        lambda c: snapshot_of(c, cleanup=True), lambda c: [clean_all(c), rqs_snapshot(c)][1], has_result=False
    ),
}
ON_QUEUES: dict[str, Call] = {
    name: Call(
        lambda c, name=name: getattr(the_queue(c), name).count,  # type: ignore[misc]
        lambda c, name=name: getattr(rq.Queue(NAME, connection=c), name).count,  # type: ignore[misc]
    )
    for name in dir(rq.Queue)
    if name.endswith('_job_registry')
}
ON_QUEUES['waiting_jobs'] = Call(
    lambda c: the_queue(c).waiting_jobs.count, lambda c: rq.Queue(NAME, connection=c).count
)


def waiting(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda client: call(rqreg_ext.WaitingJobs(NAME, connection=client))


def queued(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda client: call(rq.Queue(NAME, connection=client))


def existing(queue: Any) -> list[str]:
    # Queue.jobs removes the others.
    return [job_id for job_id in queue.job_ids if queue.connection.hgetall(Job.key_for(job_id))]


def each_queued(call: Callable[[Any, Job], Any]) -> Callable[[Any], Any]:
    def make(client: Any) -> None:
        queue = rq.Queue(NAME, connection=client)
        for job_id in WAITING:
            with contextlib.suppress(Exception):
                if job_id in queue.job_ids:
                    call(queue, Job.fetch(job_id, connection=client))

    return make


def move_queued(queue: Any, job: Job) -> None:
    queue.remove(job)
    rq.Queue('low', connection=queue.connection).enqueue_job(job)


def purge_queued(queue: Any) -> None:
    there = existing(queue)
    for job_id in queue.job_ids:
        if job_id in there:
            Job.fetch(job_id, connection=queue.connection).delete()
        else:
            queue.remove(job_id)


def empty_queue(queue: Any, count: int | None = None) -> int:
    """Do what Queue.empty() does, but not by a script, which would delete the jobs of the other application."""
    job_ids = queue.job_ids[:count]
    for job_id in job_ids:
        queue.remove(job_id)
        queue.connection.delete(Job.key_for(job_id), f'rq:job:{job_id}:dependents', f'rq:results:{job_id}')
    return len(job_ids)


def cancel_queued(queue: Any) -> None:
    for job_id in existing(queue):
        Job.fetch(job_id, connection=queue.connection).cancel()


WAITING = ['waiting-1', 'waiting-0', 'waiting-4', 'nothing']
ON_WAITING: dict[str, Call] = {
    '__contains__': Call(
        waiting(lambda w: ['waiting-0' in w, 'nothing' in w]),
        queued(lambda q: [q.get_job_position('waiting-0') is not None, False]),
    ),
    '__len__': Call(waiting(len), queued(len)),
    'cancel_all': Call(waiting(lambda w: w.cancel_all()), queued(cancel_queued), has_result=False),
    'cancel_many': Call(
        waiting(lambda w: w.cancel_many(WAITING)), each_queued(lambda q, job: job.cancel()), has_result=False
    ),
    'contains_many': Call(
        waiting(lambda w: w.contains_many(WAITING)), queued(lambda q: [job_id in q.job_ids for job_id in WAITING])
    ),
    'count': Call(waiting(lambda w: w.count), queued(lambda q: q.count)),
    'count_by': Call(
        waiting(lambda w: [group.count for group in w.count_by('queue')]),
        queued(lambda q: [n] if (n := len(existing(q))) else []),
    ),
    'empty': Call(waiting(lambda w: w.empty().total), queued(empty_queue)),
    'empty, limit': Call(waiting(lambda w: w.empty(limit=2).total), queued(lambda q: empty_queue(q, 2))),
    'export': Call(waiting(lambda w: w.export(io.BytesIO())), None),
    'find': Call(waiting(lambda w: list(w.find(description='wait*'))), queued(lambda q: existing(q))),
    'get_job_ids': Call(
        waiting(lambda w: [w.get_job_ids(), w.get_job_ids(desc=True)]), queued(lambda q: [q.job_ids, q.job_ids[::-1]])
    ),
    'get_jobs': Call(
        waiting(lambda w: list(w.get_jobs())),
        queued(lambda q: [Job.fetch(i, connection=q.connection) for i in existing(q)]),
    ),
    'get_page': Call(
        waiting(lambda w: [list(w.get_page()), w.get_page().total]), queued(lambda q: [q.job_ids, q.count])
    ),
    'iter_job_ids': Call(
        waiting(lambda w: [*w.iter_job_ids(2), *w.iter_job_ids(2, desc=True)]),
        queued(lambda q: [*q.job_ids, *q.job_ids[::-1]]),
    ),
    'move_many': Call(waiting(lambda w: w.move_many(WAITING, 'low')), each_queued(move_queued), has_result=False),
    'parse_job_id': Call(waiting(lambda w: w.parse_job_id('a')), lambda c: rqs_failed(c).parse_job_id('a')),
    'purge': Call(
        waiting(lambda w: w.purge()),
        queued(purge_queued),
        has_result=False,
    ),
    'remove_many': Call(
        waiting(lambda w: w.remove_many(WAITING)), queued(lambda q: [q.remove(i) for i in WAITING]), has_result=False
    ),
}
# What sends nothing.
WITHOUT_CLIENT = {
    'BulkOptions', 'BulkResult', 'BulkResults', 'CheckReport', 'DamagedFileError', 'InstallReport', 'JobExistsError',
    'JobFilters', 'JobGroup', 'JobGroups', 'JobList', 'JobListing', 'JobPage', 'Page', 'PendingResult', 'Problem',
    'ProblemKind', 'QueueSnapshot', 'RepairReport', 'Snapshot', 'WorkerSnapshot', 'install', 'is_installed',
    'uninstall',
}  # fmt: skip
# Whose own calls have tables of their own; batch() is tried by each call of Batch.
WITH_TABLES = {*REGISTRIES, 'ReadyJobRegistry', 'Batch', 'Queue', 'WaitingJobs', 'batch'}


def outcomes(database: Database, form: Form, call: Callable[[Any], Any], make: Callable[[Any], Any]) -> Any:
    """Make the call by a client of this form on the database as it was filled; return the outcome and what is left."""
    database.restore()
    make_client, using = form
    with using():
        client = make_client(**database.arguments)
        outcome = outcome_of('call', lambda: call(make(client)))
    client.close()
    return outcome, database.state()


def assert_as_rq(databases: tuple[Database, Database], form: str, call: Call, ours: Any, rqs: Any, about: str) -> None:
    for_rq, for_us = databases
    found, state = outcomes(for_us, FORMS[form], call.ours, ours)
    if form in COMPLETE:
        assert of_others(state) == for_us.of_others, about
    if call.rqs is None:
        assert found.error in (NotImplementedError, ClientRefusedError, TypeError), (about, found)
        for_rq.restore()
        assert state == for_rq.state(), about
        return
    result, expected_state = outcomes(for_rq, FORMS[form], call.rqs, rqs)
    assert state == expected_state, about
    if call.has_result:
        assert found == result, about
    else:
        assert found.error is None, (about, found)


def calls_of(name: str) -> dict[str, Call]:
    """Return the calls on a registry class, by name."""
    public = {each for each in dir(getattr(rqreg_ext, name)) if not each.startswith('_')} - DATA
    special = {'__contains__', '__eq__', '__len__'}
    table = ON_REGISTRIES | {method: call for (owner, method), call in ON_SOME.items() if owner == name}
    return {method: table[method] for method in sorted(public | special)}


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', REGISTRIES)
@pytest.mark.parametrize('form', FORMS)
def test_every_registry_call_does_what_rq_does(databases: tuple[Database, Database], form: str, name: str) -> None:
    refused = REFUSED.get(name, '').split()
    for method, call in calls_of(name).items():
        expected = call._replace(rqs=None) if method in refused else call
        assert_as_rq(
            databases,
            form,
            expected,
            lambda client: made(getattr(rqreg_ext, name), client),
            lambda client: made(rqs_class(name), client),
            f'{name}.{method}',
        )


@pytest.mark.covering(1)
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    'table', [ON_CLIENTS, ON_BATCHES, ON_QUEUES, ON_WAITING], ids=['functions', 'batch', 'queue', 'waiting']
)
def test_every_other_call_does_what_rq_does(
    databases: tuple[Database, Database], form: str, table: dict[str, Call]
) -> None:
    for name, call in table.items():
        assert_as_rq(databases, form, call, lambda client: client, lambda client: client, name)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('is_plain_first', [False, True])
def test_plain_client_beside_prefixing_client_is_refused(
    databases: tuple[Database, Database], form: str, is_plain_first: bool
) -> None:
    """The same name is another key for each: calls with two clients must not confuse them."""
    _, database = databases
    database.restore()
    make_client, using = FORMS[form]
    with redis.Redis(**database.arguments) as plain, using():
        own = make_client(**database.arguments)
        first, second = (plain, own) if is_plain_first else (own, plain)
        with pytest.raises(ValueError, match='another Redis'), rqreg_ext.batch(first) as batch:
            batch.count(rqreg_ext.FailedJobRegistry(NAME, connection=second))
        for call in (rqreg_ext.snapshot, rqreg_ext.purge, rqreg_ext.requeue_all):
            with pytest.raises(ValueError, match='another Redis'):
                call(first, queues=rq.Queue(NAME, connection=second))
        own.close()


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('method', ['stop_many', 'stop_all'])
def test_workers_get_the_commands_that_rq_sends(databases: tuple[Database, Database], form: str, method: str) -> None:
    call = ON_REGISTRIES[method]
    sent = []
    for database, make, name in (
        (databases[0], call.rqs, rqs_class('StartedJobRegistry')),
        (databases[1], call.ours, rqreg_ext.StartedJobRegistry),
    ):
        with database.admin.pubsub(ignore_subscribe_messages=True) as channels:
            channels.psubscribe('*')
            outcomes(database, FORMS[form], make, lambda client, name=name: made(name, client))  # type: ignore[misc]
            database.admin.publish('end', '')
            messages = itertools.takewhile(lambda message: message['channel'] != b'end', channels.listen())
            sent.append(sorted((message['channel'], json.loads(message['data'])['job_id']) for message in messages))
    assert sent[0] == sent[1] != []


# ---- No call is left out


@pytest.mark.parametrize('name', REGISTRIES)
def test_every_method_of_registry_is_in_table(name: str) -> None:
    owner = getattr(rqreg_ext, name)
    public = {each for each in dir(owner) if not each.startswith('_')}
    assert public - DATA - ON_REGISTRIES.keys() == set()


def test_every_name_of_package_is_in_table() -> None:
    assert set(rqreg_ext.__all__) - WITHOUT_CLIENT - WITH_TABLES - ON_CLIENTS.keys() == set()


def test_every_method_of_batch_is_in_table() -> None:
    assert {each for each in vars(Batch) if not each.startswith('_')} - ON_BATCHES.keys() == set()


def test_every_method_of_waiting_jobs_is_in_table() -> None:
    public = {each for each in dir(rqreg_ext.WaitingJobs) if not each.startswith('_')} - {'count_command'}
    assert public - ON_WAITING.keys() == set()


def test_every_property_of_queue_is_in_table() -> None:
    ours, rqs = rqreg_ext.Queue, rq.Queue
    own = {
        each
        for each in dir(ours)
        if inspect.getattr_static(ours, each) is not inspect.getattr_static(rqs, each, None) and each[0] != '_'
    }
    # RQ before 3 has none of these, and a queue of ours has all the same.
    assert own - ON_QUEUES.keys() - {'ready_job_registry'} == set()
