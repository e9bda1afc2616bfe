"""The timeout of the RQ job that makes a call ends the call: no call takes it for an error of what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import redis
from rq.job import Job
from rq.serializers import DefaultSerializer
from rq.timeouts import JobTimeoutException

import rqreg_ext

NEVER = 4_000_000_000


def time_out(*_: Any, **__: Any) -> Any:
    """Raise what RQ's timer raises in whatever happens to run."""
    raise JobTimeoutException('Task exceeded maximum timeout value (180 seconds)')


class Slow(DefaultSerializer):
    """A serializer that takes too long to load anything."""

    loads = staticmethod(time_out)


class SlowRegistry(rqreg_ext.FailedJobRegistry):
    """A registry whose count takes too long."""

    def get_job_count(self, cleanup: bool = True) -> int:
        """Return nothing: it takes too long."""
        return int(time_out())


def count_in_batch(connection: redis.Redis) -> None:
    """Count in a batch."""
    with rqreg_ext.batch(connection) as together:
        together.count(SlowRegistry('q', connection=connection))


def requeue(connection: redis.Redis) -> None:
    """Requeue a job with metadata."""
    rqreg_ext.FailedJobRegistry('q', connection=connection, serializer=Slow).requeue('job')


def check(connection: redis.Redis) -> None:
    """Check that RQ can load a job with a field that only its restore() can judge."""
    connection.hset(Job.key_for('job'), 'exc_info', b'\xff')
    with mock.patch.object(Job, 'restore', time_out):
        rqreg_ext.FailedJobRegistry('q', connection=connection).check()


@pytest.mark.parametrize('call', [count_in_batch, requeue, check])
def test_job_timeout_ends_call(connection: redis.Redis, call: Callable[[redis.Redis], None]) -> None:
    """The job does not outlive it."""
    job = Job.create('app.task', connection=connection, id='job', origin='q', meta={'key': 'value'})
    job.save()
    connection.zadd('rq:failed:q', {'job': NEVER})
    with pytest.raises(JobTimeoutException):
        call(connection)
    assert connection.zscore('rq:failed:q', 'job') == NEVER
