"""Commands of RQ, and those of `rqreg` that do the same: time, memory, and how long the server is held by a command.

Both are plain commands as they are installed; the jobs are put back as they were between the rounds.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.measuring import rotated
from benchmarks.report import seconds_as_json
from compat.clients.programs import EQUAL
from compat.clients.sides import OURS, PLAIN, Population, Side
from compat.environments import Environment

TITLE = 'rq beside rqreg'
RQ, RQREG = 'rq', 'rqreg'
NAMES = [RQ, RQREG]
# Each has a database of its own.
SIDE_OF: dict[str, Side] = {RQ: PLAIN, RQREG: OURS}
FEW, MANY = ('bulk', 10_000), ('default', 200_000)
SLOWLOG = {'slowlog-log-slower-than': 1000, 'slowlog-max-len': 10_000}
# Of the commands that fill databases, and that look into them.
NOT_MEASURED = (b'SLOWLOG', b'CONFIG')
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Change:
    """What is done to the failed jobs of a queue, or to those that wait in it.

    words: the arguments of each command; RQ may have none. left: the key that must be gone afterwards.
    """

    name: str
    queue: str
    jobs: int
    rounds: int
    words: dict[str, tuple[str, ...]]
    left: str
    are_waiting: bool = False


def _changes(queue: str, jobs: int, rounds: int) -> list[Change]:
    ours = ('--queue', queue, '--yes')
    size = f'{jobs:,}'.replace(',', ' ')
    failed = f'rq:failed:{queue}'
    requeue = {RQ: ('requeue', '--queue', queue, '--all'), RQREG: ('requeue', *ours)}
    empty = {RQ: ('empty', queue), RQREG: ('empty', queue, '--yes')}
    return [
        Change(f'requeue, {size} failed jobs', queue, jobs, rounds, requeue, failed),
        Change(f'empty, {size} waiting jobs', queue, jobs, rounds, empty, f'rq:queue:{queue}', are_waiting=True),
        Change(f'delete, {size} failed jobs', queue, jobs, rounds, {RQREG: ('delete', *ours)}, failed),
    ]


CHANGES = [*_changes(*FEW, 5), *_changes(*MANY, 1)]


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit status, seconds, the most bytes of memory, and its longest command in seconds."""

    status: int
    seconds: float
    memory: int
    longest: float


class Bench:
    """The databases, the environment, and the folder in which commands run."""

    def __init__(self, population: Population, environment: Environment, folder: Path) -> None:
        self._population = population
        self._environment = environment
        self._folder = folder

    def measure(self, change: Change, rounds: int) -> dict[str, Any]:
        """Return what was measured of both commands, round by round."""
        names = [name for name in NAMES if name in change.words]
        ran: dict[str, list[Ran]] = {name: [] for name in names}
        for number in range(rounds):
            for name in rotated(names, number):
                ran[name].append(self._once(change, name))
        found: dict[str, Any] = {'name': change.name, 'jobs': change.jobs, 'sides': {}}
        for name, rows in ran.items():
            found['sides'][name] = {
                'seconds': seconds_as_json([one.seconds for one in rows]),
                'memory': max(one.memory for one in rows),
                'longest': max(one.longest for one in rows),
                'statuses': sorted({one.status for one in rows}),
            }
        # What ended by a timeout did not do it in that time.
        if len(names) == len(NAMES) and all(one.status == 0 for rows in ran.values() for one in rows):
            ratios = [rq.seconds / ours.seconds for rq, ours in zip(*ran.values(), strict=True)]
            found['ratio'] = seconds_as_json(ratios)
        return found

    def _once(self, change: Change, name: str) -> Ran:
        side = SIDE_OF[name]
        client = self._population.client(side)
        self._population.copy(side, pattern=f'*{change.queue}*')
        if change.are_waiting:
            # All of the queue's, so that the number is that of the failed jobs.
            client.delete(f'rq:queue:{change.queue}')
            self._run(side, 'rqreg', 'requeue', '--queue', change.queue, '--yes')
        for option, value in SLOWLOG.items():
            client.config_set(option, value)
        client.slowlog_reset()
        status, seconds, memory = self._run(side, name, *change.words[name])
        _wait_for(client.ping)
        longest = _longest_command(client)
        # Where RQ's command ends by a timeout, its script goes on.
        if left := client.exists(change.left):
            raise RuntimeError(f'{name} {change.name}: {left} keys are left; exit status {status}')
        return Ran(status, seconds, memory, longest)

    def _run(self, side: Side, *command: str) -> tuple[int, float, int]:
        """Run a command; return its exit status, how many seconds it took, and the most bytes of memory."""
        variables = {**EQUAL, 'RQ_REDIS_URL': self._population.url(side)}
        words = [str(self._environment.bin / command[0]), *command[1:]]
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                words,
                cwd=self._folder,
                env=self._environment.variables(accelerated=False, **variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, seconds, usage.ru_maxrss * 1024


def _wait_for(ask: Callable[[], object]) -> None:
    """Wait until no script holds the server."""
    while True:
        try:
            ask()
            return
        except redis.exceptions.ResponseError:
            time.sleep(PAUSE_SECONDS)


def _longest_command(client: Any) -> float:
    """Return how many seconds the server was busy with one command since its log was emptied, at most."""
    logged = client.slowlog_get(SLOWLOG['slowlog-max-len'])
    durations = [entry['duration'] for entry in logged if entry['command'].split(b' ')[0].upper() not in NOT_MEASURED]
    return max(durations, default=0) / 1e6
