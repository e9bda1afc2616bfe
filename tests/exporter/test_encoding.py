"""Metrics are written as prometheus_client writes them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition
from redis import Redis

from rqreg_ext import snapshot
from rqreg_ext.cli.exporter import metrics
from rqreg_ext.cli.exporter.encoding import encode
from rqreg_ext.cli.exporter.metrics import FailureGroup, Failures, Problem
from rqreg_ext.cli.exporter.queue_gauge import QueueGauge

NAMES = ['mail', 'a "quoted" one', 'back\\slash', 'two\nlines', 'Grüße 🐇', '100%', '']
VALUES = [0, 1, -1, 999_999, 1_000_000, 12_345_678, -12_345_678, 2**60, 0.1, 1e-7, 1.5e9, 1e22, float('inf'), True]


class Registry:
    """What prometheus_client's encoders take."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


@pytest.fixture
def all_metrics(connection: Redis) -> list[Metric]:
    for name in filter(None, NAMES):
        connection.sadd('rq:queues', f'rq:queue:{name}')
        connection.zadd(f'rq:failed:{name}', {'a': 4e9, 'b': 4e9})
    for number, name in enumerate(NAMES):
        connection.sadd('rq:workers', f'rq:worker:{number}{name}')
        connection.hset(
            f'rq:worker:{number}{name}',
            mapping={
                'birth': '2026-01-01T00:00:00.000000Z',
                'queues': name,
                'state': 'busy',
                'total_working_time': '1e7',
            },
        )
    problems = [Problem('latency', 'x')]
    taken = snapshot(connection, worker_details=True, oldest=True)
    gauge = QueueGauge('rq_numbers', 'Numbers of all kinds.', ('first', 'second'))
    gauge.rows = [(name, (value, -value)) for name in NAMES for value in VALUES]
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    return [
        *metrics.queue_metrics(taken, problems),
        *metrics.worker_metrics(taken, True, problems),
        *metrics.failure_metrics(
            Failures([FailureGroup(name, name, value) for name in NAMES for value in VALUES], 1.5)
        ),
        *metrics.exporter_metrics(True, 0.25, 1e9, 12, problems),
        gauge,
        *process.collect(),
    ]


def test_text_format_equals_that_of_prometheus_client(all_metrics: list[Metric]) -> None:
    assert encode(all_metrics, False) == generate_latest(Registry(all_metrics))


def test_open_metrics_format_equals_that_of_prometheus_client(all_metrics: list[Metric]) -> None:
    assert encode(all_metrics, True) == exposition.generate_latest(Registry(all_metrics))
