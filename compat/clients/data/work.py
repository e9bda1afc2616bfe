"""What the jobs of the population do."""

from __future__ import annotations

import time


def nothing() -> None:
    """Do nothing: what is left is RQ's own work."""


def add(a: int, b: int) -> int:
    """Return a sum."""
    return a + b


def divide(a: int, b: int, **options: object) -> float:
    """Fail where b is 0."""
    return a / b


def nest(depth: int) -> None:
    """Fail with a long traceback."""
    if depth == 0:
        raise RuntimeError('at the bottom')
    if depth % 2:
        nest(depth - 1)
    else:
        nest_further(depth - 1)


def nest_further(depth: int) -> None:
    """Call back, so that the lines of the traceback are not repetitions of one."""
    nest(depth)


def complain(text: str) -> None:
    """Fail with a message."""
    raise ValueError(text)


def linger(seconds: float) -> None:
    """Take longer than the job may."""
    time.sleep(seconds)
