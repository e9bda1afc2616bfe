"""What is printed and written: tables for people, JSON for programs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .legs import BOUND, BY_HAND, BY_HAND_HIREDIS, NAMES, OURS, RQ, RQ_HIREDIS, TITLES
from .measuring import Measurement, Spread, spread
from .memory import Peak

RATIOS = ((RQ, OURS), (RQ_HIREDIS, OURS), (BY_HAND, OURS), (BY_HAND_HIREDIS, OURS), (OURS, BOUND))
SHORT = {**TITLES, OURS: 'ours', BOUND: 'bare'}
UNITS = ((1.0, 's'), (1e-3, 'ms'), (1e-6, 'µs'))
EMPTY = '-'
EXTRAPOLATED = '~'
NOTE = f'{EXTRAPOLATED} extrapolated from a sample: all of it would take too long.'

Rows = list[list[str]]


def say(message: str) -> None:
    """Tell what is being done, apart from the results."""
    print(f'benchmarks: {message}', file=sys.stderr, flush=True)


def digits(value: float) -> str:
    """Return three digits that count."""
    return f'{value:.0f}' if abs(value) >= 99.5 else f'{value:.1f}' if abs(value) >= 9.95 else f'{value:.2f}'


def unit_of(seconds: float) -> tuple[float, str]:
    """Return the unit that suits a time: its seconds, and its name."""
    return next((found for found in UNITS if abs(seconds) >= found[0]), UNITS[-1])


def time_text(seconds: float) -> str:
    """Return a time in its unit."""
    size, unit = unit_of(seconds)
    return f'{digits(seconds / size)} {unit}'


def time_cell(seconds: Spread) -> str:
    """Return a median and its quartiles in the unit of the median."""
    size, unit = unit_of(seconds.median)
    low, median, high = (digits(value / size) for value in (seconds.q1, seconds.median, seconds.q3))
    return f'{median} {unit} ({low}-{high})'


def rate_cell(seconds: Spread) -> str:
    """Return the same as calls in a second."""
    return f'{1 / seconds.median:.0f}/s ({1 / seconds.q3:.0f}-{1 / seconds.q1:.0f})'


def ratio_cell(ratio: Spread | None) -> str:
    """Return a ratio and its quartiles."""
    return EMPTY if ratio is None else f'{digits(ratio.median)} ({digits(ratio.q1)}-{digits(ratio.q3)})'


def share_cell(share: Spread) -> str:
    """Return a share of the time and its quartiles."""
    low, median, high = (f'{100 * value:.0f}' for value in (share.q1, share.median, share.q3))
    return f'{median}% ({low}-{high})'


def table(rows: Rows) -> str:
    """Return the rows, the first of them the titles, in columns; all but the first column to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        lines.append('  '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]))
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def spread_of(found: Mapping[str, Any]) -> Spread:
    """Return the median and the quartiles of what is written as JSON."""
    return Spread(found['q1'], found['median'], found['q3'])


def _call_cell(call: Mapping[str, Any], leg: str) -> str:
    found = call['legs'].get(leg)
    if found is None:
        return EMPTY
    mark = EXTRAPOLATED if found['sampled'] else ''
    return mark + (rate_cell if call['threads'] > 1 else time_cell)(spread_of(found))


def times_rows(calls: list[dict[str, Any]]) -> Rows:
    """Return medians (and quartiles) of the time per call, and our round trips."""
    titles = ['workload', *(TITLES[name] for name in NAMES), 'round trips']
    return [
        titles,
        *(
            [call['workload'], *(_call_cell(call, leg) for leg in NAMES), str(call['round_trips'] or EMPTY)]
            for call in calls
        ),
    ]


def ratios_rows(calls: list[dict[str, Any]]) -> Rows:
    """Return medians (and quartiles) of the ratios within a round."""

    def cell(call: Mapping[str, Any], leg: str, to: str) -> str:
        found = call['ratios'].get(f'{leg}/{to}')
        return ratio_cell(found and spread_of(found))

    titles = ['workload', *(f'{SHORT[leg]} / {SHORT[to]}' for leg, to in RATIOS)]
    return [titles, *([call['workload'], *(cell(call, *pair) for pair in RATIOS)] for call in calls)]


