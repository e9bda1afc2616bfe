"""What a scrape reads: a snapshot, and once a minute what failed. Needs prometheus_client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import Metric

from ..._all_queues.count_by import count_by
from ..._all_queues.snapshot import Snapshot, snapshot
from ..._fastpath.server_errors import describe
from .. import statuses
from ..server import Server
from ..terminal import say
from . import metrics
from .metrics import FailureGroup, Failures, Problem
from .queue_gauge import QueueGauge

# Scrapers that come within this time are given the same numbers.
_FRESH_SECONDS = 1.0
# The failed jobs are counted at most so often: all of them are read for it.
_COUNT_SECONDS = 60.0
# The most lines about what one reading newly finds wrong.
_LINES = 10


class Scrapes:
    """Reads the metrics, a collector of prometheus_client. What was read within the last second is given again.

    Attributes:
        status: The exit status that the last reading has.
    """

    def __init__(
        self, server: Server, patterns: Sequence[str], with_names: bool, failures: FailureCounts | None
    ) -> None:
        self.status = statuses.DONE
        self._server = server
        self._patterns = patterns
        self._with_names = with_names
        self._failures = failures
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._read_at: float | None = None
        self._count = 0
        self._seconds = 0.0
        self._said: set[str] = set()

    def describe(self) -> Iterable[Metric]:
        """Return what collect() may return, without values."""
        nothing = Snapshot(0.0, (), None)
        return [
            *metrics.queue_metrics(nothing, []),
            *metrics.worker_metrics(nothing, True, []),
            *metrics.failure_metrics(None),
            *metrics.exporter_metrics(False, 0, 0, 0, ()),
        ]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics. Of several threads, one reads, and the others wait for it."""
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at >= _FRESH_SECONDS:
                self._metrics = [metric for metric in self._read() if _has_samples(metric)]
                self._read_at = time.monotonic()
            return self._metrics

    def _read(self) -> list[Metric]:
        problems: list[Problem] = []
        found: list[Metric] = []
        start = time.perf_counter()
        taken, has_workers = self._snapshot(problems)
        if taken is not None:
            found += metrics.queue_metrics(taken, problems)
            if has_workers:
                found += metrics.worker_metrics(taken, self._with_names, problems)
            if self._failures is not None:
                found += metrics.failure_metrics(self._failures.latest(list(taken), problems))
        seconds = time.perf_counter() - start
        self._count += 1
        self._seconds += seconds
        self._say({problem.text for problem in problems})
        if taken is None:
            self.status = statuses.SERVER
        else:
            self.status = statuses.INCOMPLETE if problems else statuses.DONE
        return [*metrics.exporter_metrics(taken is not None, seconds, self._seconds, self._count, problems), *found]

    def _snapshot(self, problems: list[Problem]) -> tuple[Snapshot | None, bool]:
        """Return a snapshot, None if the server does not answer or refuses, and whether it has the workers."""
        client = self._server.client
        try:
            queues = self._server.matching(self._patterns)
            try:
                return snapshot(client, queues, worker_details=self._with_names, oldest=True), True
            except Exception as error:
                if statuses.is_of_server(error):
                    raise
                # A value in a worker's hash that RQ did not write, say.
                problems.append(Problem('workers', f'workers not read: {describe(error)}'))
                return snapshot(client, queues, workers=False, oldest=True), False
        except Exception as error:
            text = statuses.describe_server_error(error) if statuses.is_of_server(error) else describe(error)
            problems[:] = [Problem('queues', text)]
            return None, False

    def _say(self, texts: set[str]) -> None:
        """Say what is newly wrong, and when nothing is any more."""
        new = sorted(texts - self._said)
        for text in new[:_LINES]:
            say(text)
        if len(new) > _LINES:
            say(f'and {len(new) - _LINES} more of the kind')
        if self._said and not texts:
            say('all is read again')
        self._said = texts


def _has_samples(metric: Metric) -> bool:
    return bool(metric.rows if isinstance(metric, QueueGauge) else metric.samples)


class FailureCounts:
    """Counts the failed jobs by function and exception, in a thread of its own if `in_background`."""

    def __init__(self, server: Server, most: int, in_background: bool) -> None:
        self._in_background = in_background
        self._server = server
        self._most = most
        self._started_at: float | None = None
        self._found: Failures | None = None
        self._problems: list[Problem] = []

    def latest(self, queues: Sequence[str], problems: list[Problem]) -> Failures | None:
        """Return the last count, None if there is none yet; begin another one if the last is a minute old."""
        now = time.monotonic()
        if self._started_at is None or now - self._started_at >= _COUNT_SECONDS:
            self._started_at = now
            if self._in_background:
                threading.Thread(target=self._count, args=(queues,), name='rqreg-failures', daemon=True).start()
            else:
                self._count(queues)
        problems += self._problems
        return self._found

    def _count(self, queues: Sequence[str]) -> None:
        """Count the failed jobs of these queues."""
        try:
            # As objects: a queue may be gone by now.
            found = count_by(
                self._server.client, 'func_name', 'exc_type', queues=[self._server.queue(name) for name in queues]
            )
        except Exception as error:
            self._found = None
            self._problems = [Problem('errors', f'failed jobs not counted: {describe(error)}')]
            return
        groups = [
            FailureGroup(group.values['func_name'] or '', group.values['exc_type'] or '', group.count)
            for group in found[: self._most]
        ]
        self._found = Failures(groups, time.time())
        self._problems = [
            Problem('errors', f'failed jobs of queue {name!r} not counted: {describe(error)}')
            for name, error in found.errors.items()
        ]
