"""What the workloads find in Redis: filled registries, running jobs, and jobs that a real worker has failed.

A population fills an empty database, and can be brought back to what it was after calls have changed it.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from .by_hand import QUEUES, READY, REGISTRIES, STARTED
from .put_back import Dependents, Restorer, Template

ROOT = Path(__file__).resolve().parent.parent
QUEUE = 'benchmark'
MONTH = 30 * 24 * 3600
CHUNK = 10_000

# Of ten failed jobs seven fail by the first, two by the second, and one by the third, or it is gone.
FAILING = (('operator.truediv', 1, 0), ('json.loads', '{'), ('builtins.int', 'x'))
KINDS = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)
KINDS_WITH_GONE = (0, 0, 0, 0, 0, 0, 0, 1, 1, None)


@dataclass(frozen=True)
class Filled:
    """What is in the database: the names of the queues, and the ids of the first one, in its registry's order."""

    queues: list[str]
    ids: list[str]
    restorers: list[Callable[[], None]] = field(default_factory=list)

    def restore(self) -> None:
        """Bring everything back to what it was at the beginning."""
        for restore in self.restorers:
            restore()


@dataclass(frozen=True)
class Population:
    """`queues` queues, with `entries` entries in the registry of each."""

    entries: int = 0
    queues: int = 1

    @property
    def names(self) -> list[str]:
        """The names of the queues, all of one length: what is recorded of one is good for another."""
        return [QUEUE] if self.queues == 1 else [f'{QUEUE}-{number:04}' for number in range(self.queues)]

    def at_most(self, entries: int, queues: int) -> Population:
        """Return the same, smaller, for what must be looked at closely."""
        return replace(self, entries=min(self.entries, entries), queues=min(self.queues, queues))

    def fill(self, connection: Any) -> Filled:
        """Fill the client's database, which is empty. The base has nothing."""
        return Filled(self.names, [])


@dataclass(frozen=True)
class FailedIds(Population):
    """Failed jobs of which only the ids are there, for what does not look at more."""

    def fill(self, connection: Any) -> Filled:
        return _failed(connection, self)


@dataclass(frozen=True)
class FailedJobs(Population):
    """Jobs that a worker failed, of three kinds.

    `backlog` other jobs wait on the queue, of which only the ids are there; `dependents` jobs wait for the first one.
    Where some `are_gone`, an entry of ten is all that is left of its job.
    """

    are_gone: bool = False
    backlog: int = 0
    dependents: int = 0

    def fill(self, connection: Any) -> Filled:
        kinds = KINDS_WITH_GONE if self.are_gone else KINDS
        filled = _failed(connection, self, _failed_by_a_worker(connection), kinds, self.backlog)
        for chunk in chunks(new_ids(self.backlog)):
            connection.rpush(QUEUES + self.names[0], *chunk)
        if self.dependents:
            dependents = Dependents(connection, self.names[0], filled.ids[0], new_ids(self.dependents))
            filled.restorers.append(dependents.restore)
            dependents.restore()
        return filled


@dataclass(frozen=True)
class FailuresOfTheirOwn(FailedJobs):
    """The same, but that the message of each exception names its job, so that no two texts are equal."""

    def fill(self, connection: Any) -> Filled:
        filled = super().fill(connection)
        for chunk in chunks(filled.ids):
            keys = [f'rq:results:{job_id}' for job_id in chunk]
            with connection.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.xrange(key)
                found = pipeline.execute()
                for key, job_id, [(result_id, fields)] in zip(keys, chunk, found, strict=True):
                    text = zlib.decompress(b64decode(fields[b'exc_string'])).rstrip() + f' ({job_id})\n'.encode()
                    pipeline.delete(key)
                    pipeline.xadd(key, {**fields, b'exc_string': b64encode(zlib.compress(text))}, id=result_id)
                pipeline.execute()
        return filled


@dataclass(frozen=True)
class RunningJobs(Population):
    """Jobs that are running, each in one execution."""

    def fill(self, connection: Any) -> Filled:
        from rq.executions import ExecutionRegistry
        from rq.registry import StartedJobRegistry

        executions = dict(zip(new_ids(self.entries), new_ids(self.entries), strict=True))
        key = StartedJobRegistry(QUEUE, connection).key
        add(connection, key, [f'{job}:{execution}' for job, execution in executions.items()])
        for chunk in chunks(executions.items()):
            with connection.pipeline(transaction=False) as pipeline:
                for job_id, execution_id in chunk:
                    pipeline.zadd(ExecutionRegistry(job_id, connection).key, {execution_id: int(time.time()) + MONTH})
                pipeline.execute()
        return Filled(self.names, list(executions))


@dataclass(frozen=True)
class BusyQueues(Population):
    """Queues with jobs waiting, and with entries in each registry, but not where RQ would enqueue them."""

    def fill(self, connection: Any) -> Filled:
        from rq import Queue

        for name in self.names:
            queue = Queue(name, connection=connection)
            connection.sadd(Queue.redis_queues_keys, queue.key)
            connection.rpush(queue.key, *new_ids(self.entries))
            for template in set(REGISTRIES) - {READY}:
                ids = new_ids(self.entries)
                is_started = template == STARTED
                add(connection, template.format(name), [f'{i}:{i}' for i in ids] if is_started else ids)
        return Filled(self.names, [])


def chunks(items: Iterable[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def new_ids(count: int) -> list[str]:
    """Return random job ids, as RQ makes them."""
    return [str(uuid.uuid4()) for _ in range(count)]


def add(connection: Any, key: str, entries: Iterable[str]) -> None:
    """Add the entries, each expiring a second after the one before, the first in a month."""
    score = int(time.time()) + MONTH
    for chunk in chunks(entries):
        connection.zadd(key, {entry: score + i for i, entry in enumerate(chunk)})
        score += len(chunk)


def _failed(
    connection: Any,
    population: Population,
    templates: Sequence[Template] = (),
    kinds: Sequence[int | None] = (None,),
    backlog: int = 0,
) -> Filled:
    """Fill the registries of failed jobs with copies of the templates, by their numbers in turn, or with ids alone."""
    from rq import Queue

    first_score = int(time.time()) + MONTH
    connection.sadd(Queue.redis_queues_keys, *(QUEUES + name for name in population.names))
    restorers = [
        Restorer(connection, name, new_ids(population.entries), first_score, templates, kinds, backlog)
        for name in population.names
    ]
    filled = Filled(population.names, restorers[0].ids, [restorer.restore for restorer in restorers])
    filled.restore()
    return filled


def _failed_by_a_worker(connection: Any) -> list[Template]:
    """Let a real worker fail a job of each kind, and return their keys, which are then gone from Redis."""
    from rq import Queue

    queue = Queue(QUEUE, connection=connection)
    failing = [queue.enqueue(*call).id for call in FAILING]
    run_worker(queue)
    templates = []
    for job_id in failing:
        if job_id not in queue.failed_job_registry:
            raise RuntimeError(f'the worker did not fail the job {job_id}')
        queue.failed_job_registry.remove(job_id)
        templates.append(Template.take(connection, job_id))
    # What the worker has left.
    connection.flushdb()
    return templates


def run_worker(queue: Any) -> None:
    """Run a worker process of RQ until the queue is empty."""
    arguments = queue.connection.connection_pool.connection_kwargs
    command = [sys.executable, '-m', 'benchmarks.worker', arguments['host'], str(arguments['port'])]
    subprocess.run(
        [*command, str(arguments['db']), queue.name], cwd=ROOT, check=True, timeout=60, start_new_session=True
    )
