"""The most memory that a call takes, against the memory of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STATUS = Path('/proc/self/status')
CLEAR_REFS = Path('/proc/self/clear_refs')
RESET_PEAK = '5'


@dataclass(frozen=True)
class Peak:
    """Bytes: the most above the start, and what the result itself takes."""

    above_start: int
    result: int


def _copy(text: str) -> str:
    return text[:1] + text[1:]


def memory_of_copy(texts: list[str]) -> int:
    """Return the bytes of memory that such a list takes, by making another: more than sys.getsizeof() tells of each.

    CPython hands out memory for small objects in steps of 16 bytes.
    """
    start = _resident('VmRSS')
    copy = list(map(_copy, texts))
    taken = _resident('VmRSS') - start
    assert copy == texts
    return taken


def _resident(name: str) -> int:
    line = next(line for line in STATUS.read_text(encoding='ascii').splitlines() if line.startswith(f'{name}:'))
    return int(line.split()[1]) * 1024


def peak_of(call: Callable[[], list[str]]) -> Peak:
    """Measure one call on Linux; meaningful in a process that has not used and freed much before."""
    CLEAR_REFS.write_text(RESET_PEAK, encoding='ascii')
    start = _resident('VmRSS')
    result = call()
    peak = _resident('VmHWM') - start
    return Peak(peak, memory_of_copy(result))
