"""Every public call of the registries, on a small database that is restored in one round trip."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from clients.outcomes import Outcome, outcome_of
from clients.tour import EXECUTIONS, NAME, NEVER, prepare, state
from rq import Queue
from rq.job import Job

if TYPE_CHECKING:
    import redis

MOMENT = datetime.datetime(2040, 1, 1, tzinfo=datetime.timezone.utc)


class Registries:
    """The registries of one client and one side, and jobs for them."""

    def __init__(self, namespace: ModuleType, client: Any) -> None:
        self.failed = namespace.FailedJobRegistry(NAME, connection=client)
        self.finished = namespace.FinishedJobRegistry(NAME, connection=client)
        self.started = namespace.StartedJobRegistry(NAME, connection=client)
        self.deferred = namespace.DeferredJobRegistry(NAME, connection=client)
        self.scheduled = namespace.ScheduledJobRegistry(NAME, connection=client)
        self.canceled = namespace.CanceledJobRegistry(NAME, connection=client)
        self.executions = EXECUTIONS[namespace]('running', connection=client)
        self.clean_registries = namespace.clean_registries
        self.queue = Queue(NAME, connection=client)
        self.job = Job('failed-3', connection=client)
        self.job.origin = NAME


Call = Callable[[Registries], Any]

# Calls that read, by the type of their replies.
READS: dict[str, Call] = {
    'count': lambda on: on.failed.count,
    'count without cleanup': lambda on: on.failed.get_job_count(cleanup=False),
    'len': lambda on: len(on.deferred),
    'ids': lambda on: on.failed.get_job_ids(),
    'ids without cleanup': lambda on: on.failed.get_job_ids(cleanup=False),
    'ids 1 to 3': lambda on: on.failed.get_job_ids(1, 3, cleanup=False),
    'last ids': lambda on: on.failed.get_job_ids(-2, desc=True),
    'no ids': lambda on: on.failed.get_job_ids(100, 200, cleanup=False),
    'in': lambda on: 'failed-3' in on.failed,
    'not in': lambda on: 'nobody' in on.failed,
    'job in': lambda on: on.job in on.failed,
    'expired ids': lambda on: on.failed.get_expired_job_ids(),
    'expiration time': lambda on: on.failed.get_expiration_time(on.job),
    'scheduled time': lambda on: on.scheduled.get_scheduled_time('later'),
    'to schedule': lambda on: on.scheduled.get_jobs_to_schedule(NEVER * 2),
    'started count': lambda on: on.started.count,
    'started ids': lambda on: on.started.get_job_ids(),
    'started pairs': lambda on: on.started.get_job_and_execution_ids(0, 1),
    'started in': lambda on: 'running' in on.started,
    'started not in': lambda on: 'nobody' in on.started,
    'executions count': lambda on: on.executions.count,
    'execution ids': lambda on: on.executions.get_execution_ids(),
}
# Calls that write.
CHANGES: dict[str, Call] = {
    'cleanup': lambda on: on.failed.cleanup(NEVER + 1),
    'finished cleanup': lambda on: on.finished.cleanup(),
    'remove': lambda on: on.failed.remove('failed-0'),
    'remove job': lambda on: on.failed.remove(on.job),
    'remove nobody': lambda on: on.failed.remove('nobody'),
    'delete': lambda on: on.failed.remove('failed-2', delete_job=True),
    'delete job': lambda on: on.failed.remove(on.job, delete_job=True),
    'requeue': lambda on: on.failed.requeue('failed-4'),
    'requeue at front': lambda on: on.failed.requeue('failed-5', at_front=True),
    'clean registries': lambda on: on.clean_registries(on.queue),
    'schedule': lambda on: on.scheduled.schedule(on.job, MOMENT),
}
CALLS = {**READS, **CHANGES}
# Methods that RQ runs itself: redis-py reads their replies.
INHERITED = ('execution ids', 'schedule')


class Database:
    """The database that the calls are made on, with a copy to restore it from."""

    def __init__(self, admin: redis.Redis) -> None:
        self.admin = admin
        prepare(admin)
        self._dumps = {key: admin.dump(key) for key in admin.keys('*')}

    def restore(self) -> None:
        """Restore the database."""
        pipeline = self.admin.pipeline(transaction=False)
        pipeline.flushdb()
        for key, dump in self._dumps.items():
            pipeline.restore(key, 0, dump)
        pipeline.execute()

    def state(self) -> dict[str, Any]:
        """Return what the database holds, without the times of day."""
        return state(self.admin)


def outcome(name: str, on: Registries) -> Outcome:
    """Make one of the calls, and return its outcome."""
    return outcome_of(name, lambda: CALLS[name](on))


def assert_right(on: Registries, admin: redis.Redis) -> None:
    """Check that the registries of a client answer what the server holds."""
    ids = [job_id.decode() for job_id in admin.zrange(on.failed.key, 0, -1)]
    assert on.failed.get_job_ids(cleanup=False) == ids
    assert on.failed.get_job_count(cleanup=False) == len(ids)
    assert ('failed-7' in on.failed) is ('failed-7' in ids)
    entries = [entry.decode().partition(':') for entry in admin.zrange(on.started.key, 0, 1)]
    assert on.started.get_job_and_execution_ids(0, 1) == [(first, second) for first, _, second in entries]
    assert on.started.count == admin.zcard(on.started.key)
