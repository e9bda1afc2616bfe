"""Pressure on all processors: tests that depend on how fast something is done show under it that they do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# For each processor: one process more has to wait for its turn than on a machine where other things are done as well.
PROCESSES = 3
# Until its parent is gone, so that nothing is left of a program that was killed.
BUSY = 'import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))'


@contextlib.contextmanager
def pressure() -> Iterator[None]:
    """Keep all processors busy until the end of the block."""
    command = [sys.executable, '-S', '-c', BUSY, str(os.getpid())]
    processes = [subprocess.Popen(command) for _ in range(PROCESSES * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
