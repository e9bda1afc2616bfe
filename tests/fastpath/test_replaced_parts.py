"""Functions and methods of RQ that were patched, by the clock of a test or the hook of an application, are called."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import rq.registry
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import DefaultSerializer, JSONSerializer

import rqreg_ext.registry

NAMESPACES = [rq.registry, rqreg_ext.registry]
FUTURE = 2_000_000_000


@pytest.fixture
def queue(connection: Redis) -> Queue:
    """Return a queue with two failed jobs: 'soon' expires at FUTURE, 'late' one second later."""
    queue = Queue('replaced', connection=connection)
    for number, job_id in enumerate(['soon', 'late']):
        job = queue.enqueue('os.getpid', job_id=job_id)
        queue.remove(job)
        connection.zadd(queue.failed_job_registry.key, {job.id: FUTURE + number})
    return queue


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_replaced_clock_is_used(queue: Queue, monkeypatch: pytest.MonkeyPatch, namespace: ModuleType) -> None:
    registry = namespace.FailedJobRegistry(queue=queue)
    assert registry.count == 2
    monkeypatch.setattr(rq.registry, 'current_timestamp', lambda: FUTURE)
    assert registry.get_expired_job_ids() == ['soon']
    assert registry.get_job_ids() == ['late']
    monkeypatch.setattr(rq.registry, 'current_timestamp', lambda: FUTURE + 1)
    assert registry.count == 0


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_failing_clock_raises(queue: Queue, monkeypatch: pytest.MonkeyPatch, namespace: ModuleType) -> None:
    def stopped() -> int:
        raise RuntimeError('the clock stopped')

    monkeypatch.setattr(rq.registry, 'current_timestamp', stopped)
    registry = namespace.FailedJobRegistry(queue=queue)
    for call in (registry.get_job_count, registry.get_job_ids, registry.get_expired_job_ids, registry.cleanup):
        with pytest.raises(RuntimeError, match='the clock stopped'):
            call()
    assert registry.get_job_count(cleanup=False) == 2


@pytest.mark.parametrize('namespace', NAMESPACES)
@pytest.mark.parametrize('serializer', [DefaultSerializer, JSONSerializer])
def test_replaced_resolve_serializer_is_called(
    connection: Redis, monkeypatch: pytest.MonkeyPatch, serializer: Any, namespace: ModuleType
) -> None:
    class Other(JSONSerializer):
        pass

    assert namespace.FailedJobRegistry(connection=connection, serializer=serializer).serializer is serializer
    monkeypatch.setattr(rq.registry, 'resolve_serializer', lambda given: Other)
    assert namespace.FailedJobRegistry(connection=connection, serializer=serializer).serializer is Other


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_replaced_job_delete_is_called(queue: Queue, monkeypatch: pytest.MonkeyPatch, namespace: ModuleType) -> None:
    deleted: list[str] = []
    original = Job.delete

    def noting(job: Job, *args: Any, **kwargs: Any) -> None:
        deleted.append(job.id)
        original(job, *args, **kwargs)

    monkeypatch.setattr(Job, 'delete', noting)
    registry = namespace.FailedJobRegistry(queue=queue)
    assert registry.remove('soon', delete_job=True) in (1, None)
    assert deleted == ['soon']
    assert not Job.exists('soon', connection=queue.connection)


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_replaced_cleanup_is_called(queue: Queue, monkeypatch: pytest.MonkeyPatch, namespace: ModuleType) -> None:
    queue.connection.zadd(queue.failed_job_registry.key, {'expired': 1})
    cleaned: list[Any] = []
    monkeypatch.setattr(namespace.FailedJobRegistry, 'cleanup', lambda registry: cleaned.append(registry.name))
    namespace.clean_registries(queue)
    assert cleaned == ['replaced']
    assert queue.connection.zscore(queue.failed_job_registry.key, 'expired') == 1


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_replaced_rate_limits_are_used(queue: Queue, monkeypatch: pytest.MonkeyPatch, namespace: ModuleType) -> None:
    if not hasattr(rq.registry, 'RateLimitRegistry'):
        pytest.skip('this RQ has no rate limits')
    asked: list[Redis] = []
    monkeypatch.setattr(rq.registry.RateLimitRegistry, 'all', lambda connection: asked.append(connection) or [])
    namespace.clean_registries(queue)
    assert asked == [queue.connection]


@pytest.mark.parametrize('namespace', NAMESPACES)
def test_replaced_push_job_id_is_called(queue: Queue, monkeypatch: pytest.MonkeyPatch, namespace: ModuleType) -> None:
    pushed: list[str] = []
    original = Queue.push_job_id

    def noting(self: Queue, job_id: str, *args: Any, **kwargs: Any) -> None:
        pushed.append(job_id)
        original(self, job_id, *args, **kwargs)

    monkeypatch.setattr(Queue, 'push_job_id', noting)
    assert namespace.FailedJobRegistry(queue=queue).requeue('late').id == 'late'
    assert pushed == ['late']
    assert queue.job_ids == ['late']


@pytest.mark.parametrize('namespace', NAMESPACES)
@pytest.mark.parametrize('name', ['parse_composite_key', 'current_timestamp'])
def test_missing_part_of_rq_raises(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, name: str, namespace: ModuleType
) -> None:
    """Every RQ has these. If one is missing, the result is an error, not a crash."""
    queue.connection.zadd(queue.started_job_registry.key, {'job:execution': FUTURE})
    registry = namespace.StartedJobRegistry(queue=queue)
    monkeypatch.delattr(rq.registry, name)
    calls = [registry.get_job_ids, registry.get_job_and_execution_ids, lambda: 'other' in registry]
    for call in calls if name == 'parse_composite_key' else calls[:2]:
        with pytest.raises((NameError, AttributeError), match=name):
            call()
