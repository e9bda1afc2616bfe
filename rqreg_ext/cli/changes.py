"""`rqreg requeue`, `delete`, `cancel`, `move`, `trim` and `empty`: the jobs of registries and queues are changed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, cast

import click

from .._all_queues.selection import existing_queues
from .._bulk.pace import Pace
from .._bulk.result import BulkResult
from .._bulk.trimming import filters_of_trim
from .._fastpath.rq_keys import REGISTRIES, REGISTRY_NAMES
from .._fastpath.server_errors import concerns_one_queue, describe, note_key
from . import statuses
from .change_log import ChangeLog, counts_of, log_options
from .export import exported
from .filters import WAITING, fail_if_none_option, filter_options, queue_options, registry_option
from .output import counted, output_option, print_json, print_outcome, printable
from .parameters import Count, Moment, Rate, check_name
from .results import jobs_of, not_done, say_errors
from .selecting import AllButNewest, Given, Matching, Selection, check_no_filters, ids_from_option, registries_of
from .server import Server, mistyped_queues, server_options
from .terminal import Progress, confirm, grouped, say

# Those whose jobs are put on a queue when they are moved.
_PUT_ON_QUEUE = ('failed', WAITING)
# RQ can neither requeue nor delete jobs while they run.
_NOT_STARTED = [name for name in REGISTRY_NAMES if name != 'started']


class Change(NamedTuple):
    """What a command does with jobs.

    Attributes:
        name: The name of the command.
        verb: What it does with a job.
        done: What has happened to a job then.
        make: Called with a registry, an iterator of ids, and the arguments `progress` and `rate` for a bulk call.
        where: What follows the jobs in a sentence: ' to low'.
    """

    name: str
    verb: str
    done: str
    make: Callable[[Any, Any, dict[str, Any]], BulkResult]
    where: str = ''


# The lowest is the first, which gets what those above it have made of their options.
_HOW: tuple[Callable[[Any], Any], ...] = (
    log_options,
    server_options,
    output_option('table', 'json'),
    fail_if_none_option,
    click.option('--rate', type=Rate(), metavar='N/s', help='The most jobs to change: 10/s, 100/m, 5000/h.'),
    click.option('--dry-run', is_flag=True, help='Say how many jobs it would be, and change nothing.'),
    click.option('-y', '--yes', is_flag=True, help='Do not ask. Needed where there is no terminal.'),
    click.option('--export', metavar='FILE', help='Write the jobs into a new file first, for `rqreg restore`.'),
)


def _asking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    decorated: Any = command
    for add in _HOW:
        decorated = add(decorated)
    return cast('Callable[..., Any]', decorated)


def changing_options(registry_names: Sequence[str], has_waiting: bool = False) -> Callable[[Any], Any]:
    """Return what adds the options that all commands of this file have; they get `choose` and `how`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(
            server: Server,
            patterns: Sequence[str],
            chosen: bool,
            registry: str,
            filters: dict[str, Any],
            ids_from: BinaryIO | None,
            limit: int | None,
            **given: Any,
        ) -> None:
            _check_chosen(chosen)
            if ids_from is not None:
                check_no_filters(filters)
            if ids_from is not None and ids_from.name == '<stdin>' and not (given['yes'] or given['dry_run']):
                say('not confirmed: the ids come from stdin, so that there is no terminal to ask on: give --yes')
                raise click.exceptions.Exit(statuses.NOT_CONFIRMED)

            to = given.get('to')

            def choose() -> Selection:
                registries = registries_of(server, registry, [name for name in server.queues(patterns) if name != to])
                return Matching(registries, limit, filters) if ids_from is None else Given(registries, limit, ids_from)

            if to is not None:
                _check_target(server, patterns, to, given.pop('new_queue'))
            names = ('log', 'yes', 'dry_run', 'fail_if_none', 'rate', 'output', 'export')
            command(_Run(choose, registry, **{name: given.pop(name) for name in names}), **given)

        decorated: Any = wrapper
        for add in (
            _asking_options,
            click.option('--limit', type=Count(), help='The most jobs to change.'),
            ids_from_option,
            filter_options,
            registry_option(registry_names, has_waiting),
            queue_options,
        ):
            decorated = add(decorated)
        return cast('Callable[..., Any]', decorated)

    return decorate


