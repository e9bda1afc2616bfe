"""`rqreg ls`: the jobs of registries."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import chain, islice
from typing import Any

import click

from .._fastpath.server_errors import concerns_one_queue, describe, note_key
from .._query.job_fields import FIELDS
from . import statuses
from .filters import WAITING, fail_if_none_option, filter_options, queue_options, registry_option
from .output import (
    Cell,
    Column,
    duration_text,
    moment_text,
    output_option,
    print_json_lines,
    print_json_list,
    print_table,
    text_of,
)
from .parameters import Count
from .selecting import registry_of
from .server import Server, server_options
from .terminal import say

# The fields that are only known by unpickling.
PICKLED = ('instance', 'args', 'kwargs', 'meta')
_DEFAULT = {
    'failed': ('func_name', 'exc_type', 'end'),
    'finished': ('func_name', 'end'),
    'started': ('func_name', 'worker_name', 'started_at'),
    WAITING: ('func_name', 'enqueued_at'),
}
_WITH_END = ('failed', 'finished')
_NEWEST = 100


def _fields_of(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(dict.fromkeys(filter(None, value.split(','))))
    for name in names:
        if name not in FIELDS:
            raise click.BadParameter(
                f'{name!r} is not a field of a job: the fields are {", ".join(FIELDS)}', ctx, param
            )
    return names


@click.command()
@queue_options
@registry_option(has_waiting=True)
@filter_options
@click.option('--fields', callback=_fields_of, metavar='NAME,...', help='What to print of each job.')
@click.option('--newest', is_flag=True, help='Those that ended last first; 100 of them, unless --limit is given.')
@click.option('--limit', type=Count(), help='The most jobs to print.')
@click.option('--unpickle', is_flag=True, help=f'Allow the fields {", ".join(PICKLED)}. Runs code of the pickles.')
@fail_if_none_option
@output_option('table', 'json', 'jsonl', 'ids')
@server_options
def ls(
    server: Server,
    patterns: Sequence[str],
    chosen: bool,
    registry: str,
    filters: dict[str, Any],
    fields: tuple[str, ...] | None,
    newest: bool,
    limit: int | None,
    unpickle: bool,
    fail_if_none: bool,
    output: str,
) -> None:
    """List the jobs of a registry, or those that wait, that match all filters, of some queues or of all.

    Queue by queue, ordered by the score of their entries: in most registries, when that expires. Jobs that wait are in
    the order in which they are to run. Nothing is changed.
    """
    names = (
        (_DEFAULT.get(registry, ('func_name', 'created_at')) if fields is None else fields) if output != 'ids' else ()
    )
    if not unpickle and (pickled := [name for name in names if name in PICKLED]):
        raise click.UsageError(f'{", ".join(pickled)}: give --unpickle, which runs code of the pickles')
    if newest and registry not in _WITH_END:
        of = 'jobs that wait' if registry == WAITING else f'those of the {registry} registry'
        raise click.UsageError(f'--newest orders by the end of jobs: {of} have none')
    listing = _Listing(server, registry, filters, names)
    queues = server.queues(patterns)
    jobs = listing.newest(queues, limit or _NEWEST) if newest else islice(listing.all(queues), limit)
    found = _Counted(jobs)
    _print(found, names, output)
    if listing.errors or (fail_if_none and not found.count):
        raise click.exceptions.Exit(statuses.INCOMPLETE)


class _Listing:
    """Finds the jobs.

    Attributes:
        errors: How many queues could not be read.
    """

    def __init__(self, server: Server, registry: str, filters: dict[str, Any], fields: Sequence[str]) -> None:
        self.errors = 0
        self._server = server
        self._registry = registry
        self._filters = filters
        self._fields = fields

    def all(self, queues: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield all jobs, queue by queue, in constant memory."""
        return chain.from_iterable(self._of_queue(name) for name in queues)

    def newest(self, queues: Sequence[str], limit: int) -> Iterator[dict[str, Any]]:
        """Yield the jobs that ended last, which are held in memory."""

        def key(job: dict[str, Any]) -> tuple[bool, float]:
            end = job['end']
            return end is None, 0.0 if end is None else -end.timestamp()

        of_queues = [self._of_queue(name, desc=True, order_by='end', limit=limit) for name in queues]
        return islice(heapq.merge(*of_queues, key=key), limit)

    def _of_queue(self, name: str, **options: Any) -> Iterator[dict[str, Any]]:
        registry = registry_of(self._server, self._registry, name)
        # `end` is what queues are merged by.
        fields = dict.fromkeys((*self._fields, 'end') if options else self._fields)
        try:
            if fields:
                found = registry.find(fields=tuple(fields), **options, **self._filters)
                yield from ({'id': job_id, 'queue': name, **values} for job_id, values in found)
            else:
                yield from ({'id': job_id, 'queue': name} for job_id in registry.find(**self._filters))
        except Exception as error:
            if not concerns_one_queue(error):
                raise
            self.errors += 1
            say(f'queue {name!r} was left out: {describe(note_key(error, registry.key))}')


class _Counted:
    """Jobs that are counted as they pass by."""

    def __init__(self, jobs: Iterator[dict[str, Any]]) -> None:
        self.count = 0
        self._jobs = jobs

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for job in self._jobs:
            self.count += 1
            yield job


def _print(jobs: _Counted, fields: Sequence[str], output: str) -> None:
    names = ('id', 'queue', *fields)
    values = ({name: job[name] for name in names} for job in jobs)
    if output == 'ids':
        for job in values:
            print(job['id'])
    elif output == 'json':
        print_json_list('jobs', values)
    elif output == 'jsonl':
        print_json_lines(values)
    else:
        columns = [Column('id', is_whole=True), Column('queue'), *(_column(name) for name in fields)]
        print_table(columns, ([_cell(name, job[name]) for name in names] for job in values))


def _is_time(name: str) -> bool:
    return name in ('end', 'last_heartbeat') or name.endswith('_at')


def _column(name: str) -> Column:
    return Column(name, 'ago' if name == 'end' else '', is_whole=_is_time(name))


def _cell(name: str, value: Any) -> Cell:
    if not isinstance(value, datetime):
        return text_of(value)
    return moment_text(value), duration_text((datetime.now(timezone.utc) - value).total_seconds())
