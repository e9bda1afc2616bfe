"""Every public call of the package, and what RQ's users write instead, on the jobs that state.fill() has left."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any, NamedTuple

import valkey.cluster
from differential.database import Dump
from redis._parsers.socket import SocketBuffer
from redis.cluster import ClusterNode, RedisCluster

from .state import NEVER, Masters, dump_all, fill, flush, node_client, plain

MOMENT = datetime.fromtimestamp(NEVER, timezone.utc)


class On:
    """The registries of one side on one client. `rqreg_ext` is the package, for both sides."""

    def __init__(self, registries: Any, executions: Any, queue: Any, client: Any) -> None:
        import rqreg_ext

        self.client = client
        self.package = rqreg_ext
        self.registries = registries
        self.queue = queue('q', connection=client)
        self.failed = registries.FailedJobRegistry('q', connection=client)
        self.other = registries.FailedJobRegistry('other', connection=client)
        self.finished = registries.FinishedJobRegistry('q', connection=client)
        self.started = registries.StartedJobRegistry('q', connection=client)
        self.scheduled = registries.ScheduledJobRegistry('q', connection=client)
        self.waiting = rqreg_ext.WaitingJobs(queue=self.queue)
        self.executions = executions.ExecutionRegistry('started-0', connection=client)

    def job(self, job_id: str) -> Any:
        from rq.job import Job

        return Job.fetch(job_id, self.client)


def by_rq(client: Any) -> On:
    """Return RQ's classes on a client."""
    import rq
    import rq.executions
    import rq.registry

    return On(rq.registry, rq.executions, rq.Queue, client)


def by_ours(client: Any) -> On:
    """Return ours."""
    import rqreg_ext.executions
    import rqreg_ext.queue
    import rqreg_ext.registry

    return On(rqreg_ext.registry, rqreg_ext.executions, rqreg_ext.queue.Queue, client)


Make = Callable[[On], Any]


@dataclass(frozen=True)
class Call:
    """A call of ours, and what RQ's users write for it."""

    ours: Make
    theirs: Make
    # Whether RQ's is made on a plain client of the node, where one has all keys.
    theirs_on_node: bool = False


def same(make: Make) -> Call:
    """Return a call that both have by one name."""
    return Call(make, make)


# ---- RQ's loops


def each(change: Callable[[On, str], object], choose: Callable[[Any], bool] | None = None) -> Make:
    """Return RQ's loop over the failed registry, which tells how many jobs it did."""

    def loop(on: On) -> int:
        ids = [i for i in on.failed.get_job_ids() if choose is None or choose(on.job(i))]
        for job_id in ids:
            change(on, job_id)
        return len(ids)

    return loop


def _is_len(job: Any) -> bool:
    return job.func_name == 'builtins.len'


def _delete(on: On, job_id: str) -> None:
    on.failed.remove(job_id, delete_job=True)


def _requeue_on_low(on: On, job_id: str) -> None:
    job = on.job(job_id)
    job.origin = 'low'
    on.client.sadd(type(on.queue).redis_queues_keys, type(on.queue)('low', connection=on.client).key)
    on.failed.requeue(job)


def _move_scheduled(on: On) -> int:
    low = type(on.queue)('low', connection=on.client)
    for number in range(2):
        job = on.job(f'scheduled-{number}')
        on.scheduled.remove(job)
        on.client.hset(job.key, 'origin', 'low')
        on.client.zadd(low.scheduled_job_registry.key, {job.id: NEVER + number})
    on.client.sadd(type(on.queue).redis_queues_keys, low.key)
    return 2


def _move_queued(on: On) -> int:
    for job_id in ('queued-2', 'queued-0'):
        on.queue.remove(job_id)
        type(on.queue)('low', connection=on.client).enqueue_job(on.job(job_id))
    return 2


def _empty(on: On) -> int:
    """Do what Queue.empty() does, which is a script: where keys are on several nodes, the server refuses it."""
    ids = on.queue.job_ids
    for job_id in ids:
        on.queue.remove(job_id)
        on.client.delete(on.job(job_id).key)
    return len(ids)


