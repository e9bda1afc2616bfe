"""A registry as a whole: what RQ has no call for, against RQ's users' loops and the same by hand."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count, islice
from typing import Any

from .. import by_hand, by_loop
from ..populations import QUEUE, FailedIds, FailedJobs, Filled
from .one_call import SIZES
from .workload import Axis, Registries, Sample, Workload, failed

# With one of a hundred thousand, for what is wanted of so many.
MORE_SIZES = (1, 100, 10_000, 100_000, 1_000_000)
# Registries of a few jobs are changed one after the other: one alone would be over too soon.
QUEUES = {1: 20, 100: 5}
# RQ takes milliseconds for a job, by hand it is a second for so many.
LOOP_SAMPLE, READ_SAMPLE, HAND_SAMPLE = 200, 2_000, 10_000
SCAN_SAMPLE = 100_000
IDS = 1000
PAGE, PER_PAGE = 1, 50
DESCRIPTION = 'json.loads(*'


def how_many(iterable: Iterable[Any]) -> int:
    """Let all come, keep none, and count them, as fast as that can be done."""
    counter = count()
    deque(zip(iterable, counter), maxlen=0)  # noqa: B905
    return next(counter)


def names(filled: Filled) -> list[Any]:
    return filled.queues


def many_ids(filled: Filled) -> list[Any]:
    """Return ids from all over the registry, for one call on all of them."""
    return [random.sample(filled.ids, min(IDS, len(filled.ids)))]


def middle(filled: Filled) -> list[Any]:
    """Return the rank where a page in the middle begins."""
    return [max(0, len(filled.ids) // PER_PAGE // 2) * PER_PAGE]


def contains_many(size: int) -> Workload:
    return Workload(
        'contains_many',
        FailedIds(size),
        failed,
        rq=lambda registry, ids: [job_id in registry for job_id in ids],
        ours=lambda registry, ids: registry.contains_many(ids),
        by_hand=lambda client, ids: by_hand.are_failed(client, QUEUE, ids),
        arguments=many_ids,
        axis=Axis.ENTRIES,
    )


def iteration(size: int) -> Workload:
    return Workload(
        'iter_job_ids',
        FailedIds(size),
        failed,
        # RQ has them all in one list.
        rq=lambda registry, _: how_many(registry.get_job_ids(cleanup=False)),
        ours=lambda registry, _: how_many(registry.iter_job_ids()),
        by_hand=Sample(lambda client, _, count: how_many(islice(by_hand.scan_ids(client, QUEUE), count)), SCAN_SAMPLE),
        axis=Axis.ENTRIES,
    )


def page(size: int) -> Workload:
    return Workload(
        'get_page',
        FailedIds(size),
        failed,
        rq=lambda registry, start: by_loop.page(registry, start, PER_PAGE),
        ours=lambda registry, start: registry.get_page(start // PER_PAGE + 1, PER_PAGE),
        ours_told=lambda page: (page.job_ids, page.total),
        by_hand=lambda client, start: by_hand.page(client, QUEUE, start, PER_PAGE),
        arguments=middle,
        axis=Axis.ENTRIES,
    )


def jobs(size: int) -> Workload:
    return Workload(
        'get_jobs',
        FailedJobs(size),
        failed,
        rq=lambda registry, start: len(by_loop.jobs(registry, start, PER_PAGE)),
        ours=lambda registry, start: len(registry.get_jobs(start // PER_PAGE + 1, PER_PAGE).jobs),
        by_hand=lambda client, start: len(by_hand.jobs(client, QUEUE, start, PER_PAGE)),
        arguments=middle,
        axis=Axis.ENTRIES,
    )


def finding(size: int) -> Workload:
    return Workload(
        'find',
        FailedJobs(size),
        failed,
        rq=Sample(lambda registry, _, count: how_many(by_loop.find(registry, DESCRIPTION, count)), READ_SAMPLE),
        ours=lambda registry, _: how_many(registry.find(description=DESCRIPTION)),
        by_hand=Sample(lambda client, _, count: how_many(by_hand.find(client, QUEUE, DESCRIPTION, count)), HAND_SAMPLE),
        axis=Axis.ENTRIES,
    )


def finding_by(operation: str, **filters: Any) -> Callable[[int], Workload]:
    """Return what makes workloads of other filters, which others would write likewise."""
    return lambda size: Workload(
        operation,
        FailedJobs(size),
        failed,
        rq=None,
        ours=lambda registry, _: how_many(registry.find(**filters)),
        axis=Axis.ENTRIES,
    )


def check(size: int) -> Workload:
    return Workload(
        'check',
        FailedJobs(size, are_gone=True),
        failed,
        rq=Sample(lambda registry, _, count: by_loop.wrong(registry, count), READ_SAMPLE),
        # Nobody else is there who might be half way through a change.
        ours=lambda registry, _: len(registry.check(settle=0)),
        by_hand=Sample(lambda client, _, count: by_hand.wrong(client, QUEUE, count), HAND_SAMPLE),
        axis=Axis.ENTRIES,
    )


def change(
    operation: str,
    rq: Callable[[Any, int], int],
    ours: Callable[[Any], Any],
    hand: Callable[[Any, str, list[str]], int],
) -> Callable[[int], Workload]:
    """Return what makes workloads that change all jobs of a registry."""
    return lambda size: Workload(
        operation,
        FailedJobs(size, QUEUES.get(size, 1)),
        Registries,
        rq=Sample(lambda registries, name, count: rq(registries[name], count), LOOP_SAMPLE),
        ours=lambda registries, name: ours(registries[name]),
        by_hand=Sample(lambda client, name, count: by_hand.change_first(client, name, count, hand), HAND_SAMPLE),
        arguments=names,
        changes=True,
        counts=True,
        axis=Axis.ENTRIES,
    )


purge = change('purge', by_loop.purge, lambda registry: registry.purge().done, by_hand.delete)
requeue_all = change('requeue_all', by_loop.requeue_all, lambda registry: registry.requeue_all().done, by_hand.requeue)
cancel_many = change(
    'cancel_many',
    lambda registry, count: by_loop.cancel_many(registry, registry.get_job_ids(0, count - 1)),
    lambda registry: registry.cancel_many(registry.iter_job_ids()).done,
    by_hand.cancel,
)


def remove_many(size: int) -> Workload:
    return Workload(
        'remove_many',
        FailedIds(size),
        failed,
        rq=Sample(lambda registry, ids, count: by_loop.remove_many(registry, ids[:count]), READ_SAMPLE),
        ours=lambda registry, ids: registry.remove_many(ids).done,
        by_hand=lambda client, ids: by_hand.remove_many(client, QUEUE, ids),
        arguments=lambda filled: [filled.ids],
        changes=True,
        counts=True,
        axis=Axis.ENTRIES,
    )


ALL = (
    *map(iteration, SIZES),
    *map(finding, MORE_SIZES),
    finding_by('find-func_name', func_name='json.*')(100_000),
    finding_by('find-exc_info', exc_info='JSONDecodeError')(100_000),
    *map(check, SIZES),
)
