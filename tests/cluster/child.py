"""A process that makes the calls that tests send to it, under an RQ_KEY_PREFIX, which RQ reads at import."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any

TESTS = Path(__file__).resolve().parent.parent
# Far beyond what any call takes.
PATIENCE = 100.0


class ChildError(AssertionError):
    """What a function raised in the child: a mistake of the test, since what a call raises is part of its answer."""


class Child:
    """The process; a context manager. For one thread at a time."""

    def __init__(self, prefix: str) -> None:
        folders = [str(TESTS), str(TESTS.parent), str(TESTS.parent / 'tools'), os.environ.get('PYTHONPATH')]
        path = os.pathsep.join(filter(None, folders))
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'cluster.child'],
            env={**os.environ, 'RQ_KEY_PREFIX': prefix, 'PYTHONPATH': path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(
        self, function: Callable[..., Any], *args: object, reached: Callable[[int], object] = lambda count: None
    ) -> Any:
        """Return what the function, of a module's top level, returns in the child.

        reached: called when the function calls the `report` that it has as its first argument, which waits for it.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        _send(self.process.stdin, (function.__module__, function.__qualname__, args))
        while True:
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                self.end()
                raise ChildError(f'{function.__qualname__}{args} took more than {PATIENCE:.0f} s')
            kind, value = pickle.load(self.process.stdout)
            if kind == 'returned':
                return value
            if kind == 'raised':
                raise ChildError(value)
            reached(value)
            _send(self.process.stdin, None)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()


def _send(pipe: IO[bytes], message: object) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


def main() -> None:
    """Make the calls that come by standard input, until that ends."""
    commands, answers = sys.stdin.buffer, os.fdopen(os.dup(1), 'wb')
    # What is printed is not part of an answer.
    os.dup2(2, 1)

    def report(count: int) -> None:
        _send(answers, ('reached', count))
        pickle.load(commands)

    while True:
        try:
            module, name, args = pickle.load(commands)
        except EOFError:
            return
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            message = ('returned', getattr(import_module(module), name)(report, *args))
        except Exception:
            message = ('raised', traceback.format_exc())
        faulthandler.cancel_dump_traceback_later()
        _send(answers, message)


if __name__ == '__main__':
    main()
