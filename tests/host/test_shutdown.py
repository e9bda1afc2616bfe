"""The interpreter ends while registries are in use: no crash, no hang, and no message that RQ would not print."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from depth import IS_DEEP

from .filling import MEDIUM
from .patience import PATIENCE
from .stoppable import StoppableRedis

PROGRAM = Path(__file__).with_name('shutdown_program.py')
RUNS = 200 if IS_DEEP else 8
"""Of those that end at a random moment."""

OURS = 'rqreg_ext.registry'
RQ = 'rq.registry'


def command(registries: str, server: StoppableRedis, way: str, number: int = 0) -> list[str]:
    """Return the program's command line: every other time in Python's development mode."""
    mode = ['-X', 'dev'] if number % 2 else []
    delay = str(random.uniform(0, 0.02))
    return [sys.executable, *mode, '-X', 'faulthandler', str(PROGRAM), registries, server.url, way, delay]


def end(registries: str, server: StoppableRedis, way: str, number: int) -> tuple[int, list[str], str]:
    """Run the program once, and return its status, what it said, and its errors."""
    finished = subprocess.run(
        command(registries, server, way, number), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return finished.returncode, sorted(finished.stdout.split()), finished.stderr


def ends(registries: str, server: StoppableRedis, way: str, runs: int) -> list[tuple[int, list[str], str]]:
    """Run the program again and again, two at a time, and return how it ended, each outcome once."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda number: end(registries, server, way, number), range(runs)))
    return [outcome for number, outcome in enumerate(found) if outcome not in found[:number]]


def test_busy_daemon_threads_do_not_crash_the_end(stoppable: StoppableRedis) -> None:
    assert ends(OURS, stoppable, 'daemons', RUNS) == [(0, [], '')]


@pytest.mark.parametrize('number', range(2))
def test_waiting_daemon_threads_do_not_hold_up_the_end(stoppable: StoppableRedis, number: int) -> None:
    """A call that waits for the server, or to be connected with it, does not hold up the end."""
    program = subprocess.Popen(
        command(OURS, stoppable, 'waiting', number),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == 'ready\n'
        with stoppable.stopped():
            words, errors = program.communicate('go\n', timeout=PATIENCE)
        assert (program.returncode, words, errors) == (0, '', '')


@pytest.mark.parametrize('way', ['at_exit', 'globals_deleted', 'exits'])
def test_calls_during_finalization_end_as_with_rq(stoppable: StoppableRedis, way: str) -> None:
    theirs = ends(RQ, stoppable, way, 1)
    assert ends(OURS, stoppable, way, 4) == theirs
    status, words, errors = theirs[0]
    assert errors == ''
    assert words == {'at_exit': [str(MEDIUM)] * 3, 'globals_deleted': [], 'exits': [str(MEDIUM)] * 2}[way]
    assert status == (3 if way == 'exits' else 0)
