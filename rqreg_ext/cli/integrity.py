"""`rqreg fsck`: what is wrong in a Redis, and the repair of what has one safe answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import click

from .._all_queues.operations import check, repair
from .._fastpath.server_errors import describe
from .._fastpath.wording import hint
from .._integrity.problems import CheckReport, Problem, ProblemKind
from .._integrity.repair_report import RepairReport
from . import statuses
from .change_log import ChangeLog, log_options
from .filters import queue_options
from .output import counted, output_option, print_json, print_json_lines, printable
from .parameters import Count, Seconds
from .server import Server, server_options
from .terminal import Progress, confirm, grouped, say

_KINDS = [kind.value for kind in ProblemKind]


def _kinds_of(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> list[ProblemKind]:
    for name in value:
        if name not in _KINDS:
            raise click.BadParameter(
                f'{name!r} is not a kind of problem{hint(name, _KINDS)}: the kinds are {", ".join(_KINDS)}', ctx, param
            )
    return [ProblemKind(name) for name in value]


@click.command()
@queue_options
@click.option('--kind', 'kinds', multiple=True, callback=_kinds_of, help='Only problems of this kind; several times.')
@click.option('--limit', type=Count(), help='End after this number of problems.')
@click.option('--settle', type=Seconds(), default='1', show_default=True, help='How long a problem must stay the same.')
@click.option('--repair', 'repairs', is_flag=True, help='Repair what has one safe answer.')
@click.option('--dry-run', is_flag=True, help='With --repair: say what would be done, and change nothing.')
@click.option('-y', '--yes', is_flag=True, help='With --repair: do not ask. Needed where there is no terminal.')
@output_option('table', 'json', 'jsonl', 'ids')
@server_options
@log_options
def fsck(
    server: Server,
    log: ChangeLog,
    patterns: Sequence[str],
    chosen: bool,
    kinds: list[ProblemKind],
    limit: int | None,
    settle: float,
    repairs: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Check what RQ stores: a whole Redis, or some queues and their jobs.

    Nothing is changed without --repair, and no job is deleted with it. Workers may go on.
    """
    if repairs and not chosen:
        raise click.UsageError(
            'give --queue NAME, or --all-queues for the whole Redis: --repair changes what is stored'
        )
    if repairs and output not in ('table', 'json'):
        raise click.UsageError(f'--output {output}: with --repair, give table or json')
    if (dry_run or yes) and not repairs:
        raise click.UsageError('--dry-run and --yes are for --repair: without it, nothing is changed')
    if repairs and not dry_run:
        log.open()
    queues = server.queues(patterns) if patterns else None
    job_options = server.job_options
    try:
        with Progress(None, 'entries and jobs') as progress:
            report = check(
                server.client,
                queues,
                job_class=job_options['job_class'],
                settle=settle,
                limit=limit,
                progress=progress.add_part(),
            )
    except NotImplementedError as unknown:
        raise click.UsageError(str(unknown)) from unknown
    if kinds:
        report = report.of(*kinds)
    for name, error in report.errors.items():
        say(f'{printable(name)} was left out: {describe(error)}')
    if repairs:
        _repair(server, log, report, queues, dry_run, yes, output)
        return
    _print(report, output)
    if report or report.errors:
        raise click.exceptions.Exit(statuses.INCOMPLETE)


def _repair(
    server: Server,
    log: ChangeLog,
    report: CheckReport,
    queues: list[str] | None,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    can_be = sum(problem.repair is not None for problem in report)
    if output == 'table':
        print(_headline(report))
    result = RepairReport(dry_run)
    if report:
        if not dry_run and can_be:
            confirm(f'repair {grouped(can_be)} of {counted(len(report), "problem")}?', yes)
        try:
            with (
                log.change(lambda: _logged(report, result)) if can_be else nullcontext(),
                Progress(len(report), 'problems') as progress,
            ):
                try:
                    result = repair(
                        server.client,
                        report,
                        queues,
                        dry_run=dry_run,
                        **server.job_options,
                        progress=progress.add_part(),
                    )
                except BaseException as error:
                    until_then = getattr(error, 'result', None)
                    result = until_then if isinstance(until_then, RepairReport) else result
                    raise
        except BaseException:
            _print_repair(report, result, output)
            raise
    _print_repair(report, result, output)
    if result.left or result.failed or result.errors or report.errors or log.is_incomplete:
        raise click.exceptions.Exit(statuses.INCOMPLETE)


def _logged(report: CheckReport, result: RepairReport) -> dict[str, Any]:
    by_kind = {kind.value: count for kind, count in result.repaired.items()}
    return {
        'problems': len(report),
        'repaired': by_kind,
        'total': {'done': sum(by_kind.values()), 'left': len(result.left), 'failed': len(result.failed)},
        'errors': {name: describe(error) for name, error in result.errors.items()},
    }


def _print(report: CheckReport, output: str) -> None:
    if output == 'json':
        print_json(report.to_dict())
    elif output == 'jsonl':
        print_json_lines(problem.to_dict() for problem in report)
    elif output == 'ids':
        for job_id in dict.fromkeys(problem.job_id for problem in report if problem.job_id is not None):
            print(job_id)
    else:
        print(_headline(report))
        for problem in report:
            print('\n'.join(map(printable, _lines(problem))))
    sys.stdout.flush()


def _headline(report: CheckReport) -> str:
    kinds = ', '.join(f'{grouped(count)} {kind.value}' for kind, count in report.counts.items())
    checked = f'{counted(report.jobs, "job")} and {counted(report.entries, "entry")} in {report.seconds:.1f} s'
    stopped = ', then stopped' if report.stopped else ''
    return f'{counted(len(report), "problem")} in {checked}{stopped}{f": {kinds}" if kinds else ""}'


def _lines(problem: Problem) -> Iterator[str]:
    job = f' of job {problem.job_id}' if problem.job_id is not None else ''
    yield f'{problem.kind.value} in {problem.key}{job}'
    yield f'  {problem.detail}'
    if problem.repair is not None:
        yield f'  --repair: {problem.repair}'
    elif problem.repaired_by_rq:
        yield "  RQ's own cleanup repairs it"


def _print_repair(report: CheckReport, result: RepairReport, output: str) -> None:
    if output == 'json':
        print_json({'check': report.to_dict(), 'repair': result.to_dict()})
        return
    if report:
        print(printable_lines(str(result)), flush=True)


def printable_lines(text: Any) -> str:
    """Return a text of several lines without what would move the cursor."""
    return '\n'.join(map(printable, str(text).splitlines()))