def _requeue_all_queues(on: On) -> dict[str, int]:
    done = {}
    for registry in (on.failed, on.other):
        ids = registry.get_job_ids()
        for job_id in ids:
            registry.requeue(job_id)
        done[registry.name] = len(ids)
    return done


def _purge_all_queues(on: On) -> dict[str, int]:
    done = {}
    for registry in (on.failed, on.other):
        ids = registry.get_job_ids()
        for job_id in ids:
            registry.remove(job_id, delete_job=True)
        done[registry.name] = len(ids)
    return done


def _delete_but_two(on: On) -> tuple[int, int]:
    jobs = [on.job(job_id) for job_id in on.failed.get_job_ids()]
    ended = sorted((job for job in jobs if job.ended_at), key=lambda job: job.ended_at)
    for job in ended[:-2]:
        on.failed.remove(job.id, delete_job=True)
    return len(ended[:-2]), on.failed.count


def _drop_execution(on: On) -> list[int]:
    from rq.executions import Execution

    entry = on.client.zrange(on.started.key, 0, 0)[0].decode()
    execution = Execution.from_composite_key(entry, connection=on.client)
    job = on.job(execution.job_id)
    execution.delete(job, on.client)
    return [1, on.started.count]


def _counts(on: On, cleanup: bool) -> dict[str, Any]:
    from rq import Queue

    counts = {}
    for queue in Queue.all(connection=on.client):
        counts[queue.name] = {
            'queued': queue.count,
            **{
                name: getattr(queue, f'{name}_job_registry').get_job_count(cleanup=cleanup)
                for name in ('started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled')
            },
        }
    return counts


def _workers(client: Any) -> Any:
    from rq import Worker

    return Worker.all(connection=client)


def _details(on: On, taken: Any) -> Any:
    oldest = min(on.job(job_id).enqueued_at for job_id in on.queue.get_job_ids())
    return {name: each.current_job_id for name, each in taken.worker_details.items()}, taken['q'].oldest == oldest


def _snapshot(on: On, **options: Any) -> dict[str, Any]:
    snapshot = on.package.snapshot(on.client, **options)
    return {name: {key: count for key, count in counts.items() if key != 'ready'} for name, counts in snapshot.items()}


def _batch(on: On) -> list[Any]:
    with on.package.batch(on.client) as batch:
        calls = [
            batch.count(on.failed),
            batch.contains(on.failed, 'failed-1'),
            batch.get_job_ids(on.finished, 0, 0),
            batch.remove(on.failed, 'failed-2'),
            batch.count(on.other),
        ]
    return [call.result() for call in calls]


def _batch_by_rq(on: On) -> list[Any]:
    return [
        on.failed.count,
        'failed-1' in on.failed,
        on.finished.get_job_ids(0, 0),
        on.failed.remove('failed-2'),
        on.other.count,
    ]


def _found(report: Any) -> list[Any]:
    return sorted((str(problem.kind), problem.job_id) for problem in report)


def _exported(on: On) -> Any:
    file = io.BytesIO()
    done = on.failed.export(file).done
    _, *jobs, _ = map(json.loads, file.getvalue().splitlines())
    return done, [(job['id'], job['score'], job['hash']['status'], len(job.get('results', ()))) for job in jobs]


def _exported_by_hand(on: On) -> Any:
    ids = on.failed.get_job_ids()
    scores = [on.client.zscore(on.failed.key, i) for i in ids]
    jobs = list(map(on.job, ids))
    return len(ids), [
        (job.id, score, str(job.get_status().value), len(job.results()))
        for job, score in zip(jobs, scores, strict=True)
    ]


def _restored(on: On) -> Any:
    file = io.BytesIO()
    on.failed.export(file)
    done = on.failed.purge().done
    file.seek(0)
    return done, on.package.restore(on.client, file)['q'].done


