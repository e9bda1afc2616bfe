"""The figures of a run as Markdown: what docs/benchmarks.md and RESULTS.md say of it."""

from __future__ import annotations

from typing import Any

from . import targets
from .cpu_placement import APART, FREE, TOGETHER
from .cpu_placement import TITLES as PLACEMENTS
from .legs import BY_HAND_HIREDIS, OURS, RQ, RQ_HIREDIS, TITLES
from .report import (
    EMPTY,
    EXTRAPOLATED,
    NOTE,
    SHORT,
    Rows,
    cluster_rows,
    digits,
    heading,
    held_rows,
    ratios_rows,
    shares_rows,
    time_text,
    times_rows,
)
from .results import TCP, Results

SOCKETS = {TCP: 'Loopback TCP', 'unix': 'Unix socket'}
BY_SERVER = (
    '"By the server alone" is the figure of a call that takes no longer than the server works for it. Where that '
    'misses the target too, only cheaper commands and scripts could reach it.'
)
# What the site shows, by the names of the workloads.
CHOSEN = {
    'count-10000': '`count`',
    'in-10000': '`job_id in registry`',
    'in-started-running-10000': '`job_id in started`, 10 000 running',
    'get_job_ids-1000000': '`get_job_ids()`, 1 000 000',
    'remove-delete_job': '`remove(delete_job=True)`',
    'requeue': '`requeue()`',
    'contains_many-10000': '`contains_many()`, 1 000 ids',
    'get_page-1000000': '`get_page()`, of 1 000 000',
    'iter_job_ids-1000000': '`iter_job_ids()`, 1 000 000',
    'find-100000': '`find(description=…)`, 100 000',
    'purge-100000': '`purge()`, 100 000 jobs',
    'requeue_all-100000': '`requeue_all()`, 100 000 jobs',
    'cancel_many-10000': '`cancel_many()`, 10 000 jobs',
    'snapshot-100-queues': '`snapshot()`, 100 queues',
    'batch-count-100-queues': '`batch()`, 100 counts',
    'count-16-threads': '`count` by 16 threads',
}
PLOTS = (
    '![How cost grows with the entries of a registry](../benchmarks/plots/entries.svg)',
    '![How cost grows with queues, and calls in a second with threads](../benchmarks/plots/queues-and-threads.svg)',
)
CHOSEN_LEGS = (RQ, RQ_HIREDIS, BY_HAND_HIREDIS, OURS)
CHOSEN_RATIOS = ((RQ, OURS), (BY_HAND_HIREDIS, OURS))


def table(rows: Rows) -> str:
    """Return a table whose first row are the titles."""
    first, *others = ([cell if cell != EMPTY else '' for cell in row] for row in rows)
    return '\n'.join(f'| {" | ".join(row)} |' for row in (first, ['---'] * len(first), *others))


def median_cell(call: dict[str, Any], leg: str) -> str:
    """Return a time or a rate without its spread."""
    found = call['legs'].get(leg)
    if found is None:
        return EMPTY
    mark = EXTRAPOLATED if found['sampled'] else ''
    if call['threads'] > 1:
        return f'{mark}{1 / found["median"]:,.0f}/s'.replace(',', ' ')
    return mark + time_text(found['median'])


def _ratio(call: dict[str, Any], leg: str, to: str) -> str:
    found = call['ratios'].get(f'{leg}/{to}')
    return digits(found['median']) if found else EMPTY


def summary(results: Results) -> str:
    """Return the table of docs/benchmarks.md, with what it depends on, and what is paid once a process."""
    rows = [['', *(TITLES[leg] for leg in CHOSEN_LEGS), *(f'{SHORT[leg]} / {SHORT[to]}' for leg, to in CHOSEN_RATIOS)]]
    for name, title in CHOSEN.items():
        call = results.call(name)
        if call:
            times = (median_cell(call, leg) for leg in CHOSEN_LEGS)
            rows.append([title, *times, *(_ratio(call, *pair) for pair in CHOSEN_RATIOS)])
    surroundings = f'{SOCKETS[TCP]}, {PLACEMENTS[APART]}; {heading(results.found["surroundings"])}. Medians:'
    return '\n\n'.join([surroundings, table(rows), NOTE, *once(results), *PLOTS])


def once(results: Results) -> list[str]:
    """Return what is paid once a process, and the memory of a long listing, in sentences."""
    told = []
    imports, first, memory = (results.found.get(name) for name in ('import', 'first_call', 'memory'))
    if imports:
        seconds = time_text(imports['import rqreg_ext']['median'])
        told.append(f'`import rqreg_ext` takes {seconds} and imports neither rq nor redis.')
    if first:
        ours, rq = (time_text(first[leg]['median']) for leg in (OURS, RQ))
        told.append(f'The first call on a client takes {ours}, by RQ {rq}.')
    if memory:
        ours, rq, listed = (
            f'{memory[leg][part] / 1e6:.0f} MB'
            for leg, part in ((OURS, 'above_start'), (RQ, 'above_start'), (OURS, 'result'))
        )
        told.append(f'`{memory["workload"]}` needs {ours} at its peak, by RQ {rq}; the list itself takes {listed}.')
    return ['\n'.join(told)] if told else []


def everything(results: Results) -> str:
    """Return all tables."""
    parts = ['# Results', f'Of one run of `make bench`: {heading(results.found["surroundings"])}.', NOTE]
    parts += ['## Targets', BY_SERVER, table(targets.rows(results))]
    if 'shares' in results.found:
        parts += ['## Whose time it is', table(shares_rows(results.found['shares']))]
    if 'holding' in results.found:
        parts += ['## How long the server is held', table(held_rows(results.found['holding']))]
    if 'cluster' in results.found:
        parts += ['## On a Redis Cluster', table(cluster_rows(results.found['cluster']))]
    for placed in (APART, TOGETHER, FREE):
        for socket, title in SOCKETS.items():
            calls = list(results.calls(socket, placed))
            if calls:
                parts += [f'## {title}, {PLACEMENTS[placed]}']
                parts += ['Time per call, median (quartiles):', table(times_rows(calls))]
                parts += ['How many times as long:', table(ratios_rows(calls))]
    return '\n\n'.join(parts) + '\n'
