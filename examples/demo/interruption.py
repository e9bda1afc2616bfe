"""Ctrl-C, taken at chosen points only.

A KeyboardInterrupt between the start of a process and the line that remembers it would leave the process
behind. So a signal is noted, and `check`, called between steps and in every wait, raises it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

_received: list[int] = []


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)


def install() -> None:
    """From now on note SIGINT, SIGTERM and SIGHUP instead of acting on them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _note)


def is_requested() -> bool:
    """Tell whether one of the signals has come."""
    return bool(_received)


def check() -> None:
    """Raise KeyboardInterrupt if one of the signals has come."""
    if _received:
        raise KeyboardInterrupt


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Return once the condition holds; raise TimeoutError, naming what was waited for, if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f'waited {seconds:.0f} seconds in vain for {what}')
        time.sleep(0.02)