# The expected problems: RQ has no check to compare with, and they do not depend on the cluster.
OF_THE_REGISTRY = [('missing_job', 'gone')]
OF_EVERYTHING = [
    ('expired', 'finished-long-ago'),
    ('missing_dependency', 'deferred-0'),
    ('missing_dependency', 'deferred-1'),
    ('missing_job', 'gone'),
]


def _lose_a_job(on: On) -> None:
    on.client.zadd(on.failed.key, {'gone': NEVER + 5})


def _checked(check: Make) -> Make:
    def make(on: On) -> Any:
        _lose_a_job(on)
        return _found(check(on))

    return make


def _checked_by_hand(answer: list[Any]) -> Make:
    def make(on: On) -> Any:
        _lose_a_job(on)
        return answer

    return make


def _repaired(check: Make, repair: Callable[[On, Any], Any]) -> Make:
    def make(on: On) -> Any:
        _lose_a_job(on)
        return sorted(problem.job_id for problem in check(on) if repair(on, [problem]).repaired)

    return make


def _repaired_by_hand(on: On) -> Any:
    _lose_a_job(on)
    on.failed.remove('gone')
    return ['gone']


def _all_repaired_by_hand(on: On) -> Any:
    on.finished.cleanup()
    return ['finished-long-ago', *_repaired_by_hand(on)]


def _cancel_many(on: On) -> Any:
    result = on.failed.cancel_many(on.failed.get_job_ids())
    return [result.done, [(job_id, plain(error)) for job_id, error in result.failed]]


def _cancel_all(on: On) -> Any:
    result = on.failed.cancel_all()
    return [result.done, [(job_id, plain(error)) for job_id, error in result.failed]]


def _cancel_all_queues(on: On) -> Any:
    result = on.package.cancel_all(on.client, 'failed', queues=['q'])['q']
    return [result.done, [(job_id, plain(error)) for job_id, error in result.failed]]


def _cancel_each(on: On) -> Any:
    done, failed = 0, []
    for job_id in on.failed.get_job_ids():
        try:
            on.job(job_id).cancel()
        except Exception as error:
            failed.append((job_id, plain(error)))
        else:
            done += 1
    return [done, failed]


def _for_rq(make: Make) -> Make:
    """Make a call where one job is in a group, and another has a pickled result: RQ must do them."""

    def call(on: On) -> Any:
        from rq.group import Group

        grouped, finished = on.job('failed-1'), on.job('failed-4')
        on.client.hset(grouped.key, 'group_id', 'crew')
        on.client.sadd(Group.get_key('crew'), grouped.id)
        on.client.sadd(Group.REDIS_GROUP_KEY, 'crew')
        on.client.hset(finished.key, 'result', b'old')
        return make(on)

    return call


def _count_for_url(on: On) -> Any:
    client = on.client
    if hasattr(client, 'get_primaries'):
        nodes = ','.join(f'{node.host}:{node.port}' for node in client.get_primaries())
        url = f'redis+cluster://{nodes}'
    else:
        arguments = client.connection_pool.connection_kwargs
        url = f'redis://{arguments["host"]}:{arguments["port"]}'
    return on.package.registry.FailedJobRegistry('q', connection=url).count


def _installed_count(on: On) -> Any:
    import rq

    on.package.install()
    try:
        return rq.Queue('q', connection=on.client).failed_job_registry.count
    finally:
        on.package.uninstall()


