"""Arguments that raise when they are evaluated: the error is RQ's, and so is what was done before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rq.registry
from redis import Redis
from rq import Queue
from rq.job import Job

import rqreg_ext.registry

NEVER = 4_000_000_000
LONG_PAST = 1


class Undecided:
    """Raises an error when its truth value is tested."""

    def __bool__(self) -> bool:
        raise RuntimeError('undecided')


class Unreadable:
    """Raises an error when it is converted to a str."""

    def __str__(self) -> str:
        raise RuntimeError('unreadable')


class Interrupting:
    """Raises KeyboardInterrupt when its truth value is tested, as if a user pressed Ctrl-C then."""

    def __bool__(self) -> bool:
        raise KeyboardInterrupt


def without_origin(job: Job) -> Job:
    """Return the job without its attribute `origin`."""
    del job.origin
    return job


def of_an_unreadable_origin(job: Job) -> Job:
    """Return the job with a queue name that raises an error."""
    job.origin = Unreadable()  # type: ignore[assignment]
    return job


CALLS: dict[str, Callable[[Any, Job], Any]] = {
    'count cleanup': lambda registry, job: registry.get_job_count(Undecided()),
    'ids desc': lambda registry, job: registry.get_job_ids(desc=Undecided()),
    'ids cleanup': lambda registry, job: registry.get_job_ids(cleanup=Undecided()),
    'ids both': lambda registry, job: registry.get_job_ids(desc=Undecided(), cleanup=Undecided()),
    'remove delete_job': lambda registry, job: registry.remove('a', delete_job=Undecided()),
    'requeue at_front': lambda registry, job: registry.requeue('a', at_front=Undecided()),
    'delete without origin': lambda registry, job: registry.remove(without_origin(job), delete_job=True),
    'delete odd origin': lambda registry, job: registry.remove(of_an_unreadable_origin(job), delete_job=True),
}


def prepared(connection: Redis) -> Queue:
    """Return a queue whose failed registry has a job and an expired entry."""
    connection.flushdb()
    queue = Queue('raising', connection=connection)
    queue.remove(queue.enqueue('os.getpid', job_id='a'))
    connection.zadd(queue.failed_job_registry.key, {'a': NEVER, 'expired': LONG_PAST})
    return queue


def outcome(connection: Redis, registry_class: Any, call: str) -> Any:
    """Return the error of the call, and the entries, queued jobs and keys after it."""
    queue = prepared(connection)
    job = Job.fetch('a', connection=connection)
    with pytest.raises((RuntimeError, AttributeError)) as caught:
        CALLS[call](registry_class(queue=queue), job)
    entries = connection.zrange(queue.failed_job_registry.key, 0, -1)
    return caught.type, caught.value.args, entries, queue.job_ids, sorted(connection.keys())


@pytest.mark.parametrize('call', CALLS)
def test_raising_argument_leaves_same_error_and_keys_as_rq(connection: Redis, call: str) -> None:
    expected = outcome(connection, rq.registry.FailedJobRegistry, call)
    assert outcome(connection, rqreg_ext.registry.FailedJobRegistry, call) == expected


def test_interrupt_in_argument_is_raised(connection: Redis) -> None:
    registry = rqreg_ext.registry.FailedJobRegistry(queue=prepared(connection))
    for call in (
        lambda: registry.get_job_ids(0, -1, Interrupting()),
        lambda: registry.requeue('a', at_front=Interrupting()),
        lambda: registry.remove('a', delete_job=Interrupting()),
    ):
        with pytest.raises(KeyboardInterrupt):
            call()
