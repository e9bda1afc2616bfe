"""Handles Ctrl-C at certain points only.

A KeyboardInterrupt between starting a process and storing it would leave the process running. So the signal handler
only records the signal, and check(), called between steps and while waiting, raises KeyboardInterrupt.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

_received: list[int] = []


def _record(number: int, frame: FrameType | None) -> None:
    _received.append(number)


def install() -> None:
    """Record SIGINT, SIGTERM and SIGHUP from now on, instead of ending the process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _record)


def is_requested() -> bool:
    """Tell whether one of the signals was received."""
    return bool(_received)


def check() -> None:
    """Raise KeyboardInterrupt if one of the signals was received."""
    if _received:
        raise KeyboardInterrupt


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until the condition is true. Raises TimeoutError, with `what` in its message."""
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f'waited {seconds:.0f} seconds in vain for {what}')
        time.sleep(0.02)
