"""A patch that is made while a bulk call runs is called from the next chunk on, until it is removed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import redis
import rq.registry
from clients.prefixing import changed
from rq.job import Job

from rqreg_ext import WaitingJobs
from rqreg_ext.registry import CanceledJobRegistry, FailedJobRegistry

COUNT, CHUNK = 40, 10
IDS = [f'job-{number:02}' for number in range(COUNT)]

Call = Callable[..., Any]
CALLS: dict[str, Call] = {
    'purge': lambda registry, **options: registry.purge(**options),
    'remove_many': lambda registry, **options: registry.remove_many(IDS, delete_job=True, **options),
    'remove_many entries': lambda registry, **options: registry.remove_many(IDS, **options),
    'requeue_all': lambda registry, **options: registry.requeue_all(**options),
    'requeue_many': lambda registry, **options: registry.requeue_many(IDS, **options),
    'cancel_many': lambda registry, **options: registry.cancel_many(IDS, **options),
    'cancel_all': lambda registry, **options: registry.cancel_all(**options),
    'move_many': lambda registry, **options: registry.move_many(IDS, 'low', **options),
    'trim': lambda registry, **options: registry.trim(older_than=timedelta(0), **options),
    'waiting: purge': lambda waiting, **options: waiting.purge(**options),
    'waiting: remove_many': lambda waiting, **options: waiting.remove_many(IDS, delete_job=True, **options),
    'waiting: remove_many entries': lambda waiting, **options: waiting.remove_many(IDS, **options),
    'waiting: cancel_many': lambda waiting, **options: waiting.cancel_many(IDS, **options),
    'waiting: move_many': lambda waiting, **options: waiting.move_many(IDS, 'low', **options),
    'waiting: empty': lambda waiting, **options: waiting.empty(**options),
}
PATCHES: list[tuple[str, Any, str]] = [
    ('purge', Job, 'delete'),
    ('purge', Job, 'fetch'),
    ('purge', rq.Queue, 'remove'),
    ('purge', rq.registry.BaseRegistry, 'remove'),
    ('purge', FailedJobRegistry, 'remove'),
    ('remove_many', Job, 'delete'),
    ('remove_many', rq.registry.BaseRegistry, 'remove'),
    ('remove_many entries', rq.registry.BaseRegistry, 'remove'),
    ('remove_many entries', FailedJobRegistry, 'remove'),
    ('requeue_all', rq.Queue, '_enqueue_job'),
    ('requeue_all', rq.registry.BaseRegistry, 'requeue'),
    ('requeue_many', rq.Queue, '_enqueue_job'),
    ('requeue_many', Job, 'save'),
    ('cancel_many', Job, 'cancel'),
    ('cancel_many', Job, 'set_status'),
    ('cancel_all', Job, 'cancel'),
    ('move_many', rq.Queue, '_enqueue_job'),
    ('move_many', rq.registry.BaseRegistry, 'requeue'),
    ('trim', Job, 'delete'),
    ('waiting: purge', Job, 'delete'),
    ('waiting: purge', Job, 'fetch'),
    ('waiting: remove_many', Job, 'delete'),
    ('waiting: remove_many entries', rq.Queue, 'remove'),
    ('waiting: cancel_many', Job, 'cancel'),
    ('waiting: move_many', rq.Queue, '_enqueue_job'),
    ('waiting: move_many', rq.Queue, 'push_job_id'),
]
TWICE = [(rq.registry.BaseRegistry, 'remove', call) for call in ('purge', 'remove_many')]
if rq.VERSION.startswith('2.'):
    # BaseRegistry.requeue() saves the job before Queue._enqueue_job() does.
    TWICE.append((Job, 'save', 'requeue_many'))


@pytest.fixture
def made(connection: redis.Redis) -> Callable[[str], Any]:
    """A function that makes the jobs for a call, and returns what it is made on."""

    def make(call: str) -> Any:
        queue = rq.Queue('q', connection=connection)
        status, on = next((of for name, of in OBJECTS.items() if call.startswith(name)), ('failed', FailedJobRegistry))
        for job_id in IDS:
            job = queue.create_job('os.getpid', job_id=job_id, timeout=180)
            job.set_status(rq.job.JobStatus(status))
            job.save()
            if status == 'queued':
                queue.push_job_id(job_id)
            else:
                connection.zadd(f'rq:{status}:q', {job_id: 4e9 if status == 'failed' else 1000})
        return on('q', connection=connection)

    return make


OBJECTS: dict[str, tuple[str, Any]] = {
    'waiting': ('queued', WaitingJobs),
    'trim': ('canceled', CanceledJobRegistry),
}


def counting(owner: Any, name: str, called: list[Any]) -> Any:
    """Return a replacement of a method that counts its calls and calls the method."""
    original = next(vars(base)[name] for base in owner.__mro__ if name in vars(base))
    function = getattr(original, '__func__', original)

    def wrapper(*args: Any, **options: Any) -> Any:
        called.append(args)
        return function(*args, **options)

    return mock.patch.object(owner, name, classmethod(wrapper) if isinstance(original, classmethod) else wrapper)


@pytest.mark.parametrize(('call', 'owner', 'name'), PATCHES)
def test_patch_is_called_from_next_chunk_on(made: Callable[[str], Any], call: str, owner: Any, name: str) -> None:
    jobs = made(call)
    called: list[Any] = []
    with ExitStack() as patch:

        def progress(processed: int, total: int | None) -> None:
            # One chunk with the patch.
            if processed == CHUNK:
                patch.enter_context(counting(owner, name, called))
            elif processed == 2 * CHUNK:
                patch.close()

        result = CALLS[call](jobs, chunk_size=CHUNK, progress=progress)
    # RQ's Job.delete() calls the remove() of a registry too.
    assert len(called) == (2 * CHUNK if (owner, name, call) in TWICE else CHUNK)
    assert (result.done, result.by_rq) == (COUNT, CHUNK)
    assert jobs.count == 0


@pytest.mark.covering(1)
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('where', ['client', 'class'])
def test_client_patched_during_call_is_used_through_its_methods(
    made: Callable[[str], Any], call: str, where: str
) -> None:
    jobs = made(call)
    client = jobs.connection
    before = {job_id: client.hgetall(f'rq:job:{job_id}') for job_id in IDS}
    original = redis.Redis.execute_command

    def of_class(self: Any, *words: Any, **options: Any) -> Any:
        return original(self, *changed(*words), **options)

    def of_client(*words: Any, **options: Any) -> Any:
        return original(client, *changed(*words), **options)

    with ExitStack() as patch:

        def progress(processed: int, total: int | None) -> None:
            if processed != CHUNK:
                return
            if where == 'class':
                patch.enter_context(mock.patch.object(redis.Redis, 'execute_command', of_class))
            else:
                patch.enter_context(mock.patch.object(client, 'execute_command', of_client))

        result = CALLS[call](jobs, chunk_size=CHUNK, progress=progress)
    # By its methods the client sees another application, which has none of these jobs.
    assert (result.done, result.done + result.missing) == (CHUNK, result.total or CHUNK)
    assert jobs.get_job_ids() == IDS[CHUNK:]
    assert {job_id: client.hgetall(f'rq:job:{job_id}') for job_id in IDS[CHUNK:]} == {
        job_id: before[job_id] for job_id in IDS[CHUNK:]
    }