@click.command()
@click.option('--at-front', is_flag=True, help='Put them at the front of their queues.')
@changing_options(_NOT_STARTED)
def requeue(run: _Run, at_front: bool) -> None:
    """Put the jobs of a registry back on their queues: all, those that match filters, or those with given ids.

    After an interruption, the same command does the rest.
    """
    run.make(Change('requeue', 'requeue', 'requeued', lambda r, ids, how: r.requeue_many(ids, at_front, **how)))


@click.command()
@changing_options(_NOT_STARTED, has_waiting=True)
def delete(run: _Run) -> None:
    """Delete the jobs of a registry, or those that wait: all, those that match filters, or those with given ids.

    After an interruption, the same command does the rest.
    """
    run.make(Change('delete', 'delete', 'deleted', lambda r, ids, how: r.remove_many(ids, delete_job=True, **how)))


@click.command()
@click.option('--enqueue-dependents', is_flag=True, help='Enqueue the jobs that depend on them.')
@changing_options(REGISTRY_NAMES, has_waiting=True)
def cancel(run: _Run, enqueue_dependents: bool) -> None:
    """Cancel the jobs of a registry, or those that wait: all, those that match filters, or those with given ids.

    A canceled job stays in Redis, in the canceled registry. After an interruption, the same command does the rest.
    """

    def make(registry: Any, ids: Any, how: dict[str, Any]) -> BulkResult:
        result: BulkResult = registry.cancel_many(ids, enqueue_dependents=enqueue_dependents, **how)
        return result

    run.make(Change('cancel', 'cancel', 'canceled', make))


@click.command()
@click.option('--to', required=True, metavar='QUEUE', help='The queue to move the jobs to.')
@click.option('--new-queue', is_flag=True, help='That queue has had no job yet.')
@click.option('--at-front', is_flag=True, help='Put them at the front of that queue.')
@changing_options(_NOT_STARTED, has_waiting=True)
def move(run: _Run, to: str, at_front: bool) -> None:
    """Move the jobs of a registry, or those that wait, to another queue: all, or by filters or ids.

    Failed jobs are requeued there, and jobs that wait are put at its end. Other jobs come into the registry of the same
    kind of that queue: a scheduled job is enqueued there at its time. After an interruption, the same command does the
    rest.
    """

    def make(registry: Any, ids: Any, how: dict[str, Any]) -> BulkResult:
        result: BulkResult = registry.move_many(ids, to, at_front, **how)
        return result

    if at_front and run.registry not in _PUT_ON_QUEUE:
        raise click.UsageError(
            f'--at-front is for jobs that failed or wait: those of the {run.registry} registry are not enqueued'
        )
    run.make(Change('move', 'move', 'moved', make, f' to {printable(to)}'))


