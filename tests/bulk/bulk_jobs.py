"""Failed jobs of every kind that a bulk call treats differently, and copies of what Redis holds of each job."""

from __future__ import annotations

from typing import Any

import rq
from rq.group import Group

from rqreg_ext._bulk.result import BulkResult
from rqreg_ext.registry import FailedJobRegistry

METHODS = ('purge', 'requeue_all', 'cancel_many')


def call(method: str, registry: Any, **options: Any) -> BulkResult:
    """Make a bulk call on all jobs of the registry."""
    if method == 'cancel_many':
        # A list, so that the same call can be made again.
        return registry.cancel_many(registry.get_job_ids(), **options)  # type: ignore[no-any-return]
    return getattr(registry, method)(**options)  # type: ignore[no-any-return]


def fill(admin: Any, count: int) -> list[str]:
    """Empty the database, and fill the failed registry of queue q; return the ids in the order of the registry."""
    admin.flushdb()
    queue = rq.Queue('q', connection=admin)
    registry = FailedJobRegistry('q', connection=admin)
    crew, other_crew = (Group.create(connection=admin, name=name) for name in ('crew', 'équipe'))
    ids = [f'job-{number:04}' for number in range(count)]
    for number, job_id in enumerate(ids):
        kind = number % 12
        job = queue.create_job('len', job_id=job_id, meta={'n': number} if kind in (2, 3) else None)
        job.set_status(rq.job.JobStatus.FAILED)
        if kind in (5, 6):
            # RQ's methods delete a job of the second, as its name is not ASCII.
            group = crew if kind == 5 else other_crew
            job.group_id = group.name
            admin.sadd(group.key, job_id)
        if kind == 7:
            admin.rpush(queue.key, job_id)
        if kind == 9:
            # RQ unpickles and pickles it, which a script cannot.
            admin.hset(job.key, 'result', b'old')
        job.save()
        admin.zadd(registry.key, {job_id: 4_000_000_000 + number})
    return ids


class Pictures:
    """What Redis holds of each job."""

    def __init__(self, admin: Any) -> None:
        self._queue = admin.lrange('rq:queue:q', 0, -1)
        self._failed = dict(admin.zrange('rq:failed:q', 0, -1, withscores=True))
        self._canceled = {member for member, _ in admin.zrange('rq:canceled:q', 0, -1, withscores=True)}
        self._crew = admin.sunion('rq:group:crew', 'rq:group:équipe')
        self._admin = admin

    def of(self, job_id: str) -> tuple[Any, ...]:
        """Return what Redis holds of a job, without times."""
        member = job_id.encode()
        fields = self._admin.hgetall(f'rq:job:{job_id}')
        for name in (b'created_at', b'enqueued_at'):
            fields.pop(name, None)
        return (
            fields,
            self._failed.get(member),
            self._queue.count(member),
            member in self._canceled,
            member in self._crew,
        )


def pictures(admin: Any, ids: list[str]) -> dict[str, tuple[Any, ...]]:
    """Return the picture of each job."""
    taken = Pictures(admin)
    return {job_id: taken.of(job_id) for job_id in ids}


class Course:
    """The state of each job before and after a call, from a run without faults."""

    def __init__(self, admin: Any, method: str, count: int) -> None:
        self.admin = admin
        self.method = method
        self.count = count
        self.ids = fill(admin, count)
        self.before = pictures(admin, self.ids)
        self.result = call(method, FailedJobRegistry('q', connection=admin))
        self.after = pictures(admin, self.ids)
        assert self.result.done == count, self.result
        assert all(self.before[job_id] != self.after[job_id] for job_id in self.ids)

    def begin(self) -> None:
        """Restore the database as it was before the call."""
        fill(self.admin, self.count)

    def done(self) -> list[str]:
        """Return which jobs are done. Raises AssertionError if a job is neither done nor unchanged."""
        now = pictures(self.admin, self.ids)
        half_done = {
            job_id: found for job_id, found in now.items() if found not in (self.before[job_id], self.after[job_id])
        }
        assert not half_done
        return [job_id for job_id, found in now.items() if found == self.after[job_id]]

    def finish(self, registry: Any) -> None:
        """Make the call again, which must do the remaining jobs."""
        left = len(self.ids) - len(self.done())
        result = call(self.method, registry)
        # The jobs that were done have left the registry, canceled ones too.
        assert (result.done, result.failed) == (left, [])
        assert len(self.done()) == len(self.ids)
