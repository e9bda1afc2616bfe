"""The one limit of these tests: far beyond what anything here takes, so that a hang is a failure and not a silence."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0


def eventually(condition: Callable[[], object]) -> bool:
    """Ask again and again until the condition holds; False when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
