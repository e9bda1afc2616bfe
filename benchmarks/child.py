"""A leg in a process of its own, commanded over a pipe: what one leg imports, another must not have.

A request is a pickled (method, arguments), a reply a pickled (error or None, value). Workloads go by their name.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .bare_leg import BareLeg
from .calling_leg import CallingLeg, set_up_hiredis
from .legs import BOUND, WITH_HIREDIS, Cost
from .recording import Recording
from .workloads import BY_NAME, Workload

ROOT = Path(__file__).resolve().parent.parent


class LegError(RuntimeError):
    """A call failed in a leg's process."""


class RemoteLeg:
    """The methods of a leg, carried out in a child process; a context manager."""

    def __init__(self, name: str, hiredis_folder: str | None = None) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'benchmarks.child', name, hiredis_folder or ''],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C in a terminal is for the parent alone; a leg ends when its pipe does.
            start_new_session=True,
        )

    def _ask(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((method, arguments), self._process.stdin)
            self._process.stdin.flush()
            error, value = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            raise LegError(f'{self.name}: the process ended with {self._process.wait()} in {method}') from None
        if error is not None:
            raise LegError(f'{self.name}, {method}:\n{error}')
        return value

    @property
    def pid(self) -> int:
        return self._process.pid

    def bind(self, cpus: set[int]) -> None:
        self._ask('bind', cpus)

    def set_to(self, workload: Workload, *arguments: Any) -> None:
        self._ask('set_to', workload.name, *arguments)

    def warm_up(self) -> None:
        self._ask('warm_up')

    def answers(self) -> list[Any]:
        return list(self._ask('answers'))

    def record(self) -> Recording:
        recording: Recording = self._ask('record')
        return recording

    def calls_in(self, seconds: float) -> int:
        return int(self._ask('calls_in', seconds))

    def elapsed(self, calls: int) -> float:
        return float(self._ask('elapsed', calls))

    def seconds_per_call(self, calls: int) -> float:
        return float(self._ask('seconds_per_call', calls))

    def cost(self) -> Cost:
        return Cost(*self._ask('cost'))

    def first_call(self) -> float:
        return float(self._ask('first_call'))

    def peak_memory(self) -> Any:
        return self._ask('peak_memory')

    def versions(self) -> dict[str, str]:
        return dict(self._ask('versions'))

    def close(self) -> None:
        """End the process: it ends by itself when its input is closed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> RemoteLeg:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _carry_out(leg: Any, method: str, arguments: tuple[Any, ...]) -> tuple[str | None, Any]:
    if method == 'set_to':
        arguments = (BY_NAME[arguments[0]], *arguments[1:])
    try:
        return None, getattr(leg, method)(*arguments)
    except Exception:
        return traceback.format_exc(), None


def serve(leg: Any, requests: IO[bytes], replies: IO[bytes]) -> None:
    """Carry out requests until there are no more."""
    with suppress(EOFError, BrokenPipeError):
        while True:
            method, arguments = pickle.load(requests)
            pickle.dump(_carry_out(leg, method, arguments), replies)
            replies.flush()


def main(name: str, hiredis_folder: str) -> None:
    """Be the leg of that name."""
    # What other code prints must not come between the replies.
    replies = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)
    set_up_hiredis(is_wanted=name in WITH_HIREDIS, folder=hiredis_folder or None)
    leg = BareLeg() if name == BOUND else CallingLeg(name)
    serve(leg, sys.stdin.buffer, replies)


if __name__ == '__main__':
    main(*sys.argv[1:])
