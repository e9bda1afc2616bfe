"""`rqreg export` and `rqreg restore`: jobs in a file, and back in a Redis."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, cast

import click

from .._all_queues.export import export as export_jobs
from .._all_queues.export import restore as restore_jobs
from .._all_queues.operations import BulkResults
from .._bulk.call import BulkCall
from .._bulk.result import BulkResult
from .._export.exporting import Export
from .._export.files import InputFile
from .._export.lines import DamagedFileError, check_header, read_line
from .._export.reading import QUEUED
from .._fastpath.rq_keys import REGISTRIES, REGISTRY_NAMES
from .._fastpath.server_errors import describe
from . import statuses
from .change_log import ChangeLog, counts_of, log_options
from .filters import check_scores, fail_if_none_option, filter_options, is_given, queue_options
from .output import counted, output_option, print_json, print_outcome, printable
from .parameters import Count
from .results import jobs_of, not_done, say_errors
from .selecting import Selection, Spooled, given_ids, ids_from_option
from .server import Server, mistyped_queues, server_options
from .terminal import Progress, confirm, say

_ALL = 'all'
_CHUNK = 1000


def _registries_of(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> list[str]:
    if _ALL in value:
        return list(REGISTRIES)
    for name in value:
        if name not in REGISTRIES:
            raise click.BadParameter(f'the installed RQ has no {name} registry', ctx, param)
    return list(dict.fromkeys(value))


@click.command()
@click.argument('file', metavar='FILE|-')
@queue_options
@click.option(
    '--registry',
    'registries',
    type=click.Choice([*REGISTRY_NAMES, _ALL]),
    multiple=True,
    default=('failed',),
    show_default=True,
    callback=_registries_of,
    help='The registry with the jobs; several times, or all.',
)
@click.option('--waiting', is_flag=True, help='The jobs that wait in the queues, too, or instead of --registry.')
@filter_options
@ids_from_option
@click.option('--limit', type=Count(), help='The most jobs to write.')
@fail_if_none_option
@output_option('table', 'json')
@server_options
def export(
    server: Server,
    file: str,
    patterns: Sequence[str],
    chosen: bool,
    registries: list[str],
    waiting: bool,
    filters: dict[str, Any],
    ids_from: BinaryIO | None,
    limit: int | None,
    fail_if_none: bool,
    output: str,
) -> None:
    """Write the jobs that match all filters, or those with given ids, into FILE, for `rqreg restore`; - is stdout.

    FILE must not exist, and is compressed if its name ends with .gz. Nothing in Redis is changed.
    """
    _check_file(file)
    if waiting:
        check_scores(filters)
        registries = [QUEUED, *(registries if is_given('registries') else [])]
    ids = None if ids_from is None else given_ids(ids_from, filters)
    report = _Report('export', 'exported', f'into {printable(file)}', output, to_stderr=file == '-')

    def make() -> BulkResults:
        with mistyped_queues(), Progress(None, 'jobs') as progress:
            return export_jobs(
                server.client,
                sys.stdout.buffer if file == '-' else file,
                cast('Any', registries),
                server.named(patterns)
                if not server.has_own_jobs
                else [server.queue(name) for name in server.queues(patterns)],
                ids=ids,
                progress=_report_of(progress),
                limit=limit,
                **filters,
            )

    results = report.of(make, file=file, given=None if ids is None or limit is not None else len(ids))
    if results.errors or results.total.failed or (fail_if_none and not results.total.done):
        raise click.exceptions.Exit(statuses.INCOMPLETE)


@click.command()
@click.argument('file', metavar='FILE|-')
@click.option('--to-queue', metavar='NAME', help='Put all jobs into this queue, in the place of their own.')
@click.option('--skip-existing', is_flag=True, help='Pass over jobs that exist. Without it they count as failed.')
@click.option('--dry-run', is_flag=True, help='Say how many jobs it would be, and change nothing.')
@click.option('-y', '--yes', is_flag=True, help='Do not ask. Needed where there is no terminal.')
@fail_if_none_option
@output_option('table', 'json')
@server_options
@log_options
def restore(
    server: Server,
    log: ChangeLog,
    file: str,
    to_queue: str | None,
    skip_existing: bool,
    dry_run: bool,
    yes: bool,
    fail_if_none: bool,
    output: str,
) -> None:
    """Put the jobs of FILE, which `rqreg export` wrote, into the registries that they were in; - is stdin.

    A job that exists is left as it is. After an interruption, the same command with --skip-existing does the rest.
    """
    _check_file(file)
    if to_queue == '':
        raise click.UsageError('--to-queue: give the name of a queue')
    if not dry_run:
        if file == '-' and not yes:
            say('not confirmed: the jobs come from stdin, so that there is no terminal to ask on: give --yes')
            raise click.exceptions.Exit(statuses.NOT_CONFIRMED)
        if not yes:
            confirm(f'restore {_described(file, to_queue)}?', yes)
        log.open()
    done = 'would restore' if dry_run else 'restored'
    report = _Report('restore', done, f'from {printable(file)}', output)

    call = _Restoration(
        server.client,
        file,
        to_queue=to_queue,
        skip_existing=skip_existing,
        job_class=server.job_options['job_class'] if server.job_class else None,
        dry_run=dry_run,
    )
    with log.change(call.logged):
        results = report.of(call.make, file=file, dry_run=dry_run)
    if log.is_incomplete:
        raise click.exceptions.Exit(statuses.INCOMPLETE)
    if results.errors or results.total.failed or (fail_if_none and not results.total.total):
        raise click.exceptions.Exit(statuses.INCOMPLETE)


class _Restoration:
    """A call of restore(), and what the log says of it, however it ends."""

    def __init__(self, client: Any, file: str, **options: Any) -> None:
        self._client = client
        self._file = sys.stdin.buffer if file == '-' else file
        self._options = options
        self._results = BulkResults()

    def make(self) -> BulkResults:
        """Make the call."""
        try:
            with Progress(None, 'jobs') as progress:
                self._results = restore_jobs(self._client, self._file, progress=_report_of(progress), **self._options)
        except BaseException as error:
            until_then = getattr(error, 'result', None)
            if isinstance(until_then, BulkResults):
                self._results = until_then
            raise
        return self._results

    def logged(self) -> dict[str, Any]:
        """Return what was restored, for the log."""
        total = self._results.total
        return {
            'jobs': total.total,
            'queues': {name: result.done for name, result in self._results.items()},
            'total': counts_of(total),
            'errors': {},
        }


def _check_file(file: str) -> None:
    if not file:
        raise click.UsageError('FILE: give the name of a file, or -')


def _report_of(progress: Progress) -> Callable[[int, Any], None]:
    """Return a function for progress, whose total may be unknown."""
    report = progress.add_part()
    return lambda done, total: report(done, done if total is None else total)


def _described(file: str, to_queue: str | None) -> str:
    """Return what the file says of itself at its end."""
    try:
        source = InputFile(file)
        try:
            check_header(source.first_line())
            values = read_line(source.last_line())
        finally:
            source.close()
    except DamagedFileError:
        values = {}
    except OSError as error:
        say(_words_of(error))
        raise click.exceptions.Exit(statuses.INCOMPLETE) from error
    where = '' if to_queue is None else f' into the queue {printable(to_queue)}'
    queues = values.get('queues') if isinstance(values, dict) else None
    if not isinstance(queues, dict) or not all(type(count) is int for count in queues.values()):
        return f'the jobs of {printable(file)}, which is damaged or cut off{where and ","}{where}'
    return f'{jobs_of(queues)}{where}'


def exported(selection: Selection, file: str) -> Selection:
    """Write the jobs of a selection into a file, and return the jobs that were written or are gone.

    If that fails, the command ends, and nothing is changed.
    """
    spooled = Spooled(selection)
    failed: list[tuple[str, Exception]] = []
    try:
        with Progress(selection.total, 'jobs exported') as progress, Export(file, _CHUNK) as export:
            for name, registry, ids in selection.chosen():
                with BulkCall(progress.add_part()) as call:
                    export.add_ids(registry, spooled.spool(name, ids), call, are_there=True)
                failed += call.result.failed
            if failed:
                job_id, error = failed[0]
                raise _NotExported(f'{counted(len(failed), "job")} not exported, {job_id!r}: {describe(error)}')
    except (_NotExported, OSError, NotImplementedError) as error:
        if statuses.is_of_server(error):
            raise
        say(f'nothing was changed: {_words_of(error)}')
        raise click.exceptions.Exit(statuses.INCOMPLETE) from error
    return spooled


class _NotExported(Exception):
    """Some jobs could not be written."""


def _words_of(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f'{error.filename}: {error.strerror}' if error.filename else str(error)
    return str(error)


class _Report:
    """Makes a call, and prints its result, also that of one that is interrupted."""

    def __init__(self, command: str, done: str, where: str, output: str, to_stderr: bool = False) -> None:
        self._command = command
        self._done = done
        self._where = where
        self._output = output
        self._stream = sys.stderr if to_stderr else sys.stdout

    def of(self, make: Callable[[], BulkResults], given: int | None = None, **values: Any) -> BulkResults:
        """Make the call, and print its result. given: how many ids were given, if all of them were looked for."""
        self._given = given
        started = time.monotonic()
        try:
            results = make()
        except BrokenPipeError:
            raise
        except BaseException as error:
            until_then = getattr(error, 'result', None)
            if isinstance(until_then, BulkResults):
                self._print(until_then, time.monotonic() - started, values)
            if isinstance(error, NotImplementedError):
                raise click.UsageError(str(error)) from error
            if isinstance(error, (DamagedFileError, OSError)) and not statuses.is_of_server(error):
                say(_words_of(error))
                raise click.exceptions.Exit(statuses.INCOMPLETE) from error
            raise
        self._print(results, time.monotonic() - started, values)
        return results

    def _print(self, results: BulkResults, seconds: float, values: Mapping[str, Any]) -> None:
        total = results.total
        if self._output == 'json' and self._stream is sys.stdout:
            print_json(
                {
                    'command': self._command,
                    **values,
                    'jobs': total.total,
                    **({} if self._given is None else {'not_found': self._not_found(results)}),
                    'interrupted': results.interrupted,
                    'seconds': seconds,
                    'queues': {name: result.to_dict() for name, result in results.items()},
                    'total': total.to_dict(),
                    'errors': {name: describe(error) for name, error in results.errors.items()},
                }
            )
        else:
            lines = self._lines(results, total, seconds)
            if self._stream is sys.stdout:
                print_outcome(lines)
            else:
                print('\n'.join(lines), file=self._stream, flush=True)
        say_errors(total, results.errors)

    def _lines(self, results: BulkResults, total: BulkResult, seconds: float) -> list[str]:
        if results.interrupted and self._command == 'export':
            return [
                f'interrupted: no jobs {self._where}' if self._stream is sys.stdout else 'interrupted before the end'
            ]
        jobs = jobs_of({name: result.done for name, result in results.items()})
        ended = 'interrupted: ' if results.interrupted else ''
        not_found = self._not_found(results)
        return [
            f'{ended}{self._done} {jobs} {self._where} in {seconds:.1f} s',
            *not_done(total, self._done),
            *([f'{counted(not_found, "id")} not found'] if not_found else []),
        ]

    def _not_found(self, results: BulkResults) -> int:
        # Queues that cannot be read were not searched.
        return 0 if self._given is None or results.errors else max(self._given - results.total.total, 0)
