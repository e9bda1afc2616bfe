"""The table of README.md: what is faster, what is not, and why. Its figures are those of the runs that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .legs import OURS, RQ, TITLES
from .markdown import median_cell, table
from .report import NOTE, digits, heading, time_text
from .results import Results

START_UP = 'RQREG_EXT_INSTALL=1, rq never imported'


@dataclass(frozen=True)
class Row:
    """A workload of the calls, or a program; how the README names it, and why it takes what it takes."""

    name: str
    title: str
    why: str


CALLS = (
    Row('purge-100000', '`purge()`, 100 000 jobs', 'scripts of two milliseconds instead of a loop'),
    Row('requeue_all-100000', '`requeue_all()`, 100 000 jobs', 'the same'),
    Row('find-100000', '`find(description=…)`, 100 000 jobs', 'reads only the field that it needs'),
    Row('snapshot-100-queues', '`snapshot()`, 100 queues by name', 'one round trip'),
    Row('get_job_ids-1000000', '`get_job_ids()`, 1 000 000', 'hiredis builds the list'),
    Row('remove-delete_job', '`remove(delete_job=True)`', 'one script instead of a dozen commands'),
    Row('requeue', '`requeue()`', 'one script; RQ restores the job'),
    Row('count-10000', '`count`', 'one round trip with the cleanup'),
    Row('count-16-threads', '`count` by 16 threads', 'the GIL is free while they wait'),
)
PROGRAMS = (
    Row('clean_registries', '`clean_registries()`', 'one round trip'),
    Row('rq requeue --all, 10 000', '`rq requeue --all`, 10 000 jobs', 'its loop calls `requeue()`'),
    Row('rq-dashboard, front page', 'rq-dashboard, front page', 'its counts'),
    Row('rq info', '`rq info`', 'mostly imports'),
    Row('rq-dashboard, page of 200 000', 'rq-dashboard, page of jobs', "**not faster**: RQ's `Job.fetch`"),
    Row('rq worker --burst', '`rq worker --burst`', '**not faster**: the server, and a process per job'),
    Row('rqscheduler --burst, 1 000', '`rqscheduler --burst`', '**not faster**: it has a key of its own'),
)


def summary(results: Results, programs: Mapping[str, Any]) -> str:
    """Return the table, on what it was measured, and what RQREG_EXT_INSTALL=1 costs."""
    rows = [['', TITLES[RQ], TITLES[OURS], 'times', 'why'], *_rows_of_calls(results), *_rows_of_programs(programs)]
    parts = [table(rows), f'{heading(results.found["surroundings"])}. Medians. {NOTE}']
    if START_UP in programs['start_up']:
        seconds = time_text(programs['start_up'][START_UP]['median'])
        parts[-1] += f'\nA program that never imports rq starts {seconds} later with `RQREG_EXT_INSTALL=1` (CPU time).'
    return '\n\n'.join(parts)


def _rows_of_calls(results: Results) -> Iterator[list[str]]:
    for row in CALLS:
        call = results.call(row.name)
        if call:
            ratio = digits(call['ratios'][f'{RQ}/{OURS}']['median'])
            yield [row.title, median_cell(call, RQ), median_cell(call, OURS), ratio, row.why]


def _rows_of_programs(programs: Mapping[str, Any]) -> Iterator[list[str]]:
    found = {program['program']: program for program in programs['programs']}
    for row in PROGRAMS:
        program = found.get(row.name)
        if program:
            plain, accelerated = (time_text(program['sides'][name]['median']) for name in ('plain', 'accelerated'))
            yield [row.title, plain, accelerated, digits(program['ratio']['median']), row.why]
