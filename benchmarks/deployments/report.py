"""What a run has found, as tables for people: in a terminal, and as Markdown."""

from __future__ import annotations

import os
import platform
from typing import Any

import redis
import rq

from benchmarks import markdown
from benchmarks.report import Rows, digits, ratio_cell, spread_of, table, time_cell

Found = dict[str, Any]


def conditions() -> str:
    """Return what the figures depend on."""
    load = ', '.join(f'{value:.1f}' for value in os.getloadavg())
    return (
        f'RQ {rq.VERSION}, redis-py {redis.__version__}, Python {platform.python_version()}, {platform.machine()}, '
        f'{os.cpu_count()} CPUs, load {load}'
    )


def _operations(found: Found) -> list[str]:
    return list(dict.fromkeys(name for of in found['deployments'].values() for name in of))


def ratio_rows(found: Found, with_spread: bool) -> Rows:
    """Return how many times as long RQ takes: deployments by operations."""
    names = _operations(found)
    rows = [['RQ / ours', *names]]
    for deployment, of in found['deployments'].items():
        spreads = [spread_of(of[name]['ratio']) if name in of else None for name in names]
        cells = [ratio_cell(s) if with_spread or s is None else digits(s.median) for s in spreads]
        rows.append([deployment, *cells])
    return rows


def time_rows(found: Found) -> Rows:
    """Return the times of both, for each deployment and operation."""
    rows = [['deployment', 'operation', 'RQ', 'ours', 'RQ / ours']]
    for deployment, of in found['deployments'].items():
        for name, sides in of.items():
            times = [time_cell(spread_of(sides[side])) for side in ('rq', 'ours')]
            rows.append([deployment, name, *times, ratio_cell(spread_of(sides['ratio']))])
    return rows


def text(found: Found) -> str:
    """Return all tables for a terminal."""
    return '\n\n'.join([found['conditions'], table(time_rows(found)), table(ratio_rows(found, with_spread=False))])


def summary(found: Found) -> str:
    """Return what docs/benchmarks.md says."""
    return f'{markdown.table(ratio_rows(found, with_spread=False))}\n\n{found["conditions"]}. Medians.'


def everything(found: Found) -> str:
    """Return all tables as Markdown."""
    tables = (ratio_rows(found, with_spread=True), time_rows(found))
    return '\n\n'.join(['# Where RQ really runs', f'{found["conditions"]}.', *map(markdown.table, tables)]) + '\n'
