"""Measure RQ, RQ with hiredis-py, rqreg_ext and a bare round trip side by side, on a private Redis.

Times are medians of rounds with their quartiles; ratios are medians over the rounds of the ratio within a
round, and are what can be compared between machines. `python -m benchmarks --help` for the options.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import placement, report, startup
from .child import ROOT, LegError, RemoteLeg
from .legs import BOUND, NAMES, OURS, RQ, RQ_HIREDIS, Server
from .measuring import DifferentAnswers, Measurement, Pace, Run
from .workloads import ALL, BY_NAME, Workload

sys.path.insert(0, str(ROOT / 'tools'))

from private_redis import PrivateRedis

IMPORT, FIRST_CALL, MEMORY = 'import', 'first-call', 'memory'
APART = (IMPORT, FIRST_CALL, MEMORY)

FULL = Pace(rounds=30, round_seconds=0.005)
QUICK = Pace(rounds=5, round_seconds=0.002)
FRESH_PROCESSES = {FULL: 15, QUICK: 3}
LISTING = {FULL: 'get_job_ids-1000000', QUICK: 'get_job_ids-100000'}


def say(message: str) -> None:
    """Tell what is being done, apart from the results."""
    print(f'benchmarks: {message}', file=sys.stderr, flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    names = [*BY_NAME, *APART]
    parser.add_argument('--socket', choices=('tcp', 'unix', 'both'), default='both', help='default: both')
    parser.add_argument(
        '--placement',
        choices=(placement.APART, placement.TOGETHER, placement.FREE, 'both'),
        help='server and caller on different CPUs, on the same one, or not bound; default: both, with --quick apart',
    )
    parser.add_argument('--quick', action='store_true', help='few and short rounds, no workload of a million ids')
    parser.add_argument(
        '--only', action='append', choices=names, metavar='NAME', help=f'may be repeated; one of {", ".join(names)}'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything there, round by round')
    parser.add_argument(
        '--hiredis-folder', metavar='FOLDER', help='where hiredis-py is installed, if not where everything else is'
    )
    return parser.parse_args(arguments)


class Session:
    """One run of the program: its server, its legs, and what is found."""

    def __init__(self, options: argparse.Namespace, server: PrivateRedis) -> None:
        self.options = options
        self.server = server
        self.pace = QUICK if options.quick else FULL
        self.results: dict[str, Any] = {'quick': options.quick, 'pace': asdict(self.pace), 'calls': []}

    def new_leg(self, name: str) -> RemoteLeg:
        """Start a leg's process, on any CPU."""
        return RemoteLeg(name, self.options.hiredis_folder)

    def new_bound_leg(self, name: str) -> RemoteLeg:
        """Start a leg's process on the CPUs of the first placement."""
        leg = self.new_leg(name)
        self._place(self._placements()[0], [leg])
        return leg

    def run(self) -> None:
        """Measure what was asked for, and print it as it comes."""
        with ExitStack() as stack:
            legs = {name: stack.enter_context(self.new_leg(name)) for name in NAMES}
            versions = {name: legs[name].versions() for name in (RQ, RQ_HIREDIS, OURS)}
            if 'hiredis' not in versions[RQ_HIREDIS]:
                del legs[RQ_HIREDIS], versions[RQ_HIREDIS]
            self.results['surroundings'] = report.surroundings(self.server, versions)
            print(report.heading(self.results['surroundings']))
            if RQ_HIREDIS not in legs:
                print('hiredis-py is not installed, or too old for redis-py: its column stays empty.')
            self._measure(Run(self.server.port, legs, self.pace))

    def _measure(self, run: Run) -> None:
        workloads = [workload for workload in ALL if self._is_wanted(workload)]
        for placed in self._placements() if workloads else ():
            self._place(placed, run.legs.values())
            for kind, server in self._sockets().items():
                self._calls(run, kind, server, placed, workloads)
        server = Server(self.server.port)
        if self._is_asked_for(IMPORT):
            self._imports()
        if self._is_asked_for(FIRST_CALL):
            self._first_calls(run, server)
        if self._is_asked_for(MEMORY):
            self._memory(run, server)

    def _placements(self) -> list[str]:
        if not placement.can_bind():
            return [placement.FREE]
        asked = self.options.placement or (placement.APART if self.options.quick else 'both')
        return [placement.APART, placement.TOGETHER] if asked == 'both' else [asked]

    def _place(self, placed: str, legs: Iterable[RemoteLeg]) -> None:
        if placement.can_bind():
            of_server, of_legs = placement.cpus(placed)
            placement.bind(self.server.pid, of_server)
            for leg in legs:
                leg.bind(of_legs)

    def _is_asked_for(self, name: str) -> bool:
        return not self.options.only or name in self.options.only

    def _is_wanted(self, workload: Workload) -> bool:
        by_name = workload.name in (self.options.only or ())
        return by_name or (not self.options.only and not (self.options.quick and workload.is_slow))

    def _sockets(self) -> dict[str, Server]:
        sockets = {
            'tcp': Server(self.server.port),
            'unix': Server(self.server.port, self.server.socket_path),
        }
        return sockets if self.options.socket == 'both' else {self.options.socket: sockets[self.options.socket]}

    def _calls(self, run: Run, kind: str, server: Server, placed: str, workloads: list[Workload]) -> None:
        measurements: list[Measurement] = []
        for workload in workloads:
            say(f'{placed}, {kind}: {workload.name}')
            measurements.append(run.measure(workload, server))
        self.results['calls'] += [report.calls_as_json(measurement, kind, placed) for measurement in measurements]
        print(
            f'\nOn {kind}, {placement.TITLES[placed]}, time per call:\n\n{report.calls_table(measurements)}', flush=True
        )

    def _imports(self) -> None:
        say('imports, in fresh processes')
        processes = startup.import_seconds(FRESH_PROCESSES[self.pace])
        added = startup.over_bare_python(processes)
        self.results['import_processes'] = {name: report.seconds_as_json(s) for name, s in processes.items()}
        self.results['import'] = {name: report.seconds_as_json(s) for name, s in added.items()}
        print(f'\n{report.seconds_table("over bare Python", added)}', flush=True)

    def _first_calls(self, run: Run, server: Server) -> None:
        say('first calls, in fresh processes')
        workload = BY_NAME['in']
        place = run.place(workload, server)
        seconds = startup.first_call_seconds(self.new_bound_leg, workload, place, FRESH_PROCESSES[self.pace])
        self.results['first_call'] = {name: report.seconds_as_json(s) for name, s in seconds.items()}
        print(f'\n{report.seconds_table("first call on a client (in)", seconds)}', flush=True)

    def _memory(self, run: Run, server: Server) -> None:
        workload = BY_NAME[LISTING[self.pace]]
        if sys.platform != 'linux':
            say('peak memory is measured on Linux only')
            return
        say(f'peak memory of {workload.name}, in fresh processes')
        names = [name for name in run.legs if name != BOUND]
        peaks = startup.peaks(self.new_bound_leg, names, workload, run.place(workload, server))
        self.results['memory'] = {'workload': workload.name, **{name: asdict(peak) for name, peak in peaks.items()}}
        print(f'\n{report.memory_table(workload.name, peaks)}', flush=True)


def main(arguments: list[str]) -> int:
    """Run, and return the exit status."""
    options = parse(arguments)
    try:
        with PrivateRedis() as server:
            session = Session(options, server)
            session.run()
    except (DifferentAnswers, LegError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json is not None:
        options.json.write_text(json.dumps(session.results, indent=1), encoding='utf-8')
        say(f'wrote {options.json}')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