@click.command()
@queue_options
@registry_option(['failed', 'finished', 'canceled'])
@filter_options
@click.option('--keep', type=Count(), help='How many jobs to keep in each queue.')
@click.option('--older-than', type=Moment(), metavar='TIME', help='Delete those before this time, like 30d.')
@_asking_options
def trim(
    server: Server,
    patterns: Sequence[str],
    chosen: bool,
    registry: str,
    filters: dict[str, Any],
    keep: int | None,
    older_than: datetime | None,
    **options: Any,
) -> None:
    """Delete the old jobs of a registry: all but the newest, or those that ended, or were canceled, before a time.

    With filters, only jobs that match are deleted, or counted for --keep. With --keep, expired entries of the registry
    are dropped before, as RQ's cleanup does.
    """
    _check_chosen(chosen)
    try:
        selected = filters_of_trim(REGISTRIES[registry], keep, older_than, filters)
    except ValueError as error:
        raise click.UsageError(str(error).replace('keep=', '--keep').replace('older_than=', '--older-than')) from error

    def choose() -> Selection:
        registries = registries_of(server, registry, server.queues(patterns))
        return Matching(registries, None, selected) if keep is None else AllButNewest(registries, filters, keep)

    def make(found: Any, ids: Any, how: dict[str, Any]) -> BulkResult:
        result: BulkResult = (
            found.purge(keep_newest=keep, **how, **filters)
            if keep is not None and options['export'] is None
            else found.remove_many(ids, delete_job=True, **how)
        )
        return result

    _Run(choose, registry, **options).make(Change('trim', 'delete', 'deleted', make))


@click.command()
@click.argument('queue', nargs=-1, required=True)
@_asking_options
def empty(server: Server, queue: Sequence[str], **options: Any) -> None:
    """Delete all jobs that wait in queues, as `rq empty` does, but without blocking the server.

    Only the jobs themselves are deleted, with their results. `rqreg delete --waiting` also takes them out of their
    groups, as this command does with --export, and takes filters. After an interruption, the same command does the
    rest.
    """

    def choose() -> Selection:
        return Matching(registries_of(server, WAITING, server.queues(queue)), None, {})

    def make(waiting: Any, ids: Any, how: dict[str, Any]) -> BulkResult:
        # No more than were counted; and none that were not exported, if workers have taken some since.
        result: BulkResult = (
            waiting.empty(limit=run.count_of(waiting.name), **how)
            if options['export'] is None
            else waiting.remove_many(ids, delete_job=True, **how)
        )
        return result

    run = _Run(choose, WAITING, **options)
    run.make(Change('empty', 'delete', 'deleted', make))


def _check_chosen(chosen: bool) -> None:
    if not chosen:
        raise click.UsageError('give --queue NAME, or --all-queues: this command changes jobs')


def _check_target(server: Server, patterns: Sequence[str], to: str, is_new: bool) -> None:
    """Raise click.UsageError if no jobs can be moved to this queue, or if it is probably mistyped."""
    if to in patterns:
        raise click.UsageError(f'--to {to}: the jobs of that queue are there already')
    if not to:
        raise click.UsageError('--to: give the name of a queue')
    if not is_new:
        try:
            with mistyped_queues():
                existing_queues(server.client, to)
        except click.UsageError as error:
            raise click.UsageError(
                f'--to: {error.message}. Give --new-queue for one that has had no job yet'
            ) from error


