"""The timeout of these tests: far more than anything takes, so that a hang is a failure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

# Under ThreadSanitizer all takes many times as long.
PATIENCE = 150.0 if 'TSAN_OPTIONS' in os.environ else 60.0


def eventually(condition: Callable[[], object]) -> bool:
    """Wait until the condition is true; return False after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
