"""Patches of our own classes, and replacements of RQ's classes and functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import redis
import rq
import rq.registry
from rq.job import Job

import rqreg_ext
from rqreg_ext import registry as ours
from rqreg_ext.registry import FailedJobRegistry

NAME = 'q'
IDS = ['a', 'b', 'c']


@pytest.fixture
def failed(connection: redis.Redis) -> FailedJobRegistry:
    """A registry of three failed jobs."""
    queue = rq.Queue(NAME, connection=connection)
    for job_id in IDS:
        job = queue.create_job('os.getpid', job_id=job_id, timeout=180)
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        connection.zadd(f'rq:failed:{NAME}', {job_id: 4e9})
    return FailedJobRegistry(NAME, connection=connection)


@pytest.mark.parametrize('owner', [FailedJobRegistry, ours.BaseRegistry], ids=lambda owner: owner.__name__)
def test_patch_of_our_class_is_called_by_bulk_calls(failed: FailedJobRegistry, owner: type) -> None:
    with mock.patch.object(owner, 'remove', return_value=1) as remove:
        assert failed.remove('a') == 1
        assert (failed.purge().by_rq, remove.call_count) == (3, 4)
    with mock.patch.object(owner, 'requeue') as requeue:
        assert (failed.requeue_all().by_rq, requeue.call_count) == (3, 3)
    with mock.patch.object(owner, 'get_job_ids', return_value=['b']) as listed:
        assert failed.remove_many(failed.get_job_ids()).done == 1
        assert (failed.purge().done, failed.purge().missing, listed.call_count) == (0, 1, 3)
    with mock.patch.object(owner, 'get_job_count', return_value=41):
        assert (failed.count, len(failed)) == (41, 41)
        with rqreg_ext.batch(failed.connection) as batch:
            counted = batch.count(failed)
        assert counted.result() == 41
    assert failed.purge().by_rq == 0
    assert failed.count == 0


@pytest.mark.parametrize('name', ['remove', 'requeue'])
def test_method_set_on_one_registry_is_called_by_bulk_calls(failed: FailedJobRegistry, name: str) -> None:
    with mock.patch.object(failed, name) as method:
        result = failed.purge() if name == 'remove' else failed.requeue_all()
        assert (result.by_rq, method.call_count) == (3, 3)
    another = FailedJobRegistry(NAME, connection=failed.connection)
    assert another.purge().by_rq == 0


def test_patched_method_of_job_is_called(failed: FailedJobRegistry) -> None:
    job = Job.fetch('a', connection=failed.connection)
    with mock.patch.object(job, '_remove_from_registries') as method:
        failed.remove(job, delete_job=True)
    assert method.call_count == 1


# ---- Classes and functions of rq.registry


class Audited(rq.registry.FailedJobRegistry):
    """Replaces RQ's class."""


def test_queue_uses_class_that_replaces_rqs(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue(NAME, connection=connection)
    assert type(queue.failed_job_registry) is FailedJobRegistry
    with mock.patch('rq.registry.FailedJobRegistry', Audited):
        assert type(queue.failed_job_registry) is Audited
    assert type(queue.failed_job_registry) is FailedJobRegistry


def test_patched_property_of_queue_is_called(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue(NAME, connection=connection)
    with mock.patch.object(rq.Queue, 'failed_job_registry', mock.PropertyMock(return_value='patched')):
        assert queue.failed_job_registry == 'patched'
    assert type(queue.failed_job_registry) is FailedJobRegistry


def test_replacement_of_rqs_clean_registries_is_called(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue(NAME, connection=connection)
    with mock.patch('rq.registry.clean_registries') as function:
        ours.clean_registries(queue, ['handler'])
    function.assert_called_once_with(queue, ['handler'])


def test_wrapper_of_our_clean_registries_is_called_once(connection: redis.Redis) -> None:
    queue = rqreg_ext.Queue(NAME, connection=connection)
    connection.zadd(f'rq:failed:{NAME}', {'old': 5})
    calls = []

    def around(*args: Any) -> None:
        calls.append(args)
        ours.clean_registries(*args)

    with mock.patch('rq.registry.clean_registries', around):
        ours.clean_registries(queue)
    assert calls == [(queue, None)]
    assert connection.zcard(f'rq:failed:{NAME}') == 0
    connection.zadd(f'rq:failed:{NAME}', {'old': 5})
    with mock.patch('rq.registry.clean_registries', ours.clean_registries):
        ours.clean_registries(queue)
    assert connection.zcard(f'rq:failed:{NAME}') == 0


@pytest.mark.parametrize('name', ['FinishedJobRegistry', 'StartedJobRegistry'])
def test_clean_registries_uses_class_that_replaces_rqs(connection: redis.Redis, name: str) -> None:
    with mock.patch(f'rq.registry.{name}') as standing:
        ours.clean_registries(rqreg_ext.Queue(NAME, connection=connection))
    assert standing.return_value.cleanup.call_count == 1


@contextmanager
def default_timeout(seconds: int) -> Iterator[None]:
    with mock.patch.object(rq.Queue, 'DEFAULT_TIMEOUT', seconds):
        yield


def test_requeued_job_gets_changed_default_timeout(failed: FailedJobRegistry) -> None:
    for job_id in IDS:
        failed.connection.hdel(f'rq:job:{job_id}', 'timeout')
    with default_timeout(77):
        failed.requeue('a')
        assert failed.requeue_many(['b']).by_rq == 1
    assert failed.requeue_many(['c']).by_rq == 0
    assert [failed.connection.hget(f'rq:job:{job_id}', 'timeout') for job_id in IDS] == [b'77', b'77', b'180']


def test_wrapped_function_of_rqs_modules_is_called(failed: FailedJobRegistry) -> None:
    with mock.patch('rq.registry.current_timestamp', return_value=10**11) as clock:
        assert failed.count == 0
    assert clock.called