def shares_rows(found: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Return, by workload and leg, whose time a call is."""
    rows = [['one call', 'by', 'time', "caller's CPU", "server's CPU", 'caller waits', 'server works']]
    for name, by_leg in found.items():
        for leg, shares in by_leg.items():
            times = (time_cell(spread_of(shares[part])) for part in ('seconds', 'caller', 'server'))
            parts = (share_cell(spread_of(shares[part])) for part in ('waiting', 'serving'))
            rows.append([name, TITLES[leg], *times, *parts])
    return rows


def held_rows(found: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Return, by situation and operation, how long the server was held."""
    titles = [
        '',
        'operation',
        'takes',
        'slowest command',
        'PING, idle: median',
        'worst',
        'PING, meanwhile: median',
        'worst',
    ]
    rows = [titles]
    for situation, by_operation in found.items():
        for operation, held in by_operation.items():
            pings = (held[when][part] for when in ('idle', 'during') for part in ('median', 'worst'))
            slowest = f'{held["command"]} {time_text(held["worst_command"])}'
            rows.append([situation, operation, time_text(held['seconds']), slowest, *map(time_text, pings)])
    return rows


def cluster_rows(found: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Return, by operation, what RQ and ours take on a cluster, and ours by a plain client of the node."""
    rows = [['', 'RQ', 'rqreg_ext', 'by a client of the node', 'RQ / rqreg_ext', 'rqreg_ext / of the node']]
    for operation, times in found.items():
        ratios = (f'{times[name]:.3g}' for name in ('rq/rqreg_ext', 'rqreg_ext/on the node'))
        rows.append([operation, *map(time_text, times['seconds'].values()), *ratios])
    return rows


def seconds_table(title: str, seconds: dict[str, list[float]]) -> str:
    """Return one line per name."""
    return table([[title, 'seconds'], *([TITLES.get(name, name), time_cell(spread(s))] for name, s in seconds.items())])


def memory_table(title: str, peaks: dict[str, Peak]) -> str:
    """Return, for each leg, the peak above the start against what the result takes."""
    rows = [[f'peak memory, {title}', 'above the start', 'the result itself', 'beyond it']]
    for name, peak in peaks.items():
        sizes = (peak.above_start, peak.result, peak.above_start - peak.result)
        rows.append([TITLES[name], *(f'{size / 1e6:.1f} MB' for size in sizes)])
    return table(rows)


def surroundings(server: Any, versions: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return what the figures depend on: the machine, the interpreter and all versions."""
    info = server.client().info()
    version = info.get('valkey_version') or info['redis_version']
    return {
        'machine': platform.machine(),
        'system': platform.platform(),
        'cpu_count': os.cpu_count(),
        'load_average': os.getloadavg(),
        'python': platform.python_version(),
        # What makes and frees its keys is a part of what they cost.
        'server': f'{version} ({info["mem_allocator"]})',
        'versions': versions,
    }


def heading(found: dict[str, Any]) -> str:
    """Return the surroundings in a line."""
    packages = {**found['versions'][RQ], **found['versions'].get(RQ_HIREDIS, {})}
    named = ', '.join(
        f'{title} {packages[name]}'
        for name, title in (('rq', 'RQ'), ('redis', 'redis-py'), ('hiredis', 'hiredis-py'))
        if name in packages
    )
    machine = f'{found["machine"]}, {found["cpu_count"]} CPUs'
    return f'{named}, Redis {found["server"]}, CPython {found["python"]}; {machine}'


def calls_as_json(measurement: Measurement, kind: str, placed: str) -> dict[str, Any]:
    """Return everything about one workload on one kind of socket."""
    workload, recording = measurement.workload, measurement.recording
    ratios = {f'{leg}/{to}': measurement.ratio(leg, to) for leg, to in RATIOS}
    legs = {
        name: {**seconds_as_json(values), 'sampled': measurement.sampled(name)}
        for name, values in measurement.seconds.items()
    }
    return {
        'workload': workload.name,
        'operation': workload.operation,
        'axis': workload.axis and workload.axis.value,
        'size': workload.size,
        'entries': workload.population.entries,
        'queues': workload.population.queues,
        'threads': workload.threads,
        'socket': kind,
        'placement': placed,
        'answer': measurement.answer,
        'compared': measurement.compared,
        'round_trips': len(recording.exchanges),
        'bytes_sent': sum(len(exchange.request) for exchange in recording.exchanges),
        'bytes_received': sum(exchange.reply_length for exchange in recording.exchanges),
        'legs': legs,
        'ratios': {name: asdict(ratio) for name, ratio in ratios.items() if ratio is not None},
    }


def seconds_as_json(seconds: list[float]) -> dict[str, Any]:
    """Return the seconds per call of all rounds, and their spread."""
    return {**asdict(spread(seconds)), 'rounds': seconds}
