"""failing_malloc.c, compiled for the Python that runs the tests, and programs that run with it preloaded."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .stacks import Stack

TESTS = Path(__file__).resolve().parent.parent
# Far beyond what any scenario takes: a hang within one call is told by the program itself.
PATIENCE = 600


def compile_shim(folder: Path) -> Path:
    """Compile the shim into the folder and return its path."""
    source = Path(__file__).with_name('failing_malloc.c')
    shim = folder / 'failing_malloc.so'
    compiler = shlex.split(os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc')
    options = ['-std=gnu11', '-O1', '-g', '-shared', '-fPIC', f'-I{sysconfig.get_path("include")}']
    subprocess.run([*compiler, *options, str(source), '-o', str(shim), '-ldl'], check=True, stdin=subprocess.DEVNULL)
    return shim


@dataclass
class Failure:
    """What came of one failing allocation."""

    number: int
    stack: Stack
    wrong: str = ''
    half: bool = False
    next: str = ''
    descriptors: int = 0
    leaked: int = 0

    def problem(self) -> str:
        """Return what is wrong about it and our fault, or nothing.

        What happens within redis-py, RQ and CPython when they run out of memory is theirs to answer for, but never
        that the next call fails.
        """
        problems = []
        if self.next:
            problems.append(f'the next call: {self.next}')
        if self.stack.is_ours():
            problems += [f'gave {self.wrong}'] if self.wrong else []
            problems += ['left half a change'] if self.half else []
            problems += [f'left {self.descriptors} descriptors open'] if self.descriptors > 0 else []
            problems += [f'leaks {self.leaked} blocks each time'] if self.leaked > 0 else []
        return '; '.join(problems)


@dataclass
class Report:
    """What a scenario's failing allocations came to."""

    failures: list[Failure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Crashes and hangs within Python code that ran out of memory.
    elsewhere: int = 0


def program_environment() -> dict[str, str]:
    """Return the environment of a program of this folder, whose every object is a block of malloc's."""
    folders = [TESTS, TESTS.parent / 'tools', TESTS.parent]
    path = os.pathsep.join(map(str, folders))
    return {**os.environ, 'PYTHONMALLOC': 'malloc', 'PYTHONPATH': path, 'PYTHONDONTWRITEBYTECODE': '1'}


def _run_program(shim: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**program_environment(), 'LD_PRELOAD': str(shim)}
    command = [sys.executable, '-m', 'memory.allocation_failures', str(shim), *arguments]
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _stacks_at_end(text: str) -> tuple[Stack, Stack]:
    """Return where the allocation failed, and where the program crashed or hung."""
    _, _, stacks = text.rpartition('failure:\n')
    failed, _, ended = stacks.partition('end:\n')
    return Stack(failed.splitlines()), Stack(ended.splitlines())


def fail_each_allocation(shim: Path, scenario: str, *options: str, port: int) -> Report:
    """Make each allocation of a scenario fail, in as many processes as it takes."""
    report = Report()
    start = 1
    while True:
        ran = _run_program(shim, [str(port), scenario, f'--start={start}', *options])
        lines: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines()]
        for told in lines:
            if told.get('failures'):
                _add(report, told)
        if lines and lines[-1].get('failures') == 0:
            return report
        if ran.returncode >= 0 or not lines:
            raise AssertionError(f'{scenario}: the program ended with {ran.returncode}\n{ran.stderr}')
        failed, ended = _stacks_at_end(ran.stderr)
        number = lines[-1]['begin' if 'begin' in lines[-1] else 'number']
        if failed.is_ours() or ended.is_ours():
            name = signal.Signals(-ran.returncode).name
            report.problems.append(f'allocation {number}: {name}, failed at\n{failed}\n  ended at\n{ended}')
        else:
            report.elsewhere += 1
        start = number + 1


def _add(report: Report, told: dict[str, Any]) -> None:
    fields = {name: told[name] for name in ('number', 'wrong', 'half', 'next', 'descriptors', 'leaked') if name in told}
    failure = Failure(stack=Stack(told['stack']), **fields)
    report.failures.append(failure)
    problem = failure.problem()
    if problem:
        report.problems.append(f'allocation {failure.number} {problem}; failed at\n{failure.stack}')
