"""The metrics of redis-py itself (redis.observability): RQ's commands are measured, and so are ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import rq.registry

import rqreg_ext.registry
from rqreg_ext import _core

from .tour import NAME, prepare

if TYPE_CHECKING:
    from private_redis import PrivateRedis

metrics = pytest.importorskip('opentelemetry.metrics')
sdk = pytest.importorskip('opentelemetry.sdk.metrics')
export = pytest.importorskip('opentelemetry.sdk.metrics.export')
observability = pytest.importorskip('redis.observability')
recorder = pytest.importorskip('redis.observability.recorder')

READER = export.InMemoryMetricReader()


def measured() -> Counter[str]:
    """Return how many commands were measured, by name."""
    data = READER.get_metrics_data()
    return Counter(
        {
            point.attributes['db.operation.name']: point.count
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            if metric.name == 'db.client.operation.duration'
            for point in metric.data.data_points
        }
    )


@pytest.fixture
def client(redis_server: PrivateRedis) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        rqreg_ext.registry.FailedJobRegistry(NAME, connection=client).get_job_count()
        assert _core.is_direct(client)
        yield client
        # It is measured no more.
        assert _core.is_direct(client)


@pytest.fixture(scope='module')
def provider() -> None:
    """There can be one in a process."""
    metrics.set_meter_provider(sdk.MeterProvider([READER]))


@pytest.fixture
def is_measured(client: redis.Redis, provider: None) -> Iterator[None]:
    config = observability.OTelConfig(metric_groups=[observability.MetricGroup.COMMAND])
    observability.get_observability_instance().init(config)
    yield
    observability.get_observability_instance()._provider_manager = None
    recorder.reset_collector()


CALLS: dict[str, Callable[[Any], Any]] = {
    'count': lambda registry: registry.count,
    'ids': lambda registry: registry.get_job_ids(),
    'in': lambda registry: 'failed-0' in registry,
    'remove': lambda registry: registry.remove('failed-0'),
}


@pytest.mark.usefixtures('is_measured')
@pytest.mark.parametrize('call', CALLS)
def test_commands_are_measured_as_rqs(client: redis.Redis, connection: redis.Redis, call: str) -> None:
    found = []
    for namespace in (rq.registry, rqreg_ext.registry):
        prepare(connection)
        registry = namespace.FailedJobRegistry(NAME, connection=client)
        before = measured()
        value = CALLS[call](registry)
        found.append((value, measured() - before))
    assert found[1] == found[0]
    assert found[1][1]


@pytest.mark.usefixtures('is_measured')
def test_script_in_place_of_commands_is_measured(client: redis.Redis, connection: redis.Redis) -> None:
    prepare(connection)
    before = measured()
    rqreg_ext.registry.FailedJobRegistry(NAME, connection=client).remove('failed-0', delete_job=True)
    seen = measured() - before
    assert seen['EVALSHA'] + seen['EVAL'] == seen.total() == 1


@pytest.mark.usefixtures('is_measured')
def test_scripts_are_measured(client: redis.Redis, connection: redis.Redis) -> None:
    prepare(connection)
    before = measured()
    rqreg_ext.registry.FailedJobRegistry(NAME, connection=client).purge()
    seen = measured() - before
    assert seen['EVALSHA'] + seen['EVAL'] > 0
    # What is tried, but not sent, is not measured.
    assert seen['HDEL'] == 0
