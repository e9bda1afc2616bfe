"""python -m benchmarks.deployments.child: one deployment, in a process of its own; prints what it found as JSON.

Arguments: a client of clients.py, the port, the jobs, the calls in a turn, the jobs of a loop, the rounds, and texts of
which an operation's name must have one, if there are any. RQ and ours take turns, and the one that begins changes.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter
from typing import Any

import rq
import rq.registry

import rqreg_ext
import rqreg_ext.registry

from .clients import BY_NAME, Context
from .operations import Operation, Side, operations

SIDES = (Side('rq', rq.Queue, rq.registry), Side('ours', rqreg_ext.Queue, rqreg_ext.registry))


class Turns:
    """The turns of both sides on one operation."""

    def __init__(self, operation: Operation, client: Any, context: Context) -> None:
        self.operation = operation
        self.client = client
        self.context = context
        self.answers: dict[str, Any] = {}

    def take(self, side: Side) -> float:
        """Return the seconds of one call."""
        if self.operation.changes:
            self.populate()
        call = self.operation.rq if side.name == 'rq' else self.operation.ours
        with self.context():
            begun = perf_counter()
            count, self.answers[side.name] = call(side, self.client)
            return (perf_counter() - begun) / count

    def populate(self) -> None:
        """Fill the empty database."""
        self.client.flushall()
        self.operation.populate(self.client)

    def measure(self, rounds: int) -> dict[str, list[float]]:
        """Return the seconds of each round. Raises RuntimeError if the sides answer differently."""
        self.populate()
        for side in SIDES:
            # Not counted: it fills caches.
            self.take(side)
        if self.answers['rq'] != self.answers['ours']:
            raise RuntimeError(f'{self.operation.name}: RQ and ours answer differently')
        seconds: dict[str, list[float]] = {side.name: [] for side in SIDES}
        for number in range(rounds):
            for side in SIDES[:: 1 if number % 2 else -1]:
                seconds[side.name].append(self.take(side))
        return seconds


def main(name: str, port: str, jobs: str, calls: str, sampled: str, rounds: str, *texts: str) -> None:
    """Measure, and print."""
    # What a tracer prints must not come between.
    results = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    client, context = BY_NAME[name](int(port))
    found = {
        operation.name: Turns(operation, client, context).measure(int(rounds))
        for operation in operations(int(jobs), int(calls), int(sampled))
        if not texts or any(text in operation.name for text in texts)
    }
    json.dump(found, results)
    results.flush()
    # Without the threads of tracers, which would wait for a server that there is not.
    os._exit(0)


if __name__ == '__main__':
    main(*sys.argv[1:])