READS: dict[str, Call] = {
    'count': same(lambda on: on.failed.count),
    'len': same(lambda on: len(on.failed)),
    'get_job_count': same(lambda on: on.failed.get_job_count(cleanup=False)),
    'get_job_ids': same(lambda on: on.failed.get_job_ids()),
    'get_job_ids, some': same(lambda on: on.failed.get_job_ids(1, 3, desc=True, cleanup=False)),
    'contains': same(lambda on: ['failed-1' in on.failed, 'nobody' in on.failed, on.job('failed-2') in on.failed]),
    'get_expired_job_ids': same(lambda on: on.failed.get_expired_job_ids(NEVER + 3)),
    'get_expiration_time': same(lambda on: on.failed.get_expiration_time(on.job('failed-1'))),
    'count with expired entries': same(lambda on: on.finished.count),
    'cleanup': same(lambda on: on.failed.cleanup(NEVER + 3)),
    'scheduled time': same(lambda on: on.scheduled.get_scheduled_time('scheduled-1')),
    'jobs to schedule': same(lambda on: on.scheduled.get_jobs_to_schedule(NEVER * 2)),
    'started': same(lambda on: [on.started.count, on.started.get_job_ids(), on.started.get_job_and_execution_ids()]),
    'started contains': same(lambda on: ['started-0' in on.started, 'nobody' in on.started]),
    'executions': same(lambda on: [on.executions.count, on.executions.get_execution_ids()]),
    'registries of a queue': same(
        lambda on: [on.queue.failed_job_registry.count, on.queue.finished_job_registry.count]
    ),
    'clean_registries': same(lambda on: on.registries.clean_registries(on.queue)),
    'contains_many': Call(
        lambda on: on.failed.contains_many(['failed-1', 'nobody', 'failed-3']),
        lambda on: ['failed-1' in on.failed, 'nobody' in on.failed, 'failed-3' in on.failed],
    ),
    'iter_job_ids': Call(
        lambda on: list(on.failed.iter_job_ids(chunk_size=3)), lambda on: on.failed.get_job_ids(cleanup=False)
    ),
    'iter_entries': Call(
        lambda on: list(on.failed.iter_entries(chunk_size=3)),
        lambda on: (
            on.client.zrange(on.failed.key, 0, -1, withscores=True, score_cast_func=float)
            and [(i, on.client.zscore(on.failed.key, i)) for i in on.failed.get_job_ids(cleanup=False)]
        ),
    ),
    'get_page': Call(
        lambda on: [list(on.failed.get_page(2, 3)), on.failed.get_page(2, 3).total],
        lambda on: [on.failed.get_job_ids(3, 5), on.failed.count],
    ),
    'get_jobs': Call(
        lambda on: list(on.failed.get_jobs(1, 4)), lambda on: [on.job(i) for i in on.failed.get_job_ids(0, 3)]
    ),
    'get_jobs of ids': Call(
        lambda on: on.package.get_jobs(on.client, ['failed-1', 'nobody', 'started-0'], with_results=True),
        lambda on: [on.job('failed-1'), None, on.job('started-0')],
    ),
    'list_jobs': Call(
        lambda on: [job.id for job in on.package.list_jobs(on.client, 'q', ['queued', 'failed'], cleanup=False)],
        lambda on: [
            job.id
            for job in sorted(
                map(on.job, [*on.queue.get_job_ids(), *on.failed.get_job_ids(cleanup=False)]),
                key=lambda job: job.created_at,
            )
        ],
    ),
    'count_by': Call(
        lambda on: {tuple(g.values.values()): g.count for g in on.failed.count_by('func_name', 'status')},
        lambda on: dict(Counter((on.job(i).func_name, on.job(i).get_status()) for i in on.failed.get_job_ids())),
    ),
    'count_by of queues': Call(
        lambda on: {g.values['func_name']: g.count for g in on.package.count_by(on.client, 'func_name', queues='q')},
        lambda on: dict(Counter(on.job(i).func_name for i in on.failed.get_job_ids())),
    ),
    'export': Call(_exported, _exported_by_hand),
    'export of queues': Call(
        lambda on: (
            on.package.export(on.client, io.BytesIO(), ['queued', 'failed'], ids=on.failed.get_job_ids()).total.done
        ),
        lambda on: len(on.failed.get_job_ids()),
    ),
    'find of queues': Call(
        lambda on: [[queue, job_id] for queue, job_id in on.package.find(on.client, queues=['q'], func_name='*len')],
        lambda on: [['q', i] for i in on.failed.get_job_ids() if _is_len(on.job(i))],
    ),
    'find': Call(
        lambda on: list(on.failed.find(func_name='*len')),
        lambda on: [i for i in on.failed.get_job_ids() if _is_len(on.job(i))],
    ),
    'find fields': Call(
        lambda on: list(on.failed.find(fields=['origin', 'meta'], meta={'owner': 1})),
        lambda on: [
            (i, {'origin': on.job(i).origin, 'meta': on.job(i).meta})
            for i in on.failed.get_job_ids()
            if on.job(i).meta['owner'] == 1
        ],
    ),
    'waiting jobs': Call(
        lambda on: [
            on.waiting.count,
            list(on.waiting.iter_job_ids(2)),
            list(on.waiting.get_page()),
            list(on.waiting.find(func_name='os.*')),
            ['queued-1' in on.waiting, *on.waiting.contains_many(['queued-2', 'nobody'])],
            [job.id for job in on.waiting.get_jobs()],
            on.waiting.count_by('func_name').total,
        ],
        lambda on: [3, *[on.queue.job_ids] * 3, [True, True, False], on.queue.job_ids, 3],
    ),
    'snapshot': Call(_snapshot, lambda on: _counts(on, cleanup=False)),
    'snapshot with details': Call(
        lambda on: _details(on, on.package.snapshot(on.client, worker_details=True, oldest=True)),
        lambda on: ({worker.name: worker.get_current_job_id() for worker in _workers(on.client)}, True),
    ),
    'snapshot with cleanup': Call(lambda on: _snapshot(on, cleanup=True), lambda on: _counts(on, cleanup=True)),
    'snapshot with scores': Call(
        lambda on: plain(on.package.snapshot(on.client, scores=True)['q'].scores['failed']),
        lambda on: [NEVER, NEVER + 9],
    ),
    'batch': Call(_batch, _batch_by_rq),
    'count under install()': Call(_installed_count, lambda on: on.failed.count),
    'count for a URL': Call(_count_for_url, lambda on: on.failed.count),
    'check': Call(_checked(lambda on: on.failed.check(settle=0)), _checked_by_hand(OF_THE_REGISTRY)),
    'check of everything': Call(
        _checked(lambda on: on.package.check(on.client, settle=0)), _checked_by_hand(OF_EVERYTHING)
    ),
}

