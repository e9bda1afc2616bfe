"""Many queues at once: how it is by RQ, queue by queue, and in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rqreg_ext

from .. import by_hand, by_loop
from ..populations import BusyQueues, FailedJobs, Filled
from .workload import Axis, Library, Registries, Sample, Workload

SIZES = (1, 10, 100, 1000)
ENTRIES = 3
# RQ takes a second for that many.
SAMPLE = 100
# Of failed jobs on each queue; RQ takes milliseconds for one.
FAILED, LOOP_SAMPLE = 20, 20
REGISTRIES = ('started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready')


def names(filled: Filled) -> list[Any]:
    """Return the names of the queues, for one call on all of them."""
    return [filled.queues]


class Queues(dict[str, Any]):
    """Queues by their names."""

    def __init__(self, library: Library, connection: Any) -> None:
        super().__init__()
        self.library = library
        self.connection = connection

    def __missing__(self, name: str) -> Any:
        self[name] = self.library.Queue(name, connection=self.connection)
        return self[name]


def counts(queues: Queues, names: Sequence[str]) -> list[int]:
    """Ask RQ for all that a dashboard shows of its queues."""
    found = []
    for name in names:
        queue = queues[name]
        found.append(queue.count)
        found += [getattr(queue, f'{registry}_job_registry').count for registry in REGISTRIES]
    return found


COUNTS = Sample(lambda queues, names, count: counts(queues, names[:count]), SAMPLE)


def counts_of(snapshot: Any) -> list[int]:
    return [count for queue in snapshot.values() for count in queue.values()]


def snapshot(size: int) -> Workload:
    return Workload(
        'snapshot',
        BusyQueues(ENTRIES, size),
        Queues,
        rq=COUNTS,
        ours=lambda queues, names: rqreg_ext.snapshot(queues.connection, names, workers=False),
        ours_told=counts_of,
        by_hand=by_hand.snapshot,
        arguments=names,
        axis=Axis.QUEUES,
    )


def snapshot_with_cleanup(size: int) -> Workload:
    return Workload(
        'snapshot-cleanup',
        BusyQueues(ENTRIES, size),
        Queues,
        rq=COUNTS,
        ours=lambda queues, names: rqreg_ext.snapshot(queues.connection, names, workers=False, cleanup=True),
        ours_told=counts_of,
        arguments=names,
        axis=Axis.QUEUES,
    )


def failed_counts(queues: Queues, names: Sequence[str]) -> list[int]:
    """Ask RQ how many jobs have failed on each queue."""
    return [queues[name].failed_job_registry.count for name in names]


def failed_counts_in_batch(queues: Queues, names: Sequence[str]) -> list[int]:
    with rqreg_ext.batch(queues.connection) as batch:
        pending = [batch.count(queues[name].failed_job_registry) for name in names]
    return [count.result() for count in pending]


def batch_of_counts(size: int) -> Workload:
    return Workload(
        'batch-count',
        BusyQueues(ENTRIES, size),
        Queues,
        rq=failed_counts,
        ours=failed_counts_in_batch,
        by_hand=by_hand.counts,
        arguments=names,
        axis=Axis.QUEUES,
    )


def cleaning(size: int) -> Workload:
    """The cleanups that a worker makes, where nothing has expired."""

    def clean(queues: Queues, names: Sequence[str]) -> int:
        for name in names:
            queues.library.registry.clean_registries(queues[name])
        return len(names)

    return Workload(
        'clean_registries',
        BusyQueues(ENTRIES, size),
        Queues,
        rq=Sample(lambda queues, names, count: clean(queues, names[:count]), SAMPLE),
        ours=clean,
        arguments=names,
        axis=Axis.QUEUES,
    )


def on_each(call: Callable[[Any, int], int]) -> Sample:
    """Return RQ's call on the failed jobs of each queue."""
    return Sample(
        lambda registries, names, count: sum(call(registries[name], FAILED) for name in names[:count]), LOOP_SAMPLE
    )


def change(
    operation: str, rq: Callable[[Any, int], int], ours: Callable[..., Any], hand: Callable[[Any, str, list[str]], int]
) -> Callable[[int], Workload]:
    """Return what makes workloads that change the failed jobs of all queues."""

    def in_turn(client: Any, names: Sequence[str]) -> int:
        return sum(by_hand.change_first(client, name, FAILED, hand) for name in names)

    return lambda size: Workload(
        operation,
        FailedJobs(FAILED, size),
        Registries,
        rq=on_each(rq),
        ours=lambda registries, names: ours(registries.connection, names).total.done,
        by_hand=in_turn,
        arguments=names,
        changes=True,
        counts=True,
        axis=Axis.QUEUES,
    )


# The names of rqreg_ext import redis-py, before which a leg has to be set up.
purge = change('purge', by_loop.purge, lambda client, names: rqreg_ext.purge(client, queues=names), by_hand.delete)
requeue_all = change(
    'requeue_all',
    by_loop.requeue_all,
    lambda client, names: rqreg_ext.requeue_all(client, queues=names),
    by_hand.requeue,
)


def check(size: int) -> Workload:
    """RQ's loop looks at the entries only, and so does who writes it by hand; we look at all that these queues have."""
    return Workload(
        'check',
        FailedJobs(FAILED, size, are_gone=True),
        Registries,
        rq=on_each(by_loop.wrong),
        ours=lambda registries, names: len(rqreg_ext.check(registries.connection, names, settle=0)),
        by_hand=lambda client, names: sum(by_hand.wrong(client, name, FAILED) for name in names),
        arguments=names,
        axis=Axis.QUEUES,
    )


ALL = (
    *(workload(size) for workload in (snapshot, snapshot_with_cleanup, batch_of_counts, cleaning) for size in SIZES),
    *(workload(size) for workload in (purge, requeue_all, check) for size in SIZES),
)
