"""gevent and eventlet: with their sockets in place of Python's, a call that waits lets the other greenlets run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .calls import SHORT_CALLS
from .filling import MEDIUM, job_ids
from .gate import Gate
from .stoppable import StoppableRedis

TESTS = Path(__file__).resolve().parent.parent
IDS = job_ids(MEDIUM)
RIGHT = {
    'count': str(MEDIUM),
    'in': 'False',
    'get_job_ids': f'{MEDIUM} {IDS[0]} {IDS[-1]}',
    'remove': '0',
    'get_expired_job_ids': '[]',
    'cleanup': 'None',
}


class Program:
    """greenlet_program.py in a process of its own, whose replies come through a gate; a context manager."""

    def __init__(self, library: str, registries: str, server: StoppableRedis) -> None:
        pytest.importorskip(library)
        self.server = server
        self.gate = Gate(server.port)
        path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get('PYTHONPATH')]))
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'host.greenlet_program', library, registries, str(self.gate.port)],
            cwd=TESTS,
            env={**os.environ, 'PYTHONPATH': path, 'PYTHONWARNINGS': 'ignore'},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self.read().startswith('ready')

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, 'the program has died'
        return line.rstrip('\n')

    def tell(self, kind: str, name: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f'{kind} {name}\n')

    def ask(self, kind: str, name: str) -> str:
        self.tell(kind, name)
        return self.read()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.gate.__exit__(None, None, None)


@pytest.fixture(params=['gevent', 'eventlet'])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def program(library: str, stoppable: StoppableRedis) -> Iterator[Program]:
    """Our registries in a patched program."""
    running = Program(library, 'rqreg_ext.registry', stoppable)
    yield running
    running.close()


def test_other_greenlet_runs_while_call_waits(program: Program) -> None:
    for name in SHORT_CALLS:
        program.gate.hold_after(0)
        assert program.ask('progress', name) == 'before the answer', name
        program.gate.release()
        assert program.read() == RIGHT[name]
    # In the middle of a reply too.
    program.gate.hold_after(100_000)
    assert program.ask('progress', 'get_job_ids') == 'before the answer'
    program.gate.release()
    assert program.read() == RIGHT['get_job_ids']


@pytest.mark.parametrize(('kind', 'end'), [('timeout', 'timeout'), ('kill', 'killed')])
def test_call_after_killed_greenlet_is_right(program: Program, kind: str, end: str) -> None:
    """The connection whose reply is still to come is closed, not used again."""
    observer = program.server.client()
    for passed in range(3):
        for name in SHORT_CALLS:
            program.gate.hold_after(passed)
            assert program.ask(kind, name) == end, name
            program.gate.release()
            assert program.ask('plain', 'get_job_ids') == RIGHT['get_job_ids']
            assert program.ask('plain', name) == RIGHT[name]
    # Nothing piles up: what was ended is closed.
    assert len(observer.client_list()) < 10
    observer.close()


def test_concurrent_greenlets_get_own_answers(program: Program) -> None:
    for name in SHORT_CALLS:
        assert program.ask('storm', name) == RIGHT[name]


def test_same_answers_as_rq(library: str, stoppable: StoppableRedis) -> None:
    """A patched program sees no difference between RQ's registries and ours."""
    seen = []
    for registries in ('rq.registry', 'rqreg_ext.registry'):
        running = Program(library, registries, stoppable)
        report = [running.ask('plain', name) for name in SHORT_CALLS]
        running.gate.hold_after(0)
        report.append(running.ask('progress', 'count'))
        running.gate.release()
        report.append(running.read())
        running.gate.hold_after(0)
        report.append(running.ask('timeout', 'get_job_ids'))
        running.gate.release()
        report.append(running.ask('storm', 'get_job_ids'))
        running.close()
        seen.append(report)
    assert seen[0] == seen[1]
