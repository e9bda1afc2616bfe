"""Measure whole programs on plain RQ and on our registries, in turns, on one private Redis.

Times are medians of rounds with their quartiles; ratios are medians over the rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import rotated, spread
from benchmarks.programs.measured import ALL, Place, Program, place_of
from benchmarks.report import digits, ratio_cell, seconds_as_json, table, time_cell
from compat import environments
from compat.clients.sides import SIDES, Population

NAMES = [side.name for side in SIDES]
BY_NAME = {side.name: side for side in SIDES}
QUICK_ROUNDS = 3


def say(message: str) -> None:
    """Tell what is being done, apart from the results."""
    print(f'benchmarks: {message}', file=sys.stderr, flush=True)


def measure(program: Program, place: Place, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of both sides, round by round."""
    for side in SIDES:
        # Not counted: it compiles and fills caches.
        program.seconds(place, side)
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in rotated(NAMES, number):
            seconds[name].append(program.seconds(place, BY_NAME[name]))
    return seconds


def ratios(seconds: dict[str, list[float]]) -> list[float]:
    """Return how many times as long plain took as ours, round by round."""
    return [plain / ours for plain, ours in zip(*(seconds[name] for name in NAMES), strict=True)]


def row(program: Program, seconds: dict[str, list[float]]) -> list[str]:
    """Return the cells of one program."""
    spreads = [spread(seconds[name]) for name in NAMES]
    rates = [f'{digits(program.jobs / found.median)} jobs/s' if program.jobs else '' for found in spreads]
    times = [' '.join(filter(None, pair)) for pair in zip(map(time_cell, spreads), rates, strict=True)]
    return [program.name, *times, ratio_cell(spread(ratios(seconds)))]


def as_json(program: Program, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Return everything about one program."""
    return {
        'program': program.name,
        'packages': program.client.PINS,
        'sides': {name: seconds_as_json(values) for name, values in seconds.items()},
        'ratio': seconds_as_json(ratios(seconds)),
    }


def main() -> int:
    """Measure what the arguments ask for, and print the table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.programs', description=__doc__)
    parser.add_argument('--only', action='append', metavar='TEXT', help='programs whose name has it in it')
    parser.add_argument('--quick', action='store_true', help=f'{QUICK_ROUNDS} rounds')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything there, round by round')
    options = parser.parse_args()
    wanted = [program for program in ALL if not options.only or any(text in program.name for text in options.only)]
    rows, found = [['program', *NAMES, 'plain / accelerated']], []
    for release in dict.fromkeys(program.client.PINS[:2] for program in wanted):
        of_release = [program for program in wanted if program.client.PINS[:2] == release]
        first = of_release[0].client
        say(f'making a population by {", ".join(release)}')
        with Population(environments.make(f'client-{first.NAME}', *first.PINS)) as population:
            population.copy()
            for program in of_release:
                say(program.name)
                with place_of(program.client, population) as place:
                    seconds = measure(program, place, QUICK_ROUNDS if options.quick else program.rounds)
                rows.append(row(program, seconds))
                found.append(as_json(program, seconds))
    load = ', '.join(f'{value:.1f}' for value in os.getloadavg())
    print(f'Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs, load {load}\n')
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
