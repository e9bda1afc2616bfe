"""What is measured: calls on RQ's registries and on ours, and what is in Redis before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rq import Queue
from rq.defaults import DEFAULT_RESULT_TTL
from rq.job import Job

QUEUE, QUEUES = 'mail', 60
REGISTRIES = ('started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled')
LATER = 4_000_000_000
# How many commands the population sends at a time.
BATCH = 2000


@dataclass(frozen=True)
class Side:
    """RQ's classes, or ours by the same names."""

    name: str
    Queue: Any
    registry: Any

    def failed(self, client: Any, queue: str = QUEUE) -> Any:
        """Return the registry of failed jobs of a queue."""
        return self.registry.FailedJobRegistry(queue, connection=client)


@dataclass(frozen=True)
class Operation:
    """A call, and how often it was made: `rq` and `ours` take the side and the client, and return (count, answer).

    The time is divided by their number. `populate` is called before each turn of an operation that changes something,
    otherwise once.
    """

    name: str
    populate: Callable[[Any], None]
    rq: Callable[[Side, Any], tuple[int, Any]]
    ours: Callable[[Side, Any], tuple[int, Any]]
    changes: bool = False


def _ids(count: int) -> list[str]:
    return [f'{number:08d}-0000-4000-8000-000000000000' for number in range(count)]


def _add_ids(count: int) -> Callable[[Any], None]:
    def populate(client: Any) -> None:
        key = Queue(QUEUE, connection=client).failed_job_registry.key
        ids = _ids(count)
        for start in range(0, count, BATCH):
            client.zadd(
                key, {job_id: LATER + number for number, job_id in enumerate(ids[start : start + BATCH], start)}
            )

    return populate


def _add_failed_jobs(count: int) -> Callable[[Any], None]:
    """Jobs as RQ leaves them when they have failed."""

    def populate(client: Any) -> None:
        queue = Queue(QUEUE, connection=client)
        job = Job.create('shop.send_mail', ('someone@example.org',), origin=QUEUE, connection=client, status='failed')
        fields = job.to_dict()
        pipeline = client.pipeline(transaction=False)
        for number, job_id in enumerate(_ids(count)):
            pipeline.hset(Job.key_for(job_id), mapping=fields)
            pipeline.zadd(queue.failed_job_registry.key, {job_id: LATER + number})
            if number % BATCH == BATCH - 1:
                pipeline.execute()
        pipeline.sadd(Queue.redis_queues_keys, queue.key)
        pipeline.execute()

    return populate


def _add_queues(client: Any) -> None:
    for number in range(QUEUES):
        queue = Queue(f'queue-{number}', connection=client)
        client.sadd(Queue.redis_queues_keys, queue.key)
        client.zadd(queue.failed_job_registry.key, {'job': LATER + DEFAULT_RESULT_TTL})


def _many(count: int, call: Callable[[Any], Any]) -> Callable[[Side, Any], tuple[int, Any]]:
    """Calls on the registry, one after the other."""

    def calls(side: Side, client: Any) -> tuple[int, Any]:
        registry = side.failed(client)
        answers = [call(registry) for _ in range(count)]
        return count, answers[-1]

    return calls


def _each(count: int, call: Callable[[Any, str], Any]) -> Callable[[Side, Any], tuple[int, Any]]:
    """A call for each of the first jobs."""

    def calls(side: Side, client: Any) -> tuple[int, Any]:
        registry = side.failed(client)
        for job_id in _ids(count):
            call(registry, job_id)
        return count, None

    return calls


def _all(count: int, call: Callable[[Any], Any]) -> Callable[[Side, Any], tuple[int, Any]]:
    """One call for all jobs. Raises RuntimeError if it did not do them."""

    def calls(side: Side, client: Any) -> tuple[int, Any]:
        result = call(side.failed(client))
        if result.done != count:
            raise RuntimeError(f'{count} jobs, and {result}')
        return count, None

    return calls


def _snapshot_of_rq(side: Side, client: Any) -> tuple[int, Any]:
    return 1, {
        queue.name: (
            len(queue),
            *(getattr(queue, f'{name}_job_registry').get_job_count(cleanup=False) for name in REGISTRIES),
        )
        for queue in side.Queue.all(connection=client)
    }


def _snapshot_of_ours(side: Side, client: Any) -> tuple[int, Any]:
    import rqreg_ext

    return 1, {
        name: (found.queued, *(getattr(found, registry) for registry in REGISTRIES))
        for name, found in rqreg_ext.snapshot(client).items()
    }


def operations(jobs: int, calls: int, sampled: int) -> list[Operation]:
    """Return the operations: on how many jobs, how many calls in a turn, and on how many jobs RQ's loops run."""
    count, within = _many(calls, lambda registry: registry.count), _many(calls, lambda registry: _ids(1)[0] in registry)
    listing = _many(1, lambda registry: registry.get_job_ids())
    remove = _each(sampled, lambda registry, job_id: registry.remove(job_id, delete_job=True))
    requeue = _each(sampled, lambda registry, job_id: registry.requeue(job_id))
    return [
        Operation('count', _add_ids(100), count, count),
        Operation('in', _add_ids(100), within, within),
        Operation('get_job_ids(), 20 000', _add_ids(20_000), listing, listing),
        Operation('remove(delete_job=True)', _add_failed_jobs(sampled), remove, remove, changes=True),
        Operation('purge()', _add_failed_jobs(jobs), remove, _all(jobs, lambda registry: registry.purge()), True),
        Operation(
            'requeue_all()', _add_failed_jobs(jobs), requeue, _all(jobs, lambda registry: registry.requeue_all()), True
        ),
        Operation(f'snapshot(), {QUEUES} queues', _add_queues, _snapshot_of_rq, _snapshot_of_ours),
    ]
