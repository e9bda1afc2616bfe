"""Processes that outlive the program that a test has started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


class Orphans:
    """A context manager: inside it, on Linux, what outlives a child becomes a child of this process, to be found."""

    def __enter__(self) -> Orphans:
        _adopt(True)
        self.before = _children()
        return self

    def __exit__(self, *_: object) -> None:
        for pid in _children().keys() - self.before.keys():
            os.kill(pid, signal.SIGKILL)
        _adopt(False)

    def left(self) -> list[str]:
        """Return the command lines of those that are still there."""
        return [command for pid, command in _children().items() if pid not in self.before]


def _adopt(wanted: bool) -> None:
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def _children() -> dict[int, str]:
    """Return this process's living children, by id, with their command lines."""
    children = {}
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, parent = stat.read_text().rpartition(')')[2].split()[:2]
            if int(parent) == os.getpid() and state != 'Z':
                children[int(stat.parent.name)] = (stat.parent / 'cmdline').read_text().replace('\0', ' ')
        except (FileNotFoundError, ProcessLookupError):
            continue
    return children
