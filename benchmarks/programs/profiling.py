"""Where the time of a program goes: py-spy looks at its stack, native frames included, some hundred times a second.

The program is not changed, and runs nothing for it. A look counts for who asked (the registries, the rest of RQ, or the
program itself), and for what was met there: their code, redis-py, or the wait for the server.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from compat.clients.programs import LIMIT_SECONDS
from compat.environments import ROOT

RATE = 250
REQUEST_SECONDS = 8

START = 'start and end of Python, imports'
REGISTRIES = 'registries: code'
REGISTRIES_CLIENT = 'registries: redis-py'
REGISTRIES_SERVER = 'registries: the server, and the way there and back'
RQ = 'other RQ: code'
RQ_CLIENT = 'other RQ: redis-py'
RQ_SERVER = 'other RQ: the server, and the way there and back'
HORSES = 'work-horses, a process for each job'
PROGRAM = 'the program and its other libraries'
GROUPS = (START, REGISTRIES, REGISTRIES_CLIENT, REGISTRIES_SERVER, RQ, RQ_CLIENT, RQ_SERVER, HORSES, PROGRAM)

# As py-spy writes it: "function (file:line)", or "function (library)" where there is no debug information.
FRAME = re.compile(r'(?P<function>.*) \((?P<file>[^()]*?)(?::\d+)?\)')
OUR_C_FILES = frozenset(path.name for path in (ROOT / 'src').glob('*.c'))
# The functions of the C library in which a process exchanges bytes with a server.
EXCHANGES = re.compile(r'recv|send|poll|select|connect')
FORKS = ('fork_work_horse', 'monitor_work_horse')


class Frame(NamedTuple):
    """A function and its file; of a C function without debug information, its library."""

    function: str
    file: str

    @property
    def is_python(self) -> bool:
        return self.file.endswith('.py') or self.file.startswith('<')

    @property
    def owner(self) -> str:
        """Which code it belongs to: the registries, RQ, redis-py, or none of these."""
        name = Path(self.file).name
        if name in OUR_C_FILES or name.startswith('_core.') or '/site-packages/rqreg_ext/' in self.file:
            return REGISTRIES
        if self.file.endswith('/rq/registry.py') or self.function.startswith('ExecutionRegistry.'):
            return REGISTRIES
        packages = {'/site-packages/rq/': RQ, '/site-packages/redis/': RQ_CLIENT}
        return next((owner for package, owner in packages.items() if package in self.file), '')


Stack = list[Frame]


class NoProfiler(RuntimeError):
    """py-spy is not there, or is not allowed to look."""


def of_command(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> list[tuple[Stack, int]]:
    """Run a Python program to its end; return the stacks that were seen, and how often each was."""
    output = folder / 'looks'
    command = [*_py_spy(output), '--', *words]
    done = subprocess.run(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS
    )
    return _read(output, done.returncode, done.stderr)


def of_requests(pid: int, ask: Callable[[], object], folder: Path) -> list[tuple[Stack, int]]:
    """Have a server answer one request after the other; return what was seen while it did."""
    output = folder / 'looks'
    command = [*_py_spy(output), '--pid', str(pid), '--duration', str(REQUEST_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as looking:
        while looking.poll() is None:
            ask()
        _, words = looking.communicate()
    return [found for found in _read(output, looking.returncode, words) if _is_in_request(found[0])]


def _py_spy(output: Path) -> list[str]:
    path = Path(sys.executable).with_name('py-spy')
    if not path.is_file():
        raise NoProfiler(f'--profile needs py-spy, and there is no {path}: `make bench-programs` installs it')
    options = ['--native', '--idle', '--full-filenames', '--rate', str(RATE), '--format', 'raw']
    return [str(path), 'record', *options, '--output', str(output)]


def _read(output: Path, status: int, words: bytes) -> list[tuple[Stack, int]]:
    if status != 0 or not output.is_file():
        raise NoProfiler(f'py-spy ended with status {status} (only root may look at some processes): {words!r}')
    lines = output.read_text(encoding='utf-8').splitlines()
    output.unlink()
    return [(_stack(text), int(count)) for text, _, count in (line.rpartition(' ') for line in lines)]


def _stack(text: str) -> Stack:
    """Return the frames, outermost first."""
    matches = [(FRAME.fullmatch(word), word) for word in text.split(';')]
    return [Frame(match['function'], match['file']) if match else Frame(word, '') for match, word in matches]


def _is_in_request(stack: Stack) -> bool:
    """Tell whether a request is being answered, by the two servers that the programs bring."""
    return any(
        (frame.function.endswith('.run_wsgi') and frame.file.endswith('/werkzeug/serving.py'))
        or (frame.function.endswith('.run') and frame.file.endswith('/wsgiref/handlers.py'))
        for frame in stack
    )


def grouped(looks: Sequence[tuple[Stack, int]]) -> dict[str, float]:
    """Return the share of each group."""
    counts: Counter[str] = Counter()
    for stack, count in looks:
        counts[group_of(stack)] += count
    if not counts:
        raise NoProfiler('py-spy saw nothing of what was to be profiled')
    return {group: counts[group] / counts.total() for group in GROUPS}


def group_of(stack: Stack) -> str:
    """Return the group of a look."""
    if any('importlib._bootstrap' in frame.file for frame in stack) or not any(frame.is_python for frame in stack):
        return START
    if any(frame.function.endswith(FORKS) for frame in stack):
        return HORSES
    owners = {frame.owner for frame in stack}
    is_exchange = EXCHANGES.search(stack[-1].function) is not None
    if REGISTRIES in owners:
        if is_exchange:
            return REGISTRIES_SERVER
        return REGISTRIES_CLIENT if RQ_CLIENT in owners else REGISTRIES
    if RQ_CLIENT in owners:
        return RQ_SERVER if is_exchange else RQ_CLIENT
    return RQ if RQ in owners else PROGRAM