CHANGES: dict[str, Call] = {
    'remove': same(lambda on: [on.failed.remove('failed-1'), on.failed.remove('nobody')]),
    'remove a job': same(lambda on: on.failed.remove(on.job('failed-1'))),
    'remove and delete': same(lambda on: on.failed.remove('failed-1', delete_job=True)),
    'remove and delete nobody': same(lambda on: on.failed.remove('nobody', delete_job=True)),
    'requeue': same(lambda on: on.failed.requeue('failed-1')),
    'requeue at the front': same(lambda on: on.failed.requeue(on.job('failed-1'), at_front=True)),
    'requeue nobody': same(lambda on: on.failed.requeue('nobody')),
    'schedule': same(lambda on: on.scheduled.schedule(on.job('failed-1'), MOMENT)),
    'remove_many': Call(
        lambda on: on.failed.remove_many(['failed-1', 'nobody', 'failed-3']).done,
        lambda on: (
            2
            if [on.failed.remove('failed-1'), on.failed.remove('nobody'), on.failed.remove('failed-3')] == [1, 0, 1]
            else None
        ),
    ),
    'remove_many and delete': Call(
        lambda on: on.failed.remove_many(on.failed.get_job_ids(), delete_job=True).done, each(_delete)
    ),
    'purge': Call(lambda on: on.failed.purge().done, each(_delete)),
    'purge of some': Call(lambda on: on.failed.purge(func_name='*len').done, each(_delete, _is_len)),
    'purge of entries': Call(
        lambda on: on.failed.purge(delete_job=False).done, each(lambda on, i: on.failed.remove(i))
    ),
    'purge but the newest': Call(
        lambda on: (on.failed.purge(keep_newest=2).done, on.failed.count), lambda on: _delete_but_two(on)
    ),
    'trim': Call(lambda on: (on.failed.trim(keep=2).done, on.failed.count), lambda on: _delete_but_two(on)),
    # Everything is as it was.
    'restore': Call(_restored, lambda on: (on.failed.count, on.failed.count)),
    'stop_all': Call(lambda on: on.started.stop_all().total, lambda on: len(on.started.get_job_ids())),
    'remove_many, started': Call(
        lambda on: [on.started.remove_many(on.started.get_job_ids(cleanup=False)[:1]).done, on.started.count],
        lambda on: _drop_execution(on),
    ),
    'purge, dry run': Call(lambda on: on.failed.purge(dry_run=True).done, lambda on: on.failed.count),
    'requeue_many': Call(
        lambda on: on.failed.requeue_many(on.failed.get_job_ids()).done, each(lambda on, i: on.failed.requeue(i))
    ),
    'requeue_all': Call(lambda on: on.failed.requeue_all().done, each(lambda on, i: on.failed.requeue(i))),
    'requeue_all at the front': Call(
        lambda on: on.failed.requeue_all(at_front=True).done, each(lambda on, i: on.failed.requeue(i, at_front=True))
    ),
    # RQ's own cancel() runs on no cluster's client (yet): with a hash tag, it is asked on the node.
    'cancel_many': Call(_cancel_many, _cancel_each, theirs_on_node=True),
    'cancel_all': Call(_cancel_all, _cancel_each, theirs_on_node=True),
    'cancel_all of all queues': Call(_cancel_all_queues, _cancel_each, theirs_on_node=True),
    'purge, some by RQ': Call(_for_rq(lambda on: on.failed.purge().done), _for_rq(each(_delete)), theirs_on_node=True),
    'requeue_all, some by RQ': Call(
        _for_rq(lambda on: on.failed.requeue_all().done),
        _for_rq(each(lambda on, i: on.failed.requeue(i))),
        theirs_on_node=True,
    ),
    'cancel_many, some by RQ': Call(_for_rq(_cancel_many), _for_rq(_cancel_each), theirs_on_node=True),
    'move_many': Call(lambda on: on.failed.move_many(on.failed.get_job_ids(), 'low').done, each(_requeue_on_low)),
    'move_many, scheduled': Call(
        lambda on: on.scheduled.move_many(['scheduled-0', 'scheduled-1'], 'low').done, lambda on: _move_scheduled(on)
    ),
    'empty': Call(lambda on: on.waiting.empty().done, _empty),
    'purge of waiting jobs': Call(
        lambda on: on.waiting.purge().done,
        lambda on: len([on.job(i).delete() for i in on.queue.job_ids]),
        theirs_on_node=True,
    ),
    'remove_many of waiting jobs': Call(
        lambda on: on.waiting.remove_many(['queued-1', 'nobody']).done, lambda on: on.queue.remove('queued-1')
    ),
    'cancel_many of waiting jobs': Call(
        lambda on: on.waiting.cancel_many(['queued-0', 'queued-2']).done,
        lambda on: len([on.job(i).cancel() for i in ('queued-0', 'queued-2')]),
        theirs_on_node=True,
    ),
    'cancel_all of waiting jobs': Call(
        lambda on: on.waiting.cancel_all().done,
        lambda on: len([on.job(i).cancel() for i in on.queue.job_ids]),
        theirs_on_node=True,
    ),
    'move_many of waiting jobs': Call(
        lambda on: on.waiting.move_many(['queued-2', 'queued-0'], 'low').done, lambda on: _move_queued(on)
    ),
    'purge of all queues': Call(
        lambda on: {name: result.done for name, result in on.package.purge(on.client).items()}, _purge_all_queues
    ),
    'requeue_all of all queues': Call(
        lambda on: {name: result.done for name, result in on.package.requeue_all(on.client).items()},
        _requeue_all_queues,
    ),
    'repair': Call(
        _repaired(lambda on: on.failed.check(settle=0), lambda on, problems: on.failed.repair(problems)),
        _repaired_by_hand,
    ),
    'repair of everything': Call(
        _repaired(
            lambda on: on.package.check(on.client, settle=0),
            lambda on, problems: on.package.repair(on.client, problems),
        ),
        _all_repaired_by_hand,
    ),
}

