"""Which CPU the server runs on, and which the legs: a condition of every figure, like the kind of socket.

A round trip to a server on another CPU waits for that CPU to wake up, and for the caller's to wake up again;
on the same CPU it is two switches of a few microseconds. Left to itself the scheduler moves each process from
one to the other, so legs measured side by side are then compared under different conditions, and the ratios
are luck. What is measured on one placement says nothing about another.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

APART = 'apart'
TOGETHER = 'together'
FREE = 'free'
TITLES = {
    APART: 'server and caller on different CPUs',
    TOGETHER: 'server and caller on the same CPU',
    FREE: 'server and caller wherever the scheduler puts them: ratios may compare different placements',
}


def available_cpus() -> list[int]:
    """Return the CPUs that processes can be bound to; none where there is no way to do it."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == 'linux' else []


def can_bind() -> bool:
    """Whether there are two CPUs to choose from."""
    return len(available_cpus()) > 1


def cpus(placement: str) -> tuple[set[int], set[int]]:
    """Return those of the server and those of the legs."""
    first, *others = available_cpus()
    if placement == FREE:
        return {first, *others}, {first, *others}
    return {first}, {first} if placement == TOGETHER else set(others)


def bind(pid: int, wanted: set[int]) -> None:
    """Bind all threads of a process; those that it starts later follow them."""
    if sys.platform == 'linux':
        for task in Path(f'/proc/{pid}/task').iterdir():
            os.sched_setaffinity(int(task.name), wanted)
