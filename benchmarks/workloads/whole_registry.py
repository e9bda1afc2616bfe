"""A registry as a whole: what RQ has no call for, against RQ's users' loops and the same by hand."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count, islice
from typing import Any

from .. import by_hand, by_loop
from ..populations import KINDS, KINDS_WITH_GONE, QUEUE, FailedIds, FailedJobs, Filled
from .one_call import SIZES
from .workload import Axis, Registries, Sample, Workload, failed

# With one of a hundred thousand, for what is wanted of a large registry.
MORE_SIZES = (1, 100, 10_000, 100_000, 1_000_000)
# An entry of ten is wrong, and all entries are looked at in the same way.
CHECKED_SIZES = (100, 10_000, 100_000)
# Registries of a few jobs are changed one after the other: one alone would be over too soon.
QUEUES = {1: 20, 100: 5}
# RQ takes milliseconds for a job; by hand, this number of jobs takes a second.
LOOP_SAMPLE, READ_SAMPLE, HAND_SAMPLE = 200, 2_000, 10_000
SCAN_SAMPLE = 100_000
IDS = 1000
PER_PAGE = 50
# Two of ten jobs, of the kind of that number.
DESCRIPTION, FOUND_KIND = 'json.loads(*', 1


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


def entries(size: int) -> Workload:
    return Workload(
        'iter_entries',
        FailedIds(size),
        failed,
        # RQ has no call that tells scores: this is redis-py's.
        rq=lambda registry, _: how_many(by_loop.entries(registry)),
        ours=lambda registry, _: how_many(registry.iter_entries()),
        by_hand=Sample(
            lambda client, _, count: how_many(islice(by_hand.scan_entries(client, QUEUE), count)), SCAN_SAMPLE
        ),
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
        # No other client is there that might be half way through a change.
        ours=lambda registry, _: len(registry.check(settle=0)),
        by_hand=Sample(lambda client, _, count: by_hand.wrong(client, QUEUE, count), HAND_SAMPLE),
        axis=Axis.ENTRIES,
    )


def repair(size: int) -> Workload:
    return Workload(
        'repair',
        FailedJobs(size, are_gone=True),
        failed,
        rq=Sample(lambda registry, _, count: by_loop.repair(registry, count), READ_SAMPLE),
        ours=lambda registry, _: registry.repair(registry.check(settle=0)).repaired.total(),
        by_hand=Sample(lambda client, _, count: by_hand.repair(client, QUEUE, count), HAND_SAMPLE),
        changes=True,
        counts=True,
        changed_of_ten=KINDS_WITH_GONE.count(None),
        axis=Axis.ENTRIES,
    )


def change(
    operation: str,
    rq: Callable[[Any, int], int],
    ours: Callable[[Any], Any],
    hand: Callable[[Any, str, list[str]], int],
    changed_of_ten: int = 10,
) -> Callable[[int], Workload]:
    """Return what makes workloads that change jobs of a registry: all of them, or some of ten."""
    return lambda size: Workload(
        operation,
        FailedJobs(size, QUEUES.get(size, 1)),
        Registries,
        rq=Sample(lambda registries, name, count: rq(registries[name], count), LOOP_SAMPLE),
        ours=lambda registries, name: ours(registries[name]).done,
        by_hand=Sample(lambda client, name, count: by_hand.change_first(client, name, count, hand), HAND_SAMPLE),
        arguments=names,
        changes=True,
        counts=True,
        changed_of_ten=changed_of_ten,
        axis=Axis.ENTRIES,
    )


def change_of_found(
    operation: str, rq: Callable[[Any, str, int], int], ours: Callable[[Any, str], Any], hand: Callable[..., int]
) -> Callable[[int], Workload]:
    """Return what makes workloads that change the jobs that a filter finds."""
    return change(
        operation,
        lambda registry, count: rq(registry, DESCRIPTION, count),
        lambda registry: ours(registry, DESCRIPTION),
        partial(hand, description=DESCRIPTION),
        changed_of_ten=KINDS.count(FOUND_KIND),
    )


purge = change('purge', by_loop.purge, lambda registry: registry.purge(), by_hand.delete)
requeue_all = change('requeue_all', by_loop.requeue_all, lambda registry: registry.requeue_all(), by_hand.requeue)
cancel_many = change(
    'cancel_many',
    lambda registry, count: by_loop.cancel_many(registry, registry.get_job_ids(0, count - 1)),
    lambda registry: registry.cancel_many(registry.iter_job_ids()),
    by_hand.cancel,
)
# The same scripts as of purge() and requeue_all(), on ids that the caller has.
delete_many = change(
    'remove_many-delete_job',
    by_loop.purge,
    lambda registry: registry.remove_many(registry.get_job_ids(), delete_job=True),
    by_hand.delete,
)
requeue_many = change(
    'requeue_many', by_loop.requeue_all, lambda registry: registry.requeue_many(registry.get_job_ids()), by_hand.requeue
)
purge_of_found = change_of_found(
    'purge-description',
    by_loop.purge_of_found,
    lambda registry, description: registry.purge(description=description),
    by_hand.delete,
)
requeue_of_found = change_of_found(
    'requeue_all-description',
    by_loop.requeue_of_found,
    lambda registry, description: registry.requeue_all(description=description),
    by_hand.requeue,
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
    *(workload(size) for workload in (contains_many, iteration, page, jobs, remove_many) for size in SIZES),
    *map(entries, SIZES[:-1]),
    *(workload(size) for workload in (finding, purge, requeue_all) for size in MORE_SIZES),
    # A million would tell no more of it, and take minutes.
    *map(cancel_many, MORE_SIZES[:-1]),
    *(workload(size) for workload in (check, repair) for size in CHECKED_SIZES),
    *(workload(size) for workload in (delete_many, requeue_many) for size in (100, 10_000)),
    *(workload(size) for workload in (purge_of_found, requeue_of_found) for size in (100, 100_000)),
    finding_by('find-func_name', func_name='json.*')(100_000),
    finding_by('find-exc_info', exc_info='JSONDecodeError')(100_000),
)
