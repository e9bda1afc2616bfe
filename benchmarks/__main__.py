"""Measure RQ, code written by hand, rqreg_ext and a bare round trip side by side, on a private Redis.

Times are medians of rounds with their quartiles; ratios are medians over the rounds of the ratio within a
round, and are what can be compared between machines. `python -m benchmarks --help` for the options.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from . import cpu_placement, report, server_holds, startup, targets, time_shares
from .child import ROOT, LegError, RemoteLeg
from .legs import NAMES, OURS, RQ, RQ_HIREDIS, WITH_HIREDIS, Server
from .measuring import DifferentAnswers, Measurement, Pace, Run
from .populations import Population
from .report import say, table
from .results import Results
from .workloads import ALL, BY_NAME, Workload, on_cluster

sys.path.insert(0, str(ROOT / 'tools'))

from private_redis import PrivateRedis

IMPORT, FIRST_CALL, MEMORY, SHARES, HOLDING = 'import', 'first-call', 'memory', 'shares', 'holding'
CLUSTER = 'cluster'
APART = (IMPORT, FIRST_CALL, MEMORY, SHARES, HOLDING, CLUSTER)

FULL = Pace(rounds=20, round_seconds=0.005, seconds=1.5)
QUICK = Pace(rounds=5, round_seconds=0.002, seconds=0.5)
FRESH_PROCESSES = {FULL: 10, QUICK: 3}
FIRST = 'in-100'
LISTING = {FULL: 'get_job_ids-1000000', QUICK: 'get_job_ids-10000'}
RESULTS = ROOT / 'build' / 'benchmarks.json'


def named(text: str) -> list[str]:
    """Return the names that a text stands for: a name or an operation, or else all that it is a part of."""
    found = [text] if text in APART else [w.name for w in ALL if text in (w.name, w.operation)]
    return found or [name for name in (*BY_NAME, *APART) if text in name]


def known(text: str) -> str:
    """Return a text that stands for something."""
    if not named(text):
        raise argparse.ArgumentTypeError(f'nothing is named {text!r}; there are {", ".join((*BY_NAME, *APART))}')
    return text


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    parser.add_argument('--socket', choices=('tcp', 'unix', 'both'), default='both', help='default: both')
    parser.add_argument(
        '--placement',
        choices=(cpu_placement.APART, cpu_placement.TOGETHER, cpu_placement.FREE, 'both'),
        help='server and caller on different CPUs, on the same one, not bound, or the first two; default: apart',
    )
    parser.add_argument('--quick', action='store_true', help='few and short rounds, nothing of a million entries')
    parser.add_argument(
        '--only',
        action='append',
        type=known,
        metavar='TEXT',
        help='an operation (count), one size of it (count-100), or a part of names; may be repeated',
    )
    parser.add_argument(
        '--keep', action='store_true', help='keep what FILE has of anything else: a run in parts, or again in part'
    )
    parser.add_argument(
        '--json', type=Path, default=RESULTS, metavar='FILE', help=f'default: {RESULTS.relative_to(ROOT)}'
    )
    parser.add_argument(
        '--hiredis-folder', metavar='FOLDER', help='where hiredis-py is installed, if not where everything else is'
    )
    return parser.parse_args(arguments)


def by_population(workloads: Iterable[Workload]) -> list[list[Workload]]:
    """Return the workloads of each population together, so that it is put into Redis once."""
    found: dict[Population, list[Workload]] = {}
    for workload in workloads:
        found.setdefault(workload.population, []).append(workload)
    return list(found.values())


class Surroundings(NamedTuple):
    """Where the server and the callers run, and how they talk."""

    placed: str
    socket: str


class Session:
    """One run of the program: its server, its legs, and what is found."""

    def __init__(self, options: argparse.Namespace, server: PrivateRedis) -> None:
        self.options = options
        self.server = server
        self.pace = QUICK if options.quick else FULL
        self.results: dict[str, Any] = {'quick': options.quick, 'pace': asdict(self.pace), 'calls': []}
        self.measurements: dict[Surroundings, dict[str, Measurement]] = {}
        self.refused: list[str] = []

    def new_leg(self, name: str) -> RemoteLeg:
        """Start a leg's process, on any CPU."""
        return RemoteLeg(name, self.options.hiredis_folder)

    def new_bound_leg(self, name: str) -> RemoteLeg:
        """Start a leg's process on the CPUs of the first placement."""
        leg = self.new_leg(name)
        self._place(self._placements()[0], [leg])
        return leg

    def run(self) -> None:
        """Measure what was asked for, and print it."""
        with ExitStack() as stack:
            legs = {name: stack.enter_context(self.new_leg(name)) for name in NAMES}
            versions = {name: legs[name].versions() for name in (RQ, RQ_HIREDIS, OURS)}
            if 'hiredis' not in versions[RQ_HIREDIS]:
                del versions[RQ_HIREDIS]
                for name in WITH_HIREDIS:
                    del legs[name]
            self.results['surroundings'] = report.surroundings(self.server, versions)
            # Before anything is measured: what is to be kept may be of other versions.
            self.found()
            print(report.heading(self.results['surroundings']))
            if RQ_HIREDIS not in legs:
                print('hiredis-py is not installed, or too old for redis-py: its columns stay empty.')
            self._measure(Run(self.server.port, legs, self.pace))

    def refuse(self, why: str) -> None:
        """Tell why something was not measured, now and in the end."""
        say(why)
        self.refused.append(why)

    def found(self) -> Results:
        """Return what was found until now, and what is kept of earlier runs."""
        results, path = Results(self.results), self.options.json
        is_kept = self.options.keep and 'surroundings' in self.results and path.exists()
        return Results.read(path).with_those_of(results) if is_kept else results

    def _measure(self, run: Run) -> None:
        try:
            for workloads in by_population(filter(self._is_wanted, ALL)):
                self._calls(run, workloads)
        finally:
            self._report_calls()
        server = Server(self.server.port)
        if self._is_asked_for(IMPORT):
            self._imports()
        if self._is_asked_for(FIRST_CALL):
            self._first_calls(run, server)
        if self._is_asked_for(MEMORY):
            self._memory(run, server)
        if self._is_asked_for(SHARES):
            self._shares(run, server)
        if self._is_asked_for(HOLDING):
            self._holding(run, server)
        if self._is_asked_for(CLUSTER):
            self._cluster()

    def _placements(self) -> list[str]:
        if not cpu_placement.can_bind():
            return [cpu_placement.FREE]
        asked = self.options.placement or cpu_placement.APART
        return [cpu_placement.APART, cpu_placement.TOGETHER] if asked == 'both' else [asked]

    def _place(self, placed: str, legs: Iterable[RemoteLeg]) -> None:
        if cpu_placement.can_bind():
            of_server, of_legs = cpu_placement.cpus(placed)
            cpu_placement.bind(self.server.pid, of_server)
            for leg in legs:
                leg.bind(of_legs)

    def _is_asked_for(self, name: str) -> bool:
        return not self.options.only or any(name in named(text) for text in self.options.only)

    def _is_wanted(self, workload: Workload) -> bool:
        is_too_large = self.options.quick and workload.is_huge
        return workload.name in (self.options.only or ()) or (not is_too_large and self._is_asked_for(workload.name))

    def _sockets(self) -> dict[str, Server]:
        sockets = {
            'tcp': Server(self.server.port),
            'unix': Server(self.server.port, self.server.socket_path),
        }
        return sockets if self.options.socket == 'both' else {self.options.socket: sockets[self.options.socket]}

    def _surroundings(self, workload: Workload) -> Iterator[tuple[Surroundings, Server]]:
        placements, sockets = self._placements(), list(self._sockets().items())
        if workload.is_huge or workload.is_long:
            # Of what takes so long, the way of its round trips is little.
            placements, sockets = placements[:1], sockets[:1]
        for placed in placements:
            for kind, server in sockets:
                yield Surroundings(placed, kind), server

    def _calls(self, run: Run, workloads: list[Workload]) -> None:
        for workload in workloads:
            for surroundings, server in self._surroundings(workload):
                say(f'{", ".join(surroundings)}: {workload.name}')
                self._place(surroundings.placed, run.legs.values())
                try:
                    measurement = run.measure(workload, server)
                except (DifferentAnswers, LegError) as error:
                    # One of many, after minutes: the others are measured all the same.
                    self.refuse(str(error))
                    run.forget()
                else:
                    self.measurements.setdefault(surroundings, {})[workload.name] = measurement

    def _report_calls(self) -> None:
        for (placed, kind), measurements in self.measurements.items():
            found = [measurements[name] for name in BY_NAME if name in measurements]
            calls = [report.calls_as_json(measurement, kind, placed) for measurement in found]
            self.results['calls'] += calls
            print(f'\nOn {kind}, {cpu_placement.TITLES[placed]}, time per call:\n\n{table(report.times_rows(calls))}')
            print(f'\n{report.NOTE}\n\nHow many times as long:\n\n{table(report.ratios_rows(calls))}', flush=True)

    def _imports(self) -> None:
        say('imports, in fresh processes')
        processes = startup.import_seconds(FRESH_PROCESSES[self.pace])
        added = startup.over_bare_python(processes)
        self.results['import_processes'] = {name: report.seconds_as_json(s) for name, s in processes.items()}
        self.results['import'] = {name: report.seconds_as_json(s) for name, s in added.items()}
        print(f'\n{report.seconds_table("CPU time over bare Python", added)}', flush=True)

    def _first_calls(self, run: Run, server: Server) -> None:
        say('first calls, in fresh processes')
        workload = BY_NAME[FIRST]
        place = run.place(workload, server)
        seconds = startup.first_call_seconds(self.new_bound_leg, workload, place, FRESH_PROCESSES[self.pace])
        self.results['first_call'] = {name: report.seconds_as_json(s) for name, s in seconds.items()}
        print(f'\n{report.seconds_table(f"first call on a client ({FIRST})", seconds)}', flush=True)

    def _memory(self, run: Run, server: Server) -> None:
        workload = BY_NAME[LISTING[self.pace]]
        if sys.platform != 'linux':
            say('peak memory is measured on Linux only')
            return
        say(f'peak memory of {workload.name}, in fresh processes')
        names = list(run.legs_of(workload))
        peaks = startup.peaks(self.new_bound_leg, names, workload, run.place(workload, server))
        self.results['memory'] = {'workload': workload.name, **{name: asdict(peak) for name, peak in peaks.items()}}
        print(f'\n{report.memory_table(workload.name, peaks)}', flush=True)

    def _shares(self, run: Run, server: Server) -> None:
        placed = self._placements()[0]
        self._place(placed, run.legs.values())
        found = {}
        for workload in time_shares.workloads(self.options.quick):
            say(f'whose time it is: {workload.name}')
            of_legs = time_shares.measure(run, server, workload)
            found[workload.name] = {leg: asdict(of_leg) for leg, of_leg in of_legs.items()}
        self.results['shares'] = found
        print(
            f'\nOn tcp, {cpu_placement.TITLES[placed]}, whose time it is:\n\n{table(report.shares_rows(found))}',
            flush=True,
        )

    def _holding(self, run: Run, server: Server) -> None:
        placed = self._placements()[0]
        self._place(placed, run.legs.values())
        found: dict[str, dict[str, Any]] = {}
        for situation, population in server_holds.situations(self.options.quick).items():
            for operation, workload in server_holds.workloads(population).items():
                say(f'how long the server is held by {operation}: {situation}')
                found.setdefault(situation, {})[operation] = asdict(server_holds.measure(run, server, workload))
        self.results['holding'] = found
        title = f'On tcp, {cpu_placement.TITLES[placed]}, how long the server is held:'
        print(f'\n{title}\n\n{table(report.held_rows(found))}', flush=True)

    def _cluster(self) -> None:
        say('on a Redis Cluster')
        found = on_cluster.measure(self.options.quick)
        self.results['cluster'] = found
        title = 'On a private Redis Cluster, RQ_KEY_PREFIX={rq}, by a RedisCluster:'
        print(f'\n{title}\n\n{table(report.cluster_rows(found))}', flush=True)


def write(path: Path, results: Results) -> None:
    """Write all that a run has found."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results.found, indent=1), encoding='utf-8')
    say(f'wrote {path}')


def main(arguments: list[str]) -> int:
    """Run, and return the exit status. Results from before Ctrl-C, and those not refused, are written too."""
    options = parse(arguments)
    begun, is_ended = perf_counter(), False
    with PrivateRedis() as server:
        session = Session(options, server)
        try:
            session.run()
        except LegError as error:
            session.refuse(str(error))
        except KeyboardInterrupt:
            is_ended = True
    results = session.found()
    print(f'\n{table(targets.rows(results))}', flush=True)
    say(f'took {perf_counter() - begun:.0f} seconds')
    if 'surroundings' in session.results:
        write(options.json, results)
    for why in session.refused:
        say(f'not measured: {why}')
    return 130 if is_ended else 1 if session.refused else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
