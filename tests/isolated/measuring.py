"""How a script measures itself: in the middle of its work and at the end of it, when nothing should have been added.

A script calls `measure` once. Its arguments: the port of a server, and how many times more to do than in short.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from host.descriptors import open_descriptors

PORT = int(sys.argv[1])
FACTOR = int(sys.argv[2])


class _MallInfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            'arena',
            'ordblks',
            'smblks',
            'hblks',
            'hblkhd',
            'usmblks',
            'fsmblks',
            'uordblks',
            'fordblks',
            'keep',
        )
    ]


def _bytes_of_malloc() -> int | None:
    """Return how many bytes are allocated by malloc, hiredis's included; None where the C library does not tell."""
    try:
        tell = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    tell.restype = _MallInfo
    told = tell()
    return int(told.uordblks + told.hblkhd)


def _resident() -> int | None:
    """Return the resident set in bytes; None where /proc does not tell."""
    try:
        with open('/proc/self/statm', encoding='ascii') as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGESIZE')
    except OSError:
        return None


def _sample() -> dict[str, Any]:
    # The type cache keeps names that were looked up, a few thousand at most.
    sys._clear_type_cache()
    gc.collect()
    return {
        'blocks': sys.getallocatedblocks(),
        'objects': len(gc.get_objects()),
        'descriptors': len(open_descriptors()),
        'malloc': _bytes_of_malloc(),
        'resident': _resident(),
    }


def measure(step: Callable[[], object], steps: int, calls: int = 1) -> None:
    """Do `steps` steps, times the factor, of `calls` calls each, and write what was measured as JSON."""
    half = steps * FACTOR // 2
    samples = []
    # Taking one for the first time takes memory itself. What is there already is none of the collector's business.
    _sample()
    gc.freeze()
    for _ in range(2):
        for _ in range(half):
            step()
        samples.append(_sample())
    print(json.dumps({'calls': half * calls, 'middle': samples[0], 'end': samples[1]}), flush=True)
