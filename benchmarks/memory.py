"""The most memory that a call takes, against the memory of its result."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATUS = Path('/proc/self/status')
CLEAR_REFS = Path('/proc/self/clear_refs')
RESET_PEAK = '5'


@dataclass(frozen=True)
class Peak:
    """Bytes: the most above the start, and what the result itself takes."""

    above_start: int
    result: int


def size_of_list(result: list[Any]) -> int:
    """Return the bytes of a list and of all that it holds."""
    return sys.getsizeof(result) + sum(map(sys.getsizeof, result))


def _resident(name: str) -> int:
    line = next(line for line in STATUS.read_text(encoding='ascii').splitlines() if line.startswith(f'{name}:'))
    return int(line.split()[1]) * 1024


def _peak_so_far() -> int:
    """Return the process's peak since its start; where it cannot be reset, a fresh process has to do."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def peak_of(call: Callable[[], Any]) -> Peak:
    """Measure one call; meaningful in a process that has not used and freed much before."""
    try:
        CLEAR_REFS.write_text(RESET_PEAK, encoding='ascii')
        start = _resident('VmRSS')
    except OSError:
        start = _peak_so_far()
        result = call()
        return Peak(_peak_so_far() - start, size_of_list(result))
    result = call()
    return Peak(_resident('VmHWM') - start, size_of_list(result))
