"""Real programs in processes of their own, and the proof whose registries they run on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compat.clients.sides import Side
from compat.environments import Environment

CORE = 'rqreg_ext/_core'
# The core keeps its own connections for the client that it served.
ASKS = """
import sys, redis, rq
client = redis.Redis.from_url(sys.argv[1])
rq.Queue('none', connection=client).failed_job_registry.get_job_count(cleanup=False)
print(hasattr(client.connection_pool, '_rqreg_ext_pool'))
"""
START_SECONDS = 60.0
# A look makes the program wait a little: after a while there are fewer.
LOOK_SECONDS, LOOK_SHARE = 0.002, 0.05
LIMIT_SECONDS = 900
# The same order of sets of strings, times and width of lines on both sides.
EQUAL = {'PYTHONHASHSEED': '0', 'TZ': 'UTC', 'COLUMNS': '120', 'LC_ALL': 'C.UTF-8', 'PYTHONDONTWRITEBYTECODE': '1'}


class WrongSide(RuntimeError):
    """A program ran on other registries than it was to be run on: the comparison would mean nothing."""


def has_core(pid: int) -> bool:
    """Tell whether our core is loaded in a process, as the kernel sees it."""
    try:
        return CORE in Path(f'/proc/{pid}/maps').read_text(encoding='utf-8')
    except (FileNotFoundError, ProcessLookupError):
        return False


def require_side(side: Side, found: bool, program: str) -> None:
    """Refuse to go on where a program did not run on the registries of its side."""
    if found != side.accelerated:
        raise WrongSide(f'{program} ran {"with" if found else "without"} {CORE} on the {side.name} side')


def require_effect(side: Side, environment: Environment, url: str) -> None:
    """Refuse to begin where a registry that RQ makes is not served by what it is to be served by."""
    variables = environment.variables(side.accelerated)
    ended = subprocess.run([environment.python, '-c', ASKS, url], env=variables, stdout=subprocess.PIPE, check=True)
    require_side(side, ended.stdout == b'True\n', 'a registry of rq.Queue')


@dataclass(frozen=True)
class Ended:
    """What a command printed, its exit status, and how long it took."""

    status: int
    output: str
    errors: str
    seconds: float


def run(
    side: Side, environment: Environment, command: Sequence[str], folder: Path, looked_at: bool = True, **variables: str
) -> Ended:
    """Run a command of the environment to its end; make sure that it runs on the registries of its side.

    Without `looked_at`, nothing disturbs it: for what has run before, and is to be timed.
    """
    with tempfile.TemporaryFile('w+') as output, tempfile.TemporaryFile('w+') as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(environment.bin / command[0]), *command[1:]],
            cwd=folder,
            env=environment.variables(side.accelerated, **EQUAL, **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        found = _is_seen_with_core(process) if looked_at else side.accelerated
        process.wait()
        seconds = time.perf_counter() - start
        require_side(side, found, ' '.join(command))
        output.seek(0)
        errors.seek(0)
        return Ended(process.returncode, output.read(), errors.read(), seconds)


def _is_seen_with_core(process: subprocess.Popen[bytes]) -> bool:
    """Look until our core is loaded, or the program has ended: from outside there is no one moment to look."""
    start = time.perf_counter()
    while process.poll() is None:
        if has_core(process.pid):
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(LOOK_SECONDS, LOOK_SHARE * (time.perf_counter() - start)))
    return False


@contextlib.contextmanager
def serving(
    side: Side, environment: Environment, command: Sequence[str], folder: Path, port: int, variables: Mapping[str, str]
) -> Iterator[int]:
    """Run a command that serves HTTP on a port until the end of the block; give its process id."""
    with tempfile.TemporaryFile('w+') as log:
        process = subprocess.Popen(
            [str(environment.bin / command[0]), *command[1:]],
            cwd=folder,
            env=environment.variables(side.accelerated, **EQUAL, **variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _accepts(process, port):
                log.seek(0)
                raise RuntimeError(f'{" ".join(command)} does not serve HTTP:\n{log.read()[-3000:]}')
            require_side(side, has_core(process.pid), ' '.join(command))
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), timeout=1):
            return True
        time.sleep(0.02)
    return False
