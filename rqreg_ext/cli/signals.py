"""The signals that end a command."""

from __future__ import annotations

import os
import signal
from types import FrameType

from . import statuses

_terminals: list[int] = []


class Ended(KeyboardInterrupt):
    """A signal that ends the process, as Ctrl-C does: what was done is still printed and logged."""

    def __init__(self, number: int) -> None:
        self.number = number


def end_by_signals() -> None:
    """Have SIGTERM and SIGHUP raise Ended, unless they are ignored, as under nohup."""
    # A terminal that is gone does not say any more that it was one.
    _terminals.extend(stream for stream in (1, 2) if os.isatty(stream))
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        # The terminal is gone, and writing to it would fail.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in _terminals:
            os.dup2(nowhere, stream)
    raise Ended(number)


def status_of(interruption: KeyboardInterrupt) -> int:
    """Return the status after Ctrl-C, or after another signal that ended the command, as a shell has it."""
    return 128 + interruption.number if isinstance(interruption, Ended) else statuses.INTERRUPTED
