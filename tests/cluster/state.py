"""Jobs in a cluster, and what all its nodes hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import redis
from differential.database import Dump, dump

if TYPE_CHECKING:
    from rq import Queue
    from rq.job import Job

NEVER = 4_000_000_000
LONG_PAST = 1

# Where the masters are.
Masters = Sequence[tuple[str, int]]


def node_client(address: tuple[str, int]) -> redis.Redis:
    """Return a plain client of one node."""
    host, port = address
    return redis.Redis(host, port, socket_timeout=20)


def fill(client: Any) -> None:
    """Put jobs into every registry of queue q, some of whose entries have expired, and a few into another queue."""
    from rq import Queue
    from rq.executions import ExecutionRegistry
    from rq.job import JobStatus

    queue = Queue('q', connection=client)
    for number in range(3):
        queue.enqueue('os.getpid', job_id=f'queued-{number}')
    for number in range(10):
        job = _job(queue, f'failed-{number}', JobStatus.FAILED, number, meta={'owner': number % 2})
        client.zadd(queue.failed_job_registry.key, {job.id: NEVER + number})
    for name, status in (
        ('finished', JobStatus.FINISHED),
        ('canceled', JobStatus.CANCELED),
        ('deferred', JobStatus.DEFERRED),
        ('scheduled', JobStatus.SCHEDULED),
    ):
        registry = getattr(queue, f'{name}_job_registry')
        for number in range(2):
            client.zadd(registry.key, {_job(queue, f'{name}-{number}', status, number).id: NEVER + number})
    client.zadd(queue.finished_job_registry.key, {'finished-long-ago': LONG_PAST})
    _job(queue, 'started-0', JobStatus.STARTED, 0)
    client.zadd(queue.started_job_registry.key, {'started-0:run': NEVER})
    executions = ExecutionRegistry('started-0', connection=client)
    client.zadd(executions.key, {'run': NEVER})
    client.hset(_execution_key('started-0', 'run'), mapping={'id': 'run', 'job_id': 'started-0'})
    other = Queue('other', connection=client)
    client.sadd(Queue.redis_queues_keys, other.key)
    for number in range(2):
        client.zadd(other.failed_job_registry.key, {_job(other, f'other-{number}', JobStatus.FAILED, number).id: NEVER})


def _job(queue: Queue, job_id: str, status: Any, number: int, **options: Any) -> Job:
    job = queue.create_job('os.getpid' if number % 2 else 'builtins.len', job_id=job_id, **options)
    job.set_status(status)
    job.save()
    return job


def _execution_key(job_id: str, execution_id: str) -> str:
    import rq.defaults

    return f'{getattr(rq.defaults, "RQ_KEY_PREFIX", "rq")}:execution:{job_id}:{execution_id}'


def flush(masters: Masters) -> None:
    """Delete all keys."""
    for address in masters:
        with node_client(address) as client:
            client.flushall()


def dump_all(masters: Masters) -> Dump:
    """Return all keys of all masters; each is on one of them only."""
    found: Dump = {}
    for address in masters:
        with node_client(address) as client:
            held = dump(client)
        assert not held.keys() & found.keys(), 'two nodes have the same key'
        found |= held
    return found


# ---- Many failed jobs, and what became of each


def fill_failed(client: Any, count: int) -> list[str]:
    """Fill the failed registry of queue q with jobs; return their ids, in the registry's order."""
    from rq import Queue
    from rq.job import JobStatus

    queue = Queue('q', connection=client)
    template = queue.create_job('os.getpid', job_id='template')
    template._status = JobStatus.FAILED
    fields = template.to_dict()
    ids = [f'job-{number:04}' for number in range(count)]
    client.sadd(Queue.redis_queues_keys, queue.key)
    with client.pipeline() as pipeline:
        for job_id in ids:
            pipeline.hset(template.key_for(job_id), mapping=fields)
        pipeline.execute()
    client.zadd(queue.failed_job_registry.key, {job_id: NEVER + number for number, job_id in enumerate(ids)})
    return ids


def whereabouts(masters: Masters, ids: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Return of each job its status (None: no job), and how often it is in the failed registry, and in queue q."""
    from rq import Queue
    from rq.job import Job

    statuses: dict[str, str] = {}
    entries: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    namespace = Job.redis_job_namespace_prefix
    registry_key = Queue('q', connection=node_client(masters[0])).failed_job_registry.key.encode()
    for key, held in dump_all(masters).items():
        if key.startswith(namespace.encode()) and held.kind == 'hash':
            statuses[key.decode()[len(namespace) :]] = held.content.get(b'status', b'').decode()
        elif key == registry_key:
            entries.update(member.decode() for member, _ in held.content)
        elif key == f'{Queue.redis_queue_namespace_prefix}q'.encode():
            waiting.update(member.decode() for member in held.content)
    return {job_id: (statuses.get(job_id), entries[job_id], waiting[job_id]) for job_id in ids}


# ---- Answers, as what can be compared and sent from process to process


def plain(value: Any) -> Any:
    """Return a value with RQ's objects and exceptions replaced by what identifies them."""
    if isinstance(value, BaseException):
        return f'{type(value).__module__}.{type(value).__qualname__}'
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value))
    if hasattr(value, 'get_status'):
        return ['Job', value.id, str(value.get_status(refresh=False))]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    return repr(value)
