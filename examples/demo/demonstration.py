"""`make demo`: the answers and times of RQ and rqreg_ext on real jobs; then the calls that RQ does not have.

The exit status is 1 if any two answers differ, or one of those calls does not work as expected.
"""

from __future__ import annotations

import argparse
import platform
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial

import redis
import rq

from . import documented, interruption, table
from .bulk_operations import show_bulk_operations
from .comparison import Question, Row, Side, Subject, compare
from .many_failed_jobs import FailedJobs
from .questions import CHANGES, questions_for, registries
from .stage import Stage
from .world import JOB_IDS, job_of, populate

ROUNDS = 25
ROUNDS_OF_MANY = 7
PARTS = ('comparison', 'bulk')
# Each question about the large registry needs some jobs of its own.
FEWEST_JOBS = 200


def say(message: str = '') -> None:
    """Print a message at once, also into a pipe."""
    print(message, flush=True)


def run_documented_scripts() -> Iterator[Row]:
    """Run each documented script with both imports, and yield the outputs as a row."""
    say("Scripts of RQ's documentation, each with RQ's imports and with rqreg_ext's:")
    for script in documented.SCRIPTS:
        say(f'Running the documented script "{script.name}" ...')
        theirs = documented.run(script, documented.with_rq_imports(script.source))
        ours = documented.run(script, script.source)
        row = Row(script.name, script.file, (theirs.output, ours.output), (theirs.keys, ours.keys), (0.0, 0.0))
        for line in ours.output.splitlines():
            say(f'    {line}')
        say(f'  {len(ours.keys)} keys left in Redis; output and keys: {verdict(row)}')
        yield row


def verdict(row: Row) -> str:
    """Return whether both sides agree, and both outputs if they do not."""
    if row.agrees:
        return 'the same with both'
    return f'DIFFERENT\nRQ: {row.answers[0]}\n{row.left[0]}\nrqreg_ext: {row.answers[1]}\n{row.left[1]}'


def compare_every_registry(stage: Stage, sides: Sequence[Side]) -> Iterator[Row]:
    """Ask every registry of the installed RQ its questions."""
    for name in registries():
        subjects = [Subject(side.registry(name), side.queue, job_of(stage, name)) for side in sides]
        for question in questions_for(name):
            yield compare(question, [(subjects[0], subjects[1])] * ROUNDS)


def compare_many(stage: Stage, sides: Sequence[Side], jobs: FailedJobs) -> Iterator[Row]:
    """Ask the large FailedJobRegistry the same questions, then remove, delete and requeue jobs on both sides."""
    registry = 'FailedJobRegistry'
    asked = partial(_subjects, sides, registry)
    for question in questions_for(registry):
        yield compare(question, [asked(*jobs.take(1) * 2)] * ROUNDS_OF_MANY)
    for call, change in CHANGES:
        pairs = [asked(*jobs.take(2)) for _ in range(ROUNDS)]
        yield compare(Question(registry, call, change, jobs.left), pairs)


def _subjects(sides: Sequence[Side], registry: str, *jobs: rq.job.Job) -> tuple[Subject, Subject]:
    theirs, ours = (Subject(side.registry(registry), side.queue, job) for side, job in zip(sides, jobs, strict=True))
    return theirs, ours


def show(rows: list[Row]) -> None:
    """Print the rows as a table."""
    say()
    for line in table.lines(rows):
        say(line)
    say()


def demonstrate(number: int, with_scripts: bool) -> list[Row]:
    """Run the demo with that many failed jobs, and return every row."""
    scripts = list(run_documented_scripts()) if with_scripts else []
    say('Starting a private Redis, a local web page and an RQ worker ...')
    with Stage() as stage:
        version = stage.connection.info('server')['redis_version']
        say(f'  Redis {version}, RQ {rq.VERSION}, redis-py {redis.__version__}, Python {platform.python_version()}')
        for step in populate(stage):
            say(f'  {step} ...')
        sides = [Side(package, stage.connection) for package in ('rq', 'rqreg_ext')]
        say(f'Asking every registry, {ROUNDS} times each side in turn; times are medians ...')
        rows = list(compare_every_registry(stage, sides))
        show(rows)
        say(f'Writing {number:,} failed jobs, copies of one that failed in the worker ...')
        jobs = FailedJobs(stage.connection, JOB_IDS['FailedJobRegistry'])
        jobs.add(number)
        say('Asking their registry; what the calls leave in Redis is compared as well ...')
        many = list(compare_many(stage, sides, jobs))
        show(many)
    return scripts + rows + many


def demonstrate_bulk_operations(number: int) -> bool:
    """Show the calls that RQ does not have, on that many failed jobs; return whether they worked as expected."""
    say('Starting a private Redis, a local web page and an RQ worker ...')
    with Stage() as stage:
        return show_bulk_operations(stage, number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 if all agree, 1 if not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog='make demo', description=__doc__)
    parser.add_argument('--failed-jobs', '--jobs', type=int, default=100_000, help='size of the large registry')
    parser.add_argument('--only', choices=PARTS, help='one part of the demo')
    parser.add_argument('--no-scripts', action='store_true', help='leave out the documented scripts')
    options = parser.parse_args(arguments)
    if options.failed_jobs < FEWEST_JOBS:
        parser.error(f'--failed-jobs {options.failed_jobs}: give at least {FEWEST_JOBS}')
    parts = PARTS if options.only is None else (options.only,)
    try:
        return _run(parts, options.failed_jobs, not options.no_scripts)
    except BaseException:
        # Ctrl-C also ends the Redis server. The error that follows from that is not a failure of the demo.
        if not interruption.is_requested():
            raise
        say('\nInterrupted. Redis, worker and page are gone.')
        return 130


def _run(parts: Sequence[str], number: int, with_scripts: bool) -> int:
    """Run parts of the demo, up to one that fails; return the exit status."""
    if 'comparison' in parts:
        rows = demonstrate(number, with_scripts)
        differing = [row for row in rows if not row.agrees]
        if differing:
            calls = ', '.join(row.call for row in differing)
            say(textwrap.fill(f'{len(differing)} of {len(rows)} comparisons DIFFER: {calls}', table.terminal_width()))
            return 1
        say(f'All {len(rows)} comparisons agree.')
    if 'bulk' in parts:
        if not demonstrate_bulk_operations(number):
            say('Some calls on many jobs did not work as expected: see WRONG in the table.')
            return 1
        say('All calls on many jobs worked as expected.')
    return 0
