"""RQ, rqreg_ext, and rqreg_ext on a plain client of the node, side by side on a private Redis Cluster.

    python -m benchmarks.workloads.on_cluster ROUNDS       prints JSON

RQ reads the prefix of its keys when it is imported, so this is a process of its own: measure() starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = '{rq}'
ROUNDS, QUICK_ROUNDS = 21, 7
RQ, OURS, PLAIN = 'rq', 'rqreg_ext', 'rqreg_ext on the node'
QUEUE, QUEUES, IDS, JOBS, SAMPLE = 'q', 60, 5000, 2000, 100
NEVER = 4_000_000_000


@dataclass(frozen=True)
class Operation:
    """A call of RQ's and of ours, each with the number of jobs that it does, and how often each is made in a round."""

    theirs: Callable[[Any], object]
    ours: Callable[[Any], object]
    calls: int
    prepare: Callable[[Any, int], None] | None = None
    # RQ's loop does some of the jobs only: its time for all of them is extrapolated.
    sample: int = 1
    size: int = 1


def _fill_jobs(client: Any, count: int) -> None:
    """Put failed jobs into a queue."""
    from rq import Queue
    from rq.job import JobStatus

    client.flushall()
    queue = Queue(QUEUE, connection=client)
    template = queue.create_job('os.getpid', job_id='template')
    template._status = JobStatus.FAILED
    fields = template.to_dict()
    pipeline = client.pipeline(transaction=False)
    for number in range(count):
        pipeline.hset(template.key_for(f'job-{number}'), mapping=fields)
        pipeline.zadd(queue.failed_job_registry.key, {f'job-{number}': NEVER + number})
    pipeline.execute()


def _fill_ids(client: Any, _: int) -> None:
    client.flushall()
    client.zadd(f'{PREFIX}:failed:{QUEUE}', {f'job-{number}': NEVER + number for number in range(IDS)})


def _fill_queues(client: Any, _: int) -> None:
    client.flushall()
    for number in range(QUEUES):
        client.sadd(f'{PREFIX}:queues', f'{PREFIX}:queue:q{number}')
        client.zadd(f'{PREFIX}:failed:q{number}', {'job': NEVER})


def _registry(of: Any) -> Any:
    package, client = of
    return package.FailedJobRegistry(QUEUE, connection=client)


def _purge_by_rq(of: Any) -> None:
    registry = _registry(of)
    for job_id in registry.get_job_ids():
        registry.remove(job_id, delete_job=True)


def _snapshot_by_rq(of: Any) -> None:
    from rq import Queue

    for queue in Queue.all(connection=of[1]):
        _ = queue.count
        for name in ('started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled'):
            getattr(queue, f'{name}_job_registry').get_job_count(cleanup=False)


def _snapshot(of: Any) -> None:
    import rqreg_ext

    rqreg_ext.snapshot(of[1])


def _same(call: Callable[[Any], object], calls: int) -> Operation:
    return Operation(call, call, calls)


OPERATIONS = {
    'count': _same(lambda registry: registry.count, 200),
    'in': _same(lambda registry: 'job-7' in registry, 200),
    f'get_job_ids of {IDS}': _same(lambda registry: registry.get_job_ids(), 5),
    f'purge of {JOBS} jobs': Operation(
        _purge_by_rq, lambda of: _registry(of).purge(), 1, prepare=_fill_jobs, sample=SAMPLE, size=JOBS
    ),
    f'snapshot of {QUEUES} queues': Operation(_snapshot_by_rq, _snapshot, 1),
}


def _seconds(operation: Operation, leg: str, of: Any, node: Any) -> float:
    call = operation.theirs if leg == RQ else operation.ours
    share = operation.sample / operation.size if leg == RQ else 1
    if operation.prepare is not None:
        operation.prepare(node, operation.sample if leg == RQ else operation.size)
        subject = of
    else:
        subject = of if operation.ours is _snapshot else _registry(of)
        call(subject)
    begun = perf_counter()
    for _ in range(operation.calls):
        call(subject)
    return (perf_counter() - begun) / operation.calls / share


def run(rounds: int) -> dict[str, Any]:
    """Return the median seconds of each leg, and the medians of the ratios within a round, by operation."""
    import redis
    import rq.registry
    from private_cluster import PrivateCluster

    import rqreg_ext.registry

    found: dict[str, Any] = {}
    with PrivateCluster(masters=3, replicas=1) as cluster:
        client, node = cluster.client(), redis.Redis(*cluster.owner(PREFIX).address)
        legs = {RQ: (rq.registry, client), OURS: (rqreg_ext.registry, client), PLAIN: (rqreg_ext.registry, node)}
        for name, operation in OPERATIONS.items():
            (_fill_queues if operation.ours is _snapshot else _fill_ids)(node, 0)
            seconds: dict[str, list[float]] = {leg: [] for leg in legs}
            for number, turn in product(range(rounds), range(len(legs))):
                leg = list(legs)[(number + turn) % len(legs)]
                seconds[leg].append(_seconds(operation, leg, legs[leg], node))
            found[name] = {
                'seconds': {leg: median(of_leg) for leg, of_leg in seconds.items()},
                'rq/rqreg_ext': median(a / b for a, b in zip(seconds[RQ], seconds[OURS], strict=True)),
                'rqreg_ext/on the node': median(a / b for a, b in zip(seconds[OURS], seconds[PLAIN], strict=True)),
            }
    return found


def measure(is_quick: bool, rounds: int | None = None) -> dict[str, Any]:
    """Return what run() finds, in a process whose RQ has the prefix."""
    rounds = rounds or (QUICK_ROUNDS if is_quick else ROUNDS)
    command = [sys.executable, '-m', 'benchmarks.workloads.on_cluster', str(rounds)]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, 'RQ_KEY_PREFIX': PREFIX}, check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT / 'tools'))
    json.dump(run(int(sys.argv[1])), sys.stdout)
