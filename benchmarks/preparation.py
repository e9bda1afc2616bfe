"""What the workloads find in Redis: filled registries, running jobs, and jobs that a real worker has failed.

Every function fills the queue that it is given and returns the arguments of the calls; `needed` is how many
of them will be used up, if the calls do that.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MONTH = 30 * 24 * 3600
CHUNK = 10_000

Prepare = Callable[[Any, int], list[Any]]


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


def nothing(queue: Any, needed: int) -> list[Any]:
    """Prepare nothing, for calls without an argument."""
    return [None]


def fill_failed(queue: Any, needed: int, count: int, arguments: int) -> list[Any]:
    """Fill the registry of failed jobs with ids; the calls are given that many of them, or None."""
    ids = new_ids(count)
    add(queue.connection, queue.failed_job_registry.key, ids)
    return random.sample(ids, arguments) or [None]


def fill_failed_for(queue: Any, needed: int) -> list[Any]:
    """Fill the registry of failed jobs with an id for each call, and as many that stay."""
    return fill_failed(queue, needed, count=2 * needed, arguments=needed)


def fill_started(queue: Any, needed: int, count: int, running: int) -> list[Any]:
    """Let jobs run; the calls are given that many of them, or jobs that do not run."""
    from rq.executions import ExecutionRegistry

    connection = queue.connection
    executions = dict(zip(new_ids(count), new_ids(count), strict=True))
    add(connection, queue.started_job_registry.key, [f'{job}:{execution}' for job, execution in executions.items()])
    for chunk in chunks(executions.items()):
        with connection.pipeline(transaction=False) as pipeline:
            for job_id, execution_id in chunk:
                pipeline.zadd(ExecutionRegistry(job_id, connection).key, {execution_id: int(time.time()) + MONTH})
            pipeline.execute()
    return random.sample(list(executions), running) or new_ids(100)


def fail_jobs(queue: Any, needed: int) -> list[Any]:
    """Let a real worker fail one job, and put copies of all its keys beside it, under new ids."""
    connection = queue.connection
    failed = queue.enqueue('operator.truediv', 1, 0).id
    run_worker(queue)
    if failed not in queue.failed_job_registry:
        raise RuntimeError(f'the worker did not fail the job {failed}')
    keys = [key for key in connection.scan_iter(match=f'*{failed}*') if connection.type(key) != b'none']
    contents = {key: (connection.dump(key), max(connection.pttl(key), 0)) for key in keys}
    ids = new_ids(needed)
    for chunk in chunks(ids, 500):
        with connection.pipeline(transaction=False) as pipeline:
            for job_id in chunk:
                for key, (content, ttl) in contents.items():
                    pipeline.restore(key.replace(failed.encode(), job_id.encode()), ttl, content)
            pipeline.execute()
    add(connection, queue.failed_job_registry.key, ids)
    return ids


def run_worker(queue: Any) -> None:
    """Run a worker process of RQ until the queue is empty."""
    arguments = queue.connection.connection_pool.connection_kwargs
    command = [sys.executable, '-m', 'benchmarks.worker', arguments['host'], str(arguments['port'])]
    subprocess.run(
        [*command, str(arguments['db']), queue.name], cwd=ROOT, check=True, timeout=60, start_new_session=True
    )


def copy_database(source: Any, target: Any) -> None:
    """Make the target's database equal to the source's."""
    target.flushdb()
    for chunk in chunks(source.scan_iter(count=1000), 500):
        with source.pipeline(transaction=False) as pipeline:
            for key in chunk:
                pipeline.dump(key).pttl(key)
            contents = pipeline.execute()
        with target.pipeline(transaction=False) as pipeline:
            for key, content, ttl in zip(chunk, contents[::2], contents[1::2], strict=True):
                if content is not None:
                    pipeline.restore(key, max(ttl, 0), content, replace=True)
            pipeline.execute()
