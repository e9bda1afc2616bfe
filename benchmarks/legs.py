"""What is measured side by side: RQ, code written by hand, rqreg_ext, and a bare socket.

RQ and the code by hand are measured with hiredis-py and without. A leg is set to one workload at a time and then
asked, round by round, how long a call takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, NamedTuple

from . import cpu_placement
from .workloads import Kind, Workload

RQ = 'rq'
RQ_HIREDIS = 'rq_hiredis'
BY_HAND = 'by_hand'
BY_HAND_HIREDIS = 'by_hand_hiredis'
OURS = 'rqreg_ext'
BOUND = 'bound'
# In the order of the table.
NAMES = (RQ, RQ_HIREDIS, BY_HAND, BY_HAND_HIREDIS, OURS, BOUND)
WITH_HIREDIS = (RQ_HIREDIS, BY_HAND_HIREDIS)
TITLES = {
    RQ: 'RQ',
    RQ_HIREDIS: 'RQ + hiredis-py',
    BY_HAND: 'by hand',
    BY_HAND_HIREDIS: 'by hand + hiredis-py',
    OURS: 'rqreg_ext',
    BOUND: 'bare round trip',
}

# Whose call each leg makes.
KINDS = {
    RQ: Kind.RQ,
    RQ_HIREDIS: Kind.RQ,
    BY_HAND: Kind.BY_HAND,
    BY_HAND_HIREDIS: Kind.BY_HAND,
    OURS: Kind.OURS,
}


@dataclass(frozen=True)
class Server:
    """Where a client connects: the server's unix socket if that is given, or else its port."""

    port: int
    socket_path: str | None = None

    def client(self, database: int) -> Any:
        """Return a new redis-py client with everything at its default."""
        import redis

        if self.socket_path is not None:
            return redis.Redis(unix_socket_path=self.socket_path, db=database)
        return redis.Redis(host='127.0.0.1', port=self.port, db=database)


@dataclass(frozen=True)
class Place:
    """The data of one workload: where it is, its size, and the arguments that the calls are given."""

    server: Server
    database: int
    size: int
    arguments: list[Any]


class Cost(NamedTuple):
    """Seconds: by the clock, and of the calling process's CPU time."""

    seconds: float
    cpu: float


class Leg:
    """What all legs share: arguments one after the other, and how long a number of calls takes."""

    workload: Workload
    place: Place
    arguments: Iterator[Any]

    def bind(self, cpus: set[int]) -> None:
        """Run on these CPUs from now on."""
        cpu_placement.bind(os.getpid(), cpus)

    def take_up(self, workload: Workload, place: Place) -> None:
        self.workload = workload
        self.place = place
        self.arguments = cycle(place.arguments)

    def next_arguments(self, count: int) -> list[Any]:
        """Return the next ones. What is changed is restored after each argument was given once."""
        if self.workload.changes and count != len(self.place.arguments):
            raise RuntimeError(f'{count} calls, where {len(self.place.arguments)} find what they change')
        return list(islice(self.arguments, count))

    def elapsed(self, calls: int) -> float:
        """Return the seconds that `calls` calls take, in each thread of the workload."""
        raise NotImplementedError

    def seconds_per_call(self, calls: int) -> float:
        """Return the seconds per call, over `calls` calls in each thread of the workload."""
        return self.elapsed(calls) / (calls * self.workload.threads)

    def calls_in(self, seconds: float) -> int:
        """Return how many calls make a round of about that length."""
        if self.workload.changes:
            return len(self.place.arguments)
        calls = 1
        while self.elapsed(calls) < seconds:
            calls *= 2
        return calls
