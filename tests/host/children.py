"""Child processes by os.fork, with their result or their exception brought back to the parent."""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from .patience import PATIENCE

T = TypeVar('T')


class ChildError(Exception):
    """The child raised; the message is its traceback."""


class Child(Generic[T]):
    """A forked child that runs `work` and ends; `result` waits for it. Ended with the context at the latest."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.pipe, child_end = os.pipe()
        self.ended = False
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            self._run(work, child_end)
        os.close(child_end)

    def _run(self, work: Callable[[], T], pipe: int) -> None:
        try:
            report = pickle.dumps((True, work()))
        except BaseException:
            report = pickle.dumps((False, traceback.format_exc()))
        try:
            with open(pipe, 'wb') as stream:
                stream.write(report)
        finally:
            # Nothing of pytest may run in the child: no finally, no atexit, no flush of inherited buffers.
            os._exit(0)

    def result(self) -> T:
        """Return what `work` returned, or raise ChildError with what it raised."""
        report = b''
        while True:
            ready, _, _ = select.select([self.pipe], [], [], PATIENCE)
            if not ready:
                raise ChildError(f'the child {self.pid} hangs')
            part = os.read(self.pipe, 1 << 16)
            if not part:
                break
            report += part
        self._reap()
        if not report:
            raise ChildError(f'the child {self.pid} died before it could report')
        succeeded, value = pickle.loads(report)
        if not succeeded:
            raise ChildError(value)
        answer: T = value
        return answer

    def _reap(self) -> None:
        if not self.ended:
            os.waitpid(self.pid, 0)
            os.close(self.pipe)
            self.ended = True

    def __enter__(self) -> Child[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()


def in_child(work: Callable[[], T]) -> T:
    """Run `work` in a forked child and return its result."""
    with Child(work) as child:
        return child.result()
