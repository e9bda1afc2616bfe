"""Counting failures in groups, and filters on the exception: each job of these registries has a text of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .. import by_hand, by_loop
from ..populations import QUEUE, FailedJobs, FailuresOfTheirOwn
from .whole_registry import HAND_SAMPLE, READ_SAMPLE, how_many
from .workload import Axis, Sample, Workload, failed

SIZES = (100, 10_000, 200_000)
NAMES = ('func_name', 'exc_type')

Groups = list[tuple[tuple[str, str], int]]


def in_order(counts: Counter[tuple[str, str]]) -> Groups:
    """Return the groups so that all calls tell the same."""
    return sorted(counts.items())


def by_fields(registry: Any, _: Any) -> Groups:
    """Count what find() reads in a loop of one's own."""
    counts: Counter[tuple[str, str]] = Counter()
    for _job_id, job in registry.find(fields=['func_name', 'exc_info']):
        counts[job['func_name'], by_loop.type_in(job['exc_info'])] += 1
    return in_order(counts)


def told(groups: Any) -> Groups:
    """Return our groups as the others count them."""
    return sorted(((group.values['func_name'], group.values['exc_type']), group.count) for group in groups)


def count_by(size: int) -> Workload:
    return Workload(
        'count_by',
        FailuresOfTheirOwn(size),
        failed,
        rq=Sample(lambda registry, _, count: in_order(by_loop.count_failures(registry, count)), READ_SAMPLE),
        ours=lambda registry, _: registry.count_by(*NAMES),
        ours_told=told,
        by_hand=Sample(lambda client, _, count: in_order(by_hand.count_failures(client, QUEUE, count)), HAND_SAMPLE),
        axis=Axis.ENTRIES,
    )


def count_by_find(size: int) -> Workload:
    return Workload('count-by-find', FailuresOfTheirOwn(size), failed, rq=None, ours=by_fields, axis=Axis.ENTRIES)


def count_by_line(size: int) -> Workload:
    return Workload(
        'count_by-last_line',
        FailuresOfTheirOwn(size),
        failed,
        rq=None,
        ours=lambda registry, _: len(registry.count_by('last_line')),
        axis=Axis.ENTRIES,
    )


def finding_kwargs(size: int) -> Workload:
    return Workload(
        'find-args',
        FailuresOfTheirOwn(size),
        failed,
        rq=None,
        ours=lambda registry, _: how_many(registry.find(args={0: '{'})),
        axis=Axis.ENTRIES,
    )


def purge_of_exception(size: int) -> Workload:
    return Workload(
        'purge-exc_info',
        FailedJobs(size),
        failed,
        rq=None,
        ours=lambda registry, _: registry.purge(exc_info='Error').done,
        changes=True,
        counts=True,
        axis=Axis.ENTRIES,
    )


def dry_run_of_exception(size: int) -> Workload:
    return Workload(
        'purge-exc_info-dry-run',
        FailedJobs(size),
        failed,
        rq=None,
        ours=lambda registry, _: registry.purge(exc_info='Error', dry_run=True).done,
        axis=Axis.ENTRIES,
    )


ALL = (
    *map(count_by, SIZES),
    *(
        workload(SIZES[-1])
        for workload in (count_by_find, count_by_line, finding_kwargs, purge_of_exception, dry_run_of_exception)
    ),
)
