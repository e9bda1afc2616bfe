"""`rqreg errors`: what failed, in groups of function and exception."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from .._all_queues.count_by import count_by
from .._fastpath.server_errors import describe
from .._query.count_by import JobGroup, JobGroups
from . import statuses
from .filters import command_line, exactly, fail_if_none_option, filter_options, queue_options, registry_option, typed
from .output import counted, moment_text, output_option, print_json, print_json_lines, printable
from .parameters import Count
from .server import Server, mistyped_queues, server_options
from .terminal import grouped, has_colours, say, width_of

_BARS = '▁▂▃▄▅▆▇█'
_BUCKETS = 24
_HOUR = timedelta(hours=1)


@click.command()
@queue_options
@registry_option()
@filter_options
@click.option('--limit', type=Count(), help='The most groups to print; the largest come first.')
@fail_if_none_option
@output_option('table', 'json', 'jsonl')
@server_options
def errors(
    server: Server,
    patterns: Sequence[str],
    chosen: bool,
    registry: str,
    filters: dict[str, Any],
    limit: int | None,
    fail_if_none: bool,
    output: str,
) -> None:
    """Count the jobs of a registry by function and exception.

    Of each group: how many, the first and the last end, the queues, how they are spread over time, the latest job, and
    the options by which other commands select it. Nothing is changed.
    """
    with mistyped_queues():
        names = server.named(patterns)
        counted_jobs = count_by(
            server.client,
            'func_name',
            'exc_type',
            'queue',
            'hour',
            queues=None
            if names is None and not server.has_own_jobs
            else [server.queue(n) for n in server.queues(patterns)],
            registry=registry,
            **filters,
        )
    queue_words = [word for pattern in patterns for word in ('--queue', pattern)] or ['--all-queues']
    # Each group has filters of its own on the function and the exception.
    others = {name: value for name, value in filters.items() if name not in ('func_name', 'exc_type')}
    words = [*queue_words, *(['--registry', registry] if registry != 'failed' else []), *typed(others)]
    groups = group_failures(counted_jobs)
    for group in groups:
        group.filter = _filter_of(group, words)
    _print(counted_jobs, groups[:limit], len(groups), output)
    for name, error in counted_jobs.errors.items():
        say(f'queue {name!r} was left out: {describe(error)}')
    if counted_jobs.errors or (fail_if_none and not counted_jobs.total):
        raise click.exceptions.Exit(statuses.INCOMPLETE)


class Group:
    """The failures of a function by an exception."""

    def __init__(self, func_name: str | None, exc_type: str | None) -> None:
        self.func_name = func_name
        self.exc_type = exc_type
        self.count = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.example: str | None = None
        self.queues: Counter[str] = Counter()
        self.hours: Counter[datetime | None] = Counter()
        self.filter: str | None = None

    def add(self, part: JobGroup) -> None:
        """Add the jobs of one queue and one hour."""
        self.count += part.count
        self.queues[part.values['queue']] += part.count
        self.hours[part.values['hour']] += part.count
        if part.first is not None and (self.first is None or part.first < self.first):
            self.first = part.first
        if self.example is None or (part.last is not None and (self.last is None or part.last > self.last)):
            self.last, self.example = part.last, part.example

    @property
    def known_hours(self) -> dict[datetime, int]:
        """How many jobs ended in each hour, without those of which that is unknown."""
        return {hour: count for hour, count in self.hours.items() if hour is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the group as the JSON has it."""
        return {
            'func_name': self.func_name,
            'exc_type': self.exc_type,
            'count': self.count,
            'first': self.first,
            'last': self.last,
            'queues': dict(self.queues.most_common()),
            'example': self.example,
            'hours': [{'hour': hour, 'count': count} for hour, count in sorted(self.known_hours.items())],
            'filter': self.filter,
        }


def group_failures(found: JobGroups) -> list[Group]:
    """Return the jobs by function and exception, the largest group first."""
    groups: dict[tuple[Any, Any], Group] = {}
    for part in found:
        key = part.values['func_name'], part.values['exc_type']
        if key not in groups:
            groups[key] = Group(*key)
        groups[key].add(part)
    return sorted(groups.values(), key=lambda group: -group.count)


def _filter_of(group: Group, words: Sequence[str]) -> str | None:
    """Return the options that select a group; None if there is an exception in it that has no name."""
    if group.func_name is None or group.exc_type is None:
        return None
    return command_line([*words, '--func', exactly(group.func_name), '--exc-type', exactly(group.exc_type)])


# ---- Output


def _print(found: JobGroups, groups: Sequence[Group], total: int, output: str) -> None:
    if output == 'json':
        print_json(
            {
                'total': found.total,
                'groups': [group.to_dict() for group in groups],
                'skipped': dict(found.skipped),
                'errors': {name: describe(error) for name, error in found.errors.items()},
            }
        )
    elif output == 'jsonl':
        print_json_lines(group.to_dict() for group in groups)
    else:
        for line in _lines(found, groups, total):
            print(line)
        sys.stdout.flush()


def _lines(found: JobGroups, groups: Sequence[Group], total: int) -> Iterator[str]:
    width, colours = width_of(sys.stdout), has_colours(sys.stdout)
    yield f'{counted(found.total, "job")} in {counted(total, "group")} by function and exception'
    hours = [hour for group in groups for hour in group.known_hours]
    for group in groups:
        name = printable(f'{group.func_name or "-"}  {group.exc_type or "no exception"}')
        yield ''
        yield f'{grouped(group.count):>8}  {click.style(name, bold=True) if colours else name}'
        bars = f'  {spark(group.known_hours, min(hours), max(hours))}' if len(set(hours)) > 1 else ''
        yield f'          {moment_text(group.first)} to {moment_text(group.last)}{bars}'
        yield _cut(f'          in {", ".join(map(printable, group.queues))}', width)
        yield f'          latest {printable(group.example or "-")}'
        if group.filter is not None:
            yield f'          {group.filter}'
    if total > len(groups):
        yield f'\nand {counted(total - len(groups), "smaller group")}'
    for reason, count in found.skipped.items():
        yield f'{grouped(count)} skipped: {reason}'


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f'{line[: width - 1]}…'


def spark(hours: Mapping[datetime, int], first: datetime, last: datetime) -> str:
    """Return a bar for each part of the time between the first and the last hour of all groups."""
    span = int((last - first) / _HOUR) + 1
    buckets = min(span, _BUCKETS)
    counts = [0] * buckets
    for hour, count in hours.items():
        counts[int((hour - first) / _HOUR) * buckets // span] += count
    most = max(counts)
    return ''.join(' ' if not count else _BARS[-(-count * len(_BARS) // most) - 1] for count in counts)