class _Run:
    """A change of the selected jobs: counted, asked for, made, and reported.

    Attributes:
        registry: The name of the registry that they are in.
    """

    def __init__(
        self,
        choose: Callable[[], Selection],
        registry: str,
        log: ChangeLog,
        yes: bool,
        dry_run: bool,
        fail_if_none: bool,
        rate: float | None,
        output: str,
        export: str | None,
    ) -> None:
        self.registry = registry
        self._choose = choose
        self._log = log
        self._yes = yes
        if export is not None:
            check_name('--export', export)
        self._dry_run = dry_run
        self._fail_if_none = fail_if_none
        # Of all queues together.
        self._pace = Pace.of(rate)
        self._output = output
        self._export = export
        self._results: dict[str, BulkResult] = {}
        self._errors: dict[str, Exception] = {}

    def make(self, change: Change) -> None:
        """Make the change, and end with its exit status."""
        self._change = change
        if not self._dry_run:
            self._log.open()
        self._selection = selection = self._choose()
        selection.count()
        for name, error in selection.errors.items():
            say(f'queue {name!r} was left out: {describe(error)}')
        if self._dry_run:
            self._report_dry_run()
        else:
            if selection.total:
                confirm(f'{change.verb} {self._described()}{change.where}?', self._yes)
            if self._export is not None:
                self._selection = selection = exported(selection, self._export)
            self._make_and_report()
        has_failed = selection.errors or self._errors or any(result.failed for result in self._results.values())
        if has_failed or self._log.is_incomplete:
            raise click.exceptions.Exit(statuses.INCOMPLETE)
        if self._fail_if_none and not selection.total:
            raise click.exceptions.Exit(statuses.INCOMPLETE)

    def count_of(self, queue: str) -> int:
        """Return how many jobs of a queue were counted."""
        return self._selection.counts[queue]

    def _described(self) -> str:
        return jobs_of(self._selection.counts)

    def _make_and_report(self) -> None:
        started = time.monotonic()
        try:
            with self._log.change(self._logged) if self._selection.total else nullcontext():
                self._make_on_queues()
        except BaseException:
            # Whatever ends it: what was done until then must be known.
            self._report(time.monotonic() - started, is_interrupted=True)
            raise
        self._report(time.monotonic() - started, is_interrupted=False)

    def _make_on_queues(self) -> None:
        if self._pace is not None:
            # What a job is when its turn comes must match.
            self._selection.read_at_once = max(1, min(self._selection.read_at_once, int(self._pace.rate)))
        with Progress(self._selection.total, 'jobs') as progress:
            for name, registry, ids in self._selection.chosen():
                # This remains if the call ends before the first job.
                self._results[name] = BulkResult()
                try:
                    self._results[name] = self._change.make(
                        registry, ids, {'progress': progress.add_part(), 'rate': self._pace}
                    )
                except BaseException as error:
                    until_then = getattr(error, 'result', None)
                    if isinstance(until_then, BulkResult):
                        self._results[name] = until_then
                    if not isinstance(error, Exception) or not concerns_one_queue(error):
                        raise
                    self._errors[name] = note_key(error, registry.key)

    def _logged(self) -> dict[str, Any]:
        return {
            'jobs': self._selection.total,
            'queues': {name: result.done for name, result in self._results.items()},
            'total': counts_of(sum(self._results.values(), BulkResult())),
            'errors': self._described_errors(),
        }

    def _described_errors(self) -> dict[str, str]:
        return {name: describe(error) for name, error in {**self._selection.errors, **self._errors}.items()}

    # ---- What is printed

    def _report_dry_run(self) -> None:
        selection = self._selection
        if self._output == 'json':
            self._print_json(queues=selection.counts)
            return
        would = f'would {self._change.verb} {self._described()}{self._change.where}'
        print_outcome([would, *self._not_selected()])

    def _report(self, seconds: float, is_interrupted: bool) -> None:
        total = sum(self._results.values(), BulkResult())
        if self._output == 'json':
            self._print_json(
                interrupted=is_interrupted,
                seconds=seconds,
                queues={name: result.to_dict() for name, result in self._results.items()},
                total=total.to_dict(),
            )
        else:
            ended = 'interrupted: ' if is_interrupted else ''
            jobs = f'{grouped(total.done)} of {self._described()}{self._change.where}'
            first = f'{ended}{self._change.done} {jobs} in {seconds:.1f} s'
            print_outcome([first, *not_done(total, self._change.done), *self._not_selected()])
        say_errors(total, self._errors)

    def _not_selected(self) -> list[str]:
        lines = [f'{counted(count, "job")} left out: {reason}' for reason, count in self._selection.left_out.items()]
        if self._selection.not_found:
            lines.append(f'{counted(self._selection.not_found, "id")} not found in the registry')
        return lines

    def _print_json(self, **values: Any) -> None:
        print_json(
            {
                'command': self._change.name,
                'dry_run': self._dry_run,
                'jobs': self._selection.total,
                'left_out': self._selection.left_out,
                'not_found': self._selection.not_found,
                'errors': self._described_errors(),
                **values,
            }
        )
