"""Measure whole programs on plain RQ and on our registries, in turns, on one private Redis.

Times are medians of rounds with their quartiles; ratios are medians over the rounds of the ratio within a round.
`python -m benchmarks.programs --help` for the options.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import startup
from benchmarks.measuring import rotated
from benchmarks.programs import beside, profiling, report
from benchmarks.programs.measured import ALL, Place, Program, place_of
from benchmarks.programs.report import NAMES
from benchmarks.report import say, seconds_as_json
from compat import environments
from compat.clients import rq_command
from compat.clients.sides import SIDES, Population

BY_NAME = {side.name: side for side in SIDES}
QUICK_ROUNDS = 3
START_UP, START_ROUNDS = 'start-up', 31


def measure(program: Program, place: Place, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of both sides, round by round."""
    for side in SIDES:
        # Not counted: it compiles and fills caches.
        program.measured.seconds(place, side)
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in rotated(NAMES, number):
            seconds[name].append(program.measured.seconds(place, BY_NAME[name]))
    return seconds


def ratios(seconds: dict[str, list[float]]) -> list[float]:
    """Return how many times as long plain took as ours, round by round."""
    return [plain / ours for plain, ours in zip(*(seconds[name] for name in NAMES), strict=True)]


def as_json(program: Program, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Return everything about one program."""
    return {
        'program': program.name,
        'packages': program.client.PINS,
        'jobs': program.jobs,
        'sides': {name: seconds_as_json(values) for name, values in seconds.items()},
        'ratio': seconds_as_json(ratios(seconds)),
    }


def profile(program: Program, place: Place) -> dict[str, dict[str, float]]:
    """Return the share that each group of code has in the time of each side."""
    return {side.name: profiling.grouped(program.measured.looks(place, side)) for side in SIDES}


def heading(population: Population) -> str:
    """Return what the figures depend on."""
    info = population.server.client().info('server')
    load = ', '.join(f'{value:.1f}' for value in os.getloadavg())
    server = info.get('valkey_version') or info['redis_version']
    return (
        f'Python {platform.python_version()}, server {server}, {platform.machine()}, {os.cpu_count()} CPUs, load {load}'
    )


class Session:
    """One run: what was asked for, and what was found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.found: report.Found = {'conditions': [], 'programs': [], 'beside': [], 'start_up': {}}

    def run(self) -> None:
        """Measure the programs, those of one RQ release after those of another; print what was found."""
        texts = self.options.only
        wanted = [program for program in ALL if not texts or any(text in program.name for text in texts)]
        for release in dict.fromkeys(program.client.PINS[:2] for program in wanted):
            self._run_release([program for program in wanted if program.client.PINS[:2] == release])
        changes = [
            change
            for change in beside.CHANGES
            if not texts or any(text in f'{beside.TITLE}: {change.name}' for text in texts)
        ]
        if changes:
            self._run_beside(changes)
        if not texts or any(text in START_UP for text in texts):
            self._start_up()
        print(report.text(self.found))

    def _start_up(self) -> None:
        """Measure what every program pays, those without rq too."""
        say(START_UP)
        rounds = QUICK_ROUNDS if self.options.quick else START_ROUNDS
        environment = environments.make(f'client-{rq_command.NAME}', *rq_command.PINS)
        seconds_of = startup.import_seconds(rounds, str(environment.python))
        for name, seconds in startup.over_bare_python(seconds_of).items():
            self.found['start_up'][name] = seconds_as_json(seconds)

    def _run_beside(self, changes: list[beside.Change]) -> None:
        """Measure commands of rqreg beside those of RQ."""
        release = ', '.join(rq_command.PINS[:2])
        say(f'making a population by {release}')
        environment = environments.make(f'client-{rq_command.NAME}', *rq_command.PINS)
        with Population(environment) as population, TemporaryDirectory() as folder:
            population.copy()
            self.found['conditions'].append(f'{beside.TITLE}: {release}, {heading(population)}')
            bench = beside.Bench(population, environment, Path(folder))
            for change in changes:
                say(f'{beside.TITLE}: {change.name}')
                rounds = min(change.rounds, QUICK_ROUNDS) if self.options.quick else change.rounds
                self.found['beside'].append(bench.measure(change, rounds))

    def _run_release(self, programs: list[Program]) -> None:
        client = programs[0].client
        release = ', '.join(client.PINS[:2])
        say(f'making a population by {release}')
        with Population(environments.make(f'client-{client.NAME}', *client.PINS)) as population:
            population.copy()
            self.found['conditions'].append(f'{", ".join(p.name for p in programs)}: {release}, {heading(population)}')
            for program in programs:
                say(program.name)
                with place_of(program.client, population) as place:
                    self._run_program(program, place)

    def _run_program(self, program: Program, place: Place) -> None:
        seconds = measure(program, place, QUICK_ROUNDS if self.options.quick else program.rounds)
        found = as_json(program, seconds)
        self.found['programs'].append(found)
        limit = self.options.profile
        if limit is not None and found['ratio']['median'] < limit:
            say(f'{program.name}: where the time goes')
            found['shares'] = profile(program, place)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.programs', description=__doc__)
    parser.add_argument(
        '--only',
        action='append',
        metavar='TEXT',
        help=f'programs whose name has it in it, {beside.TITLE!r}, or {START_UP}',
    )
    parser.add_argument('--quick', action='store_true', help=f'{QUICK_ROUNDS} rounds')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything there, round by round')
    parser.add_argument(
        '--profile',
        nargs='?',
        type=float,
        const=math.inf,
        metavar='RATIO',
        help='tell where the time goes, for those that gain less than RATIO times (default: for all)',
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure what the arguments ask for, and return the exit status."""
    options = parse(arguments)
    # A timeout ends this process with SIGTERM, and the programs and the server with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    session = Session(options)
    try:
        session.run()
    except profiling.NoProfiler as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json is not None:
        options.json.write_text(json.dumps(session.found, indent=1), encoding='utf-8')
        say(f'wrote {options.json}')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