CALLS = {**READS, **CHANGES}
# Those that a script does.
BULK: dict[str, Callable[[Any], Any]] = {
    'remove_many': lambda registry: registry.remove_many(registry.get_job_ids(), delete_job=True),
    'purge': lambda registry: registry.purge(),
    'requeue_many': lambda registry: registry.requeue_many(registry.get_job_ids()),
    'requeue_all': lambda registry: registry.requeue_all(),
    'cancel_many': lambda registry: registry.cancel_many(registry.get_job_ids()),
}


# ---- In the child


class Place(NamedTuple):
    """Where the masters are, and which of them has all keys, if one has."""

    masters: tuple[tuple[str, int], ...]
    owner: tuple[str, int] | None


class Compared(NamedTuple):
    """What RQ and ours answered, and left."""

    theirs: Any
    ours: Any
    left_by_rq: Dump
    left_by_ours: Dump


def cluster_client(nodes: Masters, **options: Any) -> Any:
    """Return a client that is given these nodes, in this order."""
    return RedisCluster(startup_nodes=[ClusterNode(*address) for address in nodes], **{'socket_timeout': 20, **options})


NODE = 'plain client of the node'


def valkey_client(nodes: Masters, **options: Any) -> Any:
    """The same of valkey-py."""
    found = [valkey.cluster.ClusterNode(*address) for address in nodes]
    return valkey.cluster.ValkeyCluster(startup_nodes=found, **{'socket_timeout': 20, **options})


