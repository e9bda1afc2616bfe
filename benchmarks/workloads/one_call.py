"""The calls that RQ has: one registry, one answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import by_hand
from ..populations import QUEUE, FailedIds, FailedJobs, Filled, Population, RunningJobs, new_ids
from .workload import Axis, Call, Library, Workload, failed, queue, started

SIZES = (1, 100, 10_000, 1_000_000)


def some(filled: Filled) -> list[Any]:
    """Return ids from all over the registry."""
    return random.sample(filled.ids, min(1000, len(filled.ids)))


def first(count: int) -> Callable[[Filled], list[Any]]:
    """Return a function that returns the first ids."""
    return lambda filled: filled.ids[:count]


def count(size: int) -> Workload:
    return Workload(
        'count',
        FailedIds(size),
        failed,
        rq=lambda registry, _: registry.count,
        ours=lambda registry, _: registry.count,
        by_hand=lambda client, _: by_hand.count(client, QUEUE),
        axis=Axis.ENTRIES,
    )


def contains(size: int) -> Workload:
    return Workload(
        'in',
        FailedIds(size),
        failed,
        rq=lambda registry, job_id: job_id in registry,
        ours=lambda registry, job_id: job_id in registry,
        by_hand=lambda client, job_id: by_hand.is_failed(client, QUEUE, job_id),
        arguments=some,
        axis=Axis.ENTRIES,
    )


def contains_started(name: str, size: int, arguments: Callable[[Filled], list[Any]]) -> Workload:
    return Workload(
        name,
        RunningJobs(size),
        started,
        rq=lambda registry, job_id: job_id in registry,
        ours=lambda registry, job_id: job_id in registry,
        by_hand=lambda client, job_id: by_hand.is_started(client, QUEUE, job_id),
        arguments=arguments,
        axis=Axis.ENTRIES,
    )


def listing(size: int) -> Workload:
    return Workload(
        'get_job_ids',
        FailedIds(size),
        failed,
        rq=lambda registry, _: registry.get_job_ids(),
        ours=lambda registry, _: registry.get_job_ids(),
        by_hand=lambda client, _: by_hand.job_ids(client, QUEUE),
        axis=Axis.ENTRIES,
    )


def change(operation: str, population: Population, calls: int, call: Call, hand: Call) -> Workload:
    return Workload(
        operation, population, failed, rq=call, ours=call, by_hand=hand, arguments=first(calls), changes=True
    )


def construction(operation: str, subject: Callable[[Library, Any], Any], call: Call) -> Workload:
    return Workload(operation, Population(), subject, rq=call, ours=call)


ALL = (
    *map(count, SIZES),
    *map(contains, SIZES),
    contains_started('in-started-running', 10_000, some),
    contains_started('in-started-absent', 10_000, lambda filled: new_ids(100)),
    *map(listing, SIZES),
    change(
        'remove',
        FailedIds(1000),
        calls=40,
        call=lambda registry, job_id: registry.remove(job_id),
        hand=lambda client, job_id: by_hand.remove(client, QUEUE, job_id),
    ),
    change(
        'remove-delete_job',
        FailedJobs(100),
        calls=20,
        call=lambda registry, job_id: registry.remove(job_id, delete_job=True),
        hand=lambda client, job_id: by_hand.delete(client, QUEUE, [job_id]),
    ),
    change(
        'requeue',
        FailedJobs(100),
        calls=20,
        # What the others return can be compared with what is returned by hand.
        call=lambda registry, job_id: registry.requeue(job_id).id and 1,
        hand=lambda client, job_id: by_hand.requeue(client, QUEUE, [job_id]),
    ),
    construction(
        'FailedJobRegistry-queue',
        subject=lambda library, connection: partial(
            library.registry.FailedJobRegistry, queue=queue(library, connection)
        ),
        call=lambda registry_class, _: registry_class(),
    ),
    construction('queue-failed_job_registry', subject=queue, call=lambda queue, _: queue.failed_job_registry),
)
