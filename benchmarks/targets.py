"""What the project wants to reach, and what a run has found of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .legs import BY_HAND, BY_HAND_HIREDIS, OURS, RQ
from .report import EMPTY, Rows, digits
from .results import Results

Value = Callable[[Results], float | None]


@dataclass(frozen=True)
class Figure:
    """What is found of one workload, and what it would be if the call took no longer than the server works for it.

    That is as far as work on our side can bring it.
    """

    found: Value
    by_server_alone: Value | None = None


@dataclass(frozen=True)
class Target:
    """A figure of a run, and what it should be at least or at most."""

    title: str
    figure: Figure
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def wanted(self) -> str:
        """What is wanted, in words."""
        return f'≥ {self.least:g}{self.unit}' if self.least is not None else f'≤ {self.most:g}{self.unit}'

    def is_reached(self, value: float) -> bool:
        """Tell whether a value is as wanted."""
        return value >= self.least if self.least is not None else value <= (self.most or 0)

    def cells(self, results: Results) -> list[str]:
        """Return the title, what is wanted, what was found, whether it is reached, and how it would be by the server.

        Nothing if it was not measured.
        """
        value = self.figure.found(results)
        if value is None:
            return []
        alone = self.figure.by_server_alone and self.figure.by_server_alone(results)
        found = [f'{digits(value)}{self.unit}', 'yes' if self.is_reached(value) else 'no']
        return [self.title, self.wanted, *found, EMPTY if alone is None else f'{digits(alone)}{self.unit}']


def _server_seconds(results: Results, workload: str) -> float | None:
    shares = results.found.get('shares', {}).get(workload)
    return shares[OURS]['server']['median'] if shares else None


def ratio(workload: str, leg: str) -> Figure:
    """Return what finds how many times as long a leg takes as ours."""

    def found(results: Results) -> float | None:
        call = results.call(workload)
        measured = call and call['ratios'].get(f'{leg}/{OURS}')
        return measured['median'] if measured else None

    def by_server_alone(results: Results) -> float | None:
        call, seconds = results.call(workload), _server_seconds(results, workload)
        return call['legs'][leg]['median'] / seconds if call and seconds and leg in call['legs'] else None

    return Figure(found, by_server_alone)


def microseconds_a_job(workload: str) -> Figure:
    """Return what finds our time for one of a workload's jobs."""

    def found(results: Results) -> float | None:
        call = results.call(workload)
        return call['legs'][OURS]['median'] / call['size'] * 1e6 if call else None

    def by_server_alone(results: Results) -> float | None:
        call, seconds = results.call(workload), _server_seconds(results, workload)
        return seconds / call['size'] * 1e6 if call and seconds else None

    return Figure(found, by_server_alone)


def percent_serving(workload: str) -> Figure:
    """Return what finds the share of the time of our call in which the server works."""

    def value(results: Results) -> float | None:
        shares = results.found.get('shares', {}).get(workload)
        return 100 * shares[OURS]['serving']['median'] if shares else None

    return Figure(value)


def slowest_command(results: Results) -> float | None:
    """Return the milliseconds of the slowest command of all changes in bulk."""
    found = [held for by_operation in results.found.get('holding', {}).values() for held in by_operation.values()]
    return max((held['worst_command'] for held in found), default=0) * 1e3 if found else None


def on_cluster(operation: str, ratio: str = 'rq/rqreg_ext') -> Figure:
    """Return what finds how many times as long a call takes on a cluster by RQ, or ours by the node's own client."""

    def found(results: Results) -> float | None:
        times = results.found.get('cluster', {}).get(operation)
        return times[ratio] if times else None

    return Figure(found)


# What RQ takes on a cluster, against ours.
_ON_CLUSTER = {
    'count': 2.5,
    'in': 1.8,
    'get_job_ids of 5000': 3,
    'purge of 2000 jobs': 100,
    'snapshot of 60 queues': 40,
}
TARGETS = (
    Target('purge() of 100 000 jobs, a job', microseconds_a_job('purge-100000'), ' µs', most=10),
    Target("purge() of 100 000 jobs, against RQ's loop", ratio('purge-100000', RQ), ' times', least=150),
    Target("requeue_all() of 100 000 jobs, against RQ's loop", ratio('requeue_all-100000', RQ), ' times', least=40),
    Target("snapshot() of 100 queues, against RQ's properties", ratio('snapshot-100-queues', RQ), ' times', least=40),
    Target(
        "snapshot() of 100 queues, against redis-py's pipeline",
        ratio('snapshot-100-queues', BY_HAND),
        ' times',
        least=2,
    ),
    Target(
        'snapshot() of 100 queues, against a pipeline with hiredis-py',
        ratio('snapshot-100-queues', BY_HAND_HIREDIS),
        ' times',
        least=2,
    ),
    Target('get_jobs() of 1000 ids, against Job.fetch_many()', ratio('get_jobs-ids-1000', RQ), ' times', least=3),
    Target(
        'iter_job_ids() of 1 000 000, against zscan_iter()', ratio('iter_job_ids-1000000', BY_HAND), ' times', least=3
    ),
    Target(
        'iter_job_ids() of 1 000 000, against zscan_iter() with hiredis-py',
        ratio('iter_job_ids-1000000', BY_HAND_HIREDIS),
        ' times',
        least=3,
    ),
    *(
        Target(f'find() by {what} over 100 000 jobs: the server works', percent_serving(workload), '%', least=50)
        for what, workload in (
            ('description', 'find-100000'),
            ('func_name', 'find-func_name-100000'),
            ('exc_info', 'find-exc_info-100000'),
        )
    ),
    Target('slowest command of a change in bulk, by SLOWLOG', Figure(slowest_command), ' ms', most=10),
    *(
        Target(f'{operation} on a cluster, against RQ', on_cluster(operation), ' times', least=least)
        for operation, least in _ON_CLUSTER.items()
    ),
    *(
        Target(
            f'{operation} on a cluster, against the same by a client of the node',
            on_cluster(operation, 'rqreg_ext/on the node'),
            ' times',
            most=1.1,
        )
        for operation in _ON_CLUSTER
    ),
    Target('count by 16 threads, against RQ', ratio('count-16-threads', RQ), ' times', least=6),
)


def rows(results: Results) -> Rows:
    """Return the targets as a table, without those of which nothing was measured."""
    found = (target.cells(results) for target in TARGETS)
    return [['target', 'wanted', 'found', 'reached', 'by the server alone'], *(cells for cells in found if cells)]