VALKEY = 'ValkeyCluster'
CLIENTS = ('RedisCluster', 'RedisCluster, RESP3', VALKEY, NODE)


@cache
def client_of(kind: str, place: Place) -> Any:
    """Return a client of one of CLIENTS, the same one each time: to make one takes longer than most calls."""
    if kind == NODE:
        assert place.owner is not None
        return node_client(place.owner)
    if kind == VALKEY:
        return valkey_client(place.masters)
    return cluster_client(place.masters, **({'protocol': 3} if kind.endswith('RESP3') else {}))


def answer(make: Make, on: On) -> Any:
    """Return what a call returned or raised."""
    try:
        return plain(make(on))
    except Exception as error:
        return ['raised', plain(error)]


def compare(_: object, name: str, kind: str, place: Place) -> Compared:
    """Make a call by RQ and by ours, each on the same jobs; kind: the client's."""
    call = CALLS[name]
    outcomes: list[Any] = []
    for side, make in ((by_rq, call.theirs), (by_ours, call.ours)):
        flush(place.masters)
        fill(client_of('RedisCluster', place))
        is_on_node = side is by_rq and call.theirs_on_node and place.owner is not None
        client = client_of(NODE if is_on_node else kind, place)
        outcomes += [answer(make, side(client)), dump_all(place.masters)]
    return Compared(outcomes[0], outcomes[2], outcomes[1], outcomes[3])


def jobs_done_by_rq(_: object, name: str, kind: str, place: Place) -> int:
    """Return how many of ten failed jobs a bulk call left to RQ's own path."""
    flush(place.masters)
    client = client_of(kind, place)
    fill(client)
    result = BULK[name](by_ours(client).failed)
    assert result.total == 10
    return int(result.by_rq + len(result.failed))


def commands_by_redis_py(_: object, name: str, kind: str, place: Place) -> int:
    """Return how many lines of replies redis-py reads for a call, when it is made for the second time."""
    flush(place.masters)
    client = client_of(kind, place)
    fill(client)
    on = by_ours(client)
    answer(CALLS[name].ours, on)
    sent: list[object] = []
    with counted(sent):
        answer(CALLS[name].ours, on)
    return len(sent)


class counted:
    """Have redis-py note each line of a reply that it reads."""

    def __init__(self, read: list[object]) -> None:
        self.read = read

    def __enter__(self) -> None:
        self.before = SocketBuffer.readline

        def readline(buffer: Any, *args: Any, **options: Any) -> Any:
            line = self.before(buffer, *args, **options)
            self.read.append(line)
            return line

        SocketBuffer.readline = readline  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        SocketBuffer.readline = self.before  # type: ignore[method-assign]
