"""The metrics of a snapshot, by the names of rq-exporter where it has them. Needs prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric

from ... import __version__
from ..._all_queues.snapshot import Snapshot
from ..._fastpath.rq_keys import REGISTRIES
from ..._fastpath.server_errors import describe
from .queue_gauge import QueueGauge

Value = TypeVar('Value')

# What a scrape reads, each of which may fail alone.
PARTS = ('queues', 'latency', 'workers', 'errors')
STATUSES = ('queued', *REGISTRIES)
_counts = attrgetter(*STATUSES)
# These are exported even if no worker is in them.
_STATES = ('busy', 'idle', 'suspended')


class FailureGroup(NamedTuple):
    """How many jobs of a function have failed by an exception."""

    function: str
    exception: str
    jobs: int


class Failures(NamedTuple):
    """The largest groups of failed jobs, and when they were counted, a Unix timestamp in seconds."""

    groups: Sequence[FailureGroup]
    timestamp: float


class Problem(NamedTuple):
    """What could not be read: one of PARTS, and the reason."""

    part: str
    text: str


# ---- Of the queues


def queue_metrics(taken: Snapshot, problems: list[Problem]) -> Iterator[Metric]:
    """Yield the metrics of the queues; add what could not be read to the problems."""
    jobs = QueueGauge('rq_jobs', 'Jobs of a queue by status.', STATUSES)
    latency = QueueGauge(
        'rq_queue_latency_seconds', 'How long the oldest waiting job of a queue has waited; 0 if none waits.'
    )
    listening = QueueGauge('rq_queue_workers', 'Workers that listen to a queue.')
    # Without the workers, no queue has any.
    has_workers = _read(lambda: taken.workers) is not None
    for name, queue in taken.items():
        jobs.rows.append((name, _counts(queue)))
        try:
            # The clocks of the server and of the program that enqueued the job may differ.
            latency.rows.append((name, (max(queue.oldest_age or 0.0, 0.0),)))
        except Exception as error:
            problems.append(Problem('latency', f'latency of queue {name!r} not read: {describe(error)}'))
        if has_workers:
            listening.rows.append((name, (sum(queue.workers.values()),)))
    problems += [
        Problem('queues', f'queue {name!r} is left out: {describe(error)}') for name, error in taken.errors.items()
    ]
    yield from (jobs, latency, listening)


def _read(
    read: Callable[[], Value], part: str = '', problems: list[Problem] | None = None, what: str = ''
) -> Value | None:
    """Return a value of a snapshot; None if it could not be read, which is one of the problems then."""
    try:
        return read()
    except Exception as error:
        if problems is not None:
            problems.append(Problem(part, f'{what} not read: {describe(error)}'))
        return None


# ---- Of the workers


def worker_metrics(taken: Snapshot, with_names: bool, problems: list[Problem]) -> Iterator[Metric]:
    """Yield the metrics of the workers; add what could not be read to the problems.

    with_names: whether to yield those of each worker, for which the snapshot needs worker_details.
    """
    by_state = GaugeMetricFamily('rq_workers_by_state', 'Workers by state.', labels=['state'])
    states = _read(lambda: taken.workers, 'workers', problems, 'workers')
    if states is not None:
        for state in sorted({*_STATES, *states}):
            by_state.add_metric([state], states[state])
    yield by_state
    if with_names:
        # Without the states, there are no details for the same reason.
        yield from _of_each_worker(taken, problems if states is not None else None)


def _of_each_worker(taken: Snapshot, problems: list[Problem] | None) -> Iterator[Metric]:
    labels = ['name', 'queues']
    workers = GaugeMetricFamily('rq_workers', 'RQ workers: 1 for each.', labels=['name', 'state', 'queues'])
    success = CounterMetricFamily('rq_workers_success', 'Jobs of a worker that succeeded.', labels=labels)
    failed = CounterMetricFamily('rq_workers_failed', 'Jobs of a worker that failed.', labels=labels)
    working_time = CounterMetricFamily(
        'rq_workers_working_time', 'Seconds that a worker has worked on jobs that have ended.', labels=labels
    )
    job_start = GaugeMetricFamily(
        'rq_worker_job_start_timestamp_seconds',
        'When a worker began the job that it executes; absent if it executes none.',
        labels=labels,
    )
    details = _read(lambda: taken.worker_details, 'workers', problems, 'what workers do')
    for worker in (details or {}).values():
        queues = ','.join(worker.queues)
        workers.add_metric([worker.name, worker.state, queues], 1)
        success.add_metric([worker.name, queues], worker.successful_job_count)
        failed.add_metric([worker.name, queues], worker.failed_job_count)
        working_time.add_metric([worker.name, queues], worker.total_working_time)
        if worker.current_job_started_at is not None:
            job_start.add_metric([worker.name, queues], worker.current_job_started_at.timestamp())
    yield from (workers, success, failed, working_time, job_start)


# ---- Of what failed


def failure_metrics(failures: Failures | None) -> Iterator[Metric]:
    """Yield the metrics of the failed jobs by function and exception."""
    jobs = GaugeMetricFamily(
        'rq_failed_jobs',
        'Failed jobs by function and exception, the largest groups.',
        labels=['function', 'exception'],
    )
    counted = GaugeMetricFamily('rq_failed_jobs_read_timestamp_seconds', 'When rq_failed_jobs was counted.')
    if failures is not None:
        for group in failures.groups:
            jobs.add_metric([group.function, group.exception], group.jobs)
        counted.add_metric([], failures.timestamp)
    yield from (jobs, counted)


# ---- Of the exporter


def exporter_metrics(
    is_up: bool, seconds: float, seconds_of_all: float, scrapes: int, problems: Sequence[Problem]
) -> Iterator[Metric]:
    """Yield the metrics of the exporter itself.

    seconds: how long this reading took; seconds_of_all: how long all of them took, of which there were `scrapes`.
    """
    yield GaugeMetricFamily('rq_up', 'Whether Redis could be read: 1, or 0.', value=int(is_up))
    yield GaugeMetricFamily('rq_scrape_duration_seconds', 'How long the last reading took.', value=seconds)
    errors = GaugeMetricFamily('rq_scrape_errors', 'What the last reading could not read, by part.', labels=['part'])
    for part in PARTS:
        errors.add_metric([part], sum(problem.part == part for problem in problems))
    yield errors
    yield SummaryMetricFamily(
        'rq_request_processing_seconds',
        'How long the readings took.',
        count_value=scrapes,
        sum_value=seconds_of_all,
    )
    yield InfoMetricFamily('rq_exporter_build', 'The version of the exporter.', value={'version': __version__})
