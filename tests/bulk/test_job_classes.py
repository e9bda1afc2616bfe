"""A job class of one's own: scripts change its jobs if it leaves what RQ's methods use of a job as it is."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import rq
from rq.job import Job

from rqreg_ext.registry import FailedJobRegistry

COUNT = 6


class Calls(list[str]):
    """The methods of a job class that were called."""


CALLS = Calls()


def noted(name: str) -> Any:
    """Return a method that notes its call, and calls RQ's."""

    def method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        CALLS.append(name)
        return getattr(super(type(self), self), name)(*arguments, **keywords)

    return method


def subclass(**names: Any) -> type[Job]:
    return type('AppJob', (Job,), names)


class CancellableJob(Job):
    """As Redash has it."""

    def cancel(self, *arguments: Any, **keywords: Any) -> Any:
        CALLS.append('cancel')
        self.meta['cancelled'] = True
        self.save_meta()
        return super().cancel(*arguments, **keywords)

    @property
    def is_cancelled(self) -> bool:
        return bool(self.meta.get('cancelled', False))


class Mixin:
    """Has what RQ's jobs have as attributes of the instance."""

    @property
    def timeout(self) -> int:
        return 77

    @timeout.setter
    def timeout(self, value: Any) -> None:
        pass


class Meta(type):
    """May give any attribute."""


PLAIN: dict[str, type[Job]] = {
    'empty': subclass(),
    'documented': subclass(__doc__='Ours.', owner='me', is_ours=property(lambda self: True), __repr__=object.__repr__),
    'same prefix': subclass(redis_job_namespace_prefix=Job.redis_job_namespace_prefix),
    'derived twice': type('Derived', (subclass(owner='me'),), {}),
    'mixin': type('Mixed', (type('Named', (), {'label': 'x'}), Job), {}),
}
OVERRIDDEN = ('save', 'restore', 'to_dict', 'refresh', 'set_status', 'cleanup')
NOT_PLAIN: dict[str, type[Job]] = {
    **{name: subclass(**{name: noted(name)}) for name in OVERRIDDEN},
    'property': type('Mixed', (Mixin, Job), {}),
    'last base': type('Mixed', (Job, Mixin), {}),
    'metaclass': Meta('AppJob', (Job,), {}),
    '__setattr__': subclass(__setattr__=object.__setattr__),
    '__init__': subclass(__init__=Job.__init__),
    'key_for': subclass(key_for=Job.key_for),
}


def fill(connection: redis.Redis, job_class: type[Job]) -> FailedJobRegistry:
    CALLS.clear()
    queue = rq.Queue('q', connection=connection)
    registry = FailedJobRegistry('q', connection=connection, job_class=job_class)
    for number in range(COUNT):
        job = queue.create_job('len', job_id=f'job-{number}', meta={'n': number}, status=rq.job.JobStatus.FAILED)
        job.save()
        registry.add(job, 1000 + number)
    return registry


def requeued(connection: redis.Redis) -> list[bytes]:
    return [
        job_id for job_id in connection.lrange('rq:queue:q', 0, -1) if connection.hget(b'rq:job:' + job_id, 'status')
    ]


@pytest.mark.parametrize('name', PLAIN)
@pytest.mark.parametrize('method', ['requeue_all', 'cancel_many'])
def test_plain_job_class_is_done_by_script(connection: redis.Redis, name: str, method: str) -> None:
    registry = fill(connection, PLAIN[name])
    result = registry.requeue_all() if method == 'requeue_all' else registry.cancel_many(registry.get_job_ids())
    assert (result.done, result.by_rq) == (COUNT, 0)


@pytest.mark.parametrize('name', NOT_PLAIN)
def test_job_class_that_overrides_what_is_used_is_done_by_rq(connection: redis.Redis, name: str) -> None:
    registry = fill(connection, NOT_PLAIN[name])
    result = registry.requeue_all()
    assert (result.done, result.by_rq) == (COUNT, COUNT)
    assert len(requeued(connection)) == COUNT
    assert (name in CALLS) == (name in OVERRIDDEN)
    if 'Mixin' in {base.__name__ for base in NOT_PLAIN[name].__mro__}:
        assert connection.hget('rq:job:job-0', 'timeout') == b'77'


def test_overridden_cancel_keeps_only_cancel_from_the_script(connection: redis.Redis) -> None:
    registry = fill(connection, CancellableJob)
    canceled = registry.cancel_many(['job-0', 'job-1'])
    assert (canceled.done, canceled.by_rq, CALLS) == (2, 2, ['cancel', 'cancel'])
    assert CancellableJob.fetch('job-1', connection=connection).is_cancelled
    result = registry.requeue_all()
    assert (result.done, result.by_rq) == (COUNT - 2, 0)


def test_method_that_is_put_into_the_class_between_chunks_is_called(connection: redis.Redis) -> None:
    job_class = subclass()
    registry = fill(connection, job_class)

    def patch(count: int, total: Any) -> None:
        # Before that, metadata is read.
        if count:
            job_class.save = noted('save')  # type: ignore[method-assign]

    result = registry.requeue_all(progress=patch, chunk_size=2)
    assert (result.done, result.by_rq, len(CALLS)) == (COUNT, COUNT - 2, COUNT - 2)
    del job_class.save
    assert fill(connection, job_class).requeue_all().by_rq == 0
