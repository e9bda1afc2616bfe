"""What the project wants to reach, and what a run has found of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .legs import BY_HAND_HIREDIS, OURS, RQ
from .report import Rows, digits
from .results import Results

Value = Callable[[Results], float | None]


@dataclass(frozen=True)
class Target:
    """A figure of a run, and what it should be at least or at most."""

    title: str
    value: Value
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def wanted(self) -> str:
        """What is wanted, in words."""
        return f'≥ {self.least:g}{self.unit}' if self.least is not None else f'≤ {self.most:g}{self.unit}'

    def cells(self, results: Results) -> list[str]:
        """Return the title, what is wanted, what was found, and whether it is reached; nothing if not measured."""
        value = self.value(results)
        if value is None:
            return []
        is_reached = value >= self.least if self.least is not None else value <= (self.most or 0)
        return [self.title, self.wanted, f'{digits(value)}{self.unit}', 'yes' if is_reached else 'no']


def ratio(workload: str, leg: str) -> Value:
    """Return what finds how many times as long a leg takes as ours."""

    def value(results: Results) -> float | None:
        call = results.call(workload)
        found = call and call['ratios'].get(f'{leg}/{OURS}')
        return found['median'] if found else None

    return value


def microseconds_a_job(workload: str) -> Value:
    """Return what finds our time for one of a workload's jobs."""

    def value(results: Results) -> float | None:
        call = results.call(workload)
        return call['legs'][OURS]['median'] / call['size'] * 1e6 if call else None

    return value


def percent_waiting(workload: str) -> Value:
    """Return what finds the share of the time that our caller waits for the server."""

    def value(results: Results) -> float | None:
        shares = results.found.get('shares', {}).get(workload)
        return 100 * shares[OURS]['waiting']['median'] if shares else None

    return value


def slowest_command(results: Results) -> float | None:
    """Return the milliseconds of the slowest command of all changes in bulk."""
    found = [held for by_operation in results.found.get('holding', {}).values() for held in by_operation.values()]
    return max((held['worst_command'] for held in found), default=0) * 1e3 if found else None


TARGETS = (
    Target('purge() of 100 000 jobs, a job', microseconds_a_job('purge-100000'), ' µs', most=10),
    Target("purge() of 100 000 jobs, against RQ's loop", ratio('purge-100000', RQ), ' times', least=150),
    Target("requeue_all() of 100 000 jobs, against RQ's loop", ratio('requeue_all-100000', RQ), ' times', least=40),
    Target("snapshot() of 100 queues, against RQ's properties", ratio('snapshot-100-queues', RQ), ' times', least=40),
    Target(
        'snapshot() of 100 queues, against a pipeline with hiredis-py',
        ratio('snapshot-100-queues', BY_HAND_HIREDIS),
        ' times',
        least=2,
    ),
    Target(
        'iter_job_ids() of 1 000 000, against zscan_iter() with hiredis-py',
        ratio('iter_job_ids-1000000', BY_HAND_HIREDIS),
        ' times',
        least=3,
    ),
    Target('find() over 100 000 jobs: our share of waiting', percent_waiting('find-100000'), '%', least=50),
    Target('slowest command of a change in bulk, by SLOWLOG', slowest_command, ' ms', most=10),
    Target('count by 16 threads, against RQ', ratio('count-16-threads', RQ), ' times', least=6),
)


def rows(results: Results) -> Rows:
    """Return the targets as a table, without those of which nothing was measured."""
    found = (target.cells(results) for target in TARGETS)
    return [['target', 'wanted', 'found', 'reached'], *(cells for cells in found if cells)]
