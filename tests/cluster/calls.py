"""Every public call of the package, beside what RQ's users write for it, on the jobs that state.fill() has left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any, NamedTuple

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


# What is wrong with a job and what is not is no matter of clusters, nor of RQ, which does not look: known beforehand.
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
        return sorted(problem.job_id for problem in check(on) if repair(on, [problem]).mended)

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
    'snapshot': Call(_snapshot, lambda on: _counts(on, cleanup=False)),
    'snapshot with cleanup': Call(lambda on: _snapshot(on, cleanup=True), lambda on: _counts(on, cleanup=True)),
    'snapshot with scores': Call(
        lambda on: plain(on.package.snapshot(on.client, scores=True)['q'].scores['failed']),
        lambda on: [NEVER, NEVER + 9],
    ),
    'batch': Call(_batch, _batch_by_rq),
    'count under install()': Call(_installed_count, lambda on: on.failed.count),
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
    """Return a client that is told of these nodes, in their order."""
    return RedisCluster(startup_nodes=[ClusterNode(*address) for address in nodes], **{'socket_timeout': 20, **options})


NODE = 'plain client of the node'
CLIENTS = ('RedisCluster', 'RedisCluster, RESP3', NODE)


@cache
def client_of(kind: str, place: Place) -> Any:
    """Return a client of one of CLIENTS, the same one each time: to make one takes longer than most calls."""
    if kind == NODE:
        assert place.owner is not None
        return node_client(place.owner)
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
