"""What a run has found, as tables for people: in a terminal, and as Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks import markdown
from benchmarks.measuring import Spread
from benchmarks.programs import beside
from benchmarks.programs.profiling import GROUPS
from benchmarks.report import EMPTY, Rows, digits, ratio_cell, spread_of, table, time_cell, time_text
from compat.clients.sides import SIDES

NAMES = [side.name for side in SIDES]
RATIO = ' / '.join(NAMES)
START_UP_TITLE = 'CPU time over bare Python'
# What takes less on both sides is not told.
LEAST_SHARE = 0.005

Found = dict[str, Any]


def _rate(program: Found, seconds: Spread) -> str:
    return f'{digits(program["jobs"] / seconds.median)} jobs/s' if program['jobs'] else ''


def _row(program: Found, with_spread: bool) -> list[str]:
    spreads = [spread_of(program['sides'][name]) for name in NAMES]
    times = [time_cell(found) if with_spread else time_text(found.median) for found in spreads]
    rates = [_rate(program, found) for found in spreads]
    ratio = spread_of(program['ratio'])
    return [
        program['program'],
        *(', '.join(filter(None, pair)) for pair in zip(times, rates, strict=True)),
        ratio_cell(ratio) if with_spread else digits(ratio.median),
    ]


def programs_rows(found: Found, with_spread: bool = True) -> Rows:
    """Return the times of the programs, and what they gain."""
    return [['program', *NAMES, RATIO], *(_row(program, with_spread) for program in found['programs'])]


def start_up_rows(found: Found) -> Rows:
    """Return what every program pays at its start, those without rq too."""
    rows = [[name, time_cell(spread_of(seconds))] for name, seconds in found['start_up'].items()]
    return [[START_UP_TITLE, 'seconds'], *rows]


def _memory_text(count: int) -> str:
    return f'{count / 2**20:.0f} MiB'


def _beside_cells(found: Found | None) -> list[str]:
    """Return the time, the memory and the longest command of one side, which may have no such command."""
    if found is None:
        return [EMPTY] * 3
    seconds = time_text(spread_of(found['seconds']).median)
    failed = '' if found['statuses'] == [0] else f', exit status {max(found["statuses"])}'
    return [seconds + failed, _memory_text(found['memory']), time_text(found['longest'])]


def beside_rows(found: Found) -> Rows:
    """Return the commands of rqreg beside those of RQ; the longest command is the server's, which it holds."""
    titles = ['time', 'memory', 'longest command']
    rows = [[beside.TITLE, *(f'{name}: {title}' for title in titles for name in beside.NAMES), 'rq / rqreg']]
    for change in found['beside']:
        sides = [_beside_cells(change['sides'].get(name)) for name in beside.NAMES]
        ratio = digits(spread_of(change['ratio']).median) if 'ratio' in change else EMPTY
        rows.append([change['name'], *(cell for pair in zip(*sides, strict=True) for cell in pair), ratio])
    return rows


def profile_rows(program: Found) -> Rows:
    """Return the shares of the groups of code, and what they are of the median times."""
    rows = [[program['program'], *(cell for name in NAMES for cell in (name, 'share'))]]
    for group in GROUPS:
        shares = [program['shares'][name][group] for name in NAMES]
        if max(shares) >= LEAST_SHARE:
            medians = [spread_of(program['sides'][name]).median for name in NAMES]
            cells = [(time_text(share * median), f'{share:.0%}') for share, median in zip(shares, medians, strict=True)]
            rows.append([group, *(cell for pair in cells for cell in pair)])
    return rows


def _tables(found: Found) -> list[Rows]:
    tables = [programs_rows(found)] if found['programs'] else []
    tables += [beside_rows(found)] if found.get('beside') else []
    tables += [start_up_rows(found)] if found['start_up'] else []
    return tables + [profile_rows(program) for program in found['programs'] if 'shares' in program]


def text(found: Found) -> str:
    """Return all tables for a terminal."""
    conditions = ['\n'.join(found['conditions'])] if found['conditions'] else []
    return '\n\n'.join([*conditions, *map(table, _tables(found))])


def summary(found: Found) -> str:
    """Return what docs/benchmarks.md says: the programs, under which conditions, and what every program pays."""
    conditions = '\n'.join(f'- {condition}' for condition in found['conditions'])
    tables = [programs_rows(found, with_spread=False)]
    tables += [beside_rows(found)] if found.get('beside') else []
    tables += [start_up_rows(found)] if found['start_up'] else []
    return '\n\n'.join([markdown.table(tables[0]), conditions, *map(markdown.table, tables[1:])])


def everything(found: Found) -> str:
    """Return all tables as Markdown."""
    conditions = '\n'.join(f'- {condition}' for condition in found['conditions'])
    parts = ['# Whole programs, on plain RQ and accelerated', conditions, *map(markdown.table, _tables(found))]
    return '\n\n'.join(parts) + '\n'
