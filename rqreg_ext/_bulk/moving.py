"""move_many(): jobs of a registry are moved to another queue."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rq import registry as rq_registry
from rq.executions import ExecutionRegistry
from rq.job import Job

from .._fastpath import guards
from .._fastpath.dispatch import BulkDecision, loads_plain_jobs, share_keys
from .._fastpath.releases import Method
from .._fastpath.rq_keys import FAILED, queue_key, queues_key, registry_kind_of
from .._fastpath.script_arguments import Value
from .._query.arguments import no_jobs_to_change
from .._query.membership import Members
from .fallback import presence, to_another_queue
from .mixin import finder_of
from .operation import BulkOperation, JobSteps
from .options import IdsProgress, Options
from .result import BulkResult
from .scripts import Requeue, Script

if TYPE_CHECKING:
    from rq import Queue


class MoveMixin:
    """The registry method that moves jobs to another queue."""

    def move_many(
        self,
        ids: Iterable[str | Job],
        to: str | Queue,
        at_front: bool = False,
        *,
        progress: IdsProgress | None = None,
        dry_run: bool = False,
        chunk_size: int | None = None,
        wait_replicas: int = 0,
        rate: float | None = None,
        limit: int | None = None,
    ) -> BulkResult:
        """Move jobs of this registry to another queue, which need not exist yet.

        Jobs of a failed registry are put on the other queue: what requeue() leaves of a job whose `origin` was changed
        to it. Jobs of other registries keep their status, and are put into the registry of the same kind of the other
        queue, with the same score: a scheduled job is enqueued there at its time, and a deferred one when its
        dependencies are met. Of these, only `origin` is changed. A job whose status belongs to another registry is in
        `failed`, and is not moved.

        Args:
            ids: Job ids or Job objects, from any iterable.
            to: The name of the other queue, or a Queue.
            at_front: Whether to put each failed job at the front of the queue, so that the last id given runs first.
            progress, dry_run, chunk_size, wait_replicas, rate, limit: See BulkOptions.

        Returns:
            A BulkResult. Ids that are not in the registry count as missing; jobs that RQ cannot load are in `failed`.

        Raises:
            TypeError, ValueError: An argument is wrong: `to` is the queue that the jobs are in, say.
            NotImplementedError: This is a started registry, whose jobs cannot be moved.
            redis.exceptions.RedisError: An error that affects all jobs, with the attribute `result`.

        Round trips:
            Those of requeue_many().

        Source:
            rq.registry.BaseRegistry.requeue, rq.Queue.enqueue_job, ScheduledJobRegistry.schedule; Redis ZADD, SADD.
        """
        options = Options(progress, dry_run, chunk_size, wait_replicas, rate, limit)
        return _movement(self, to, bool(at_front), options).run(finder_of(ids))


class TargetQueue(NamedTuple):
    """The queue that jobs are moved to."""

    name: str
    key: str
    # In seconds, for jobs without one; None for RQ's.
    default_timeout: int | None = None


def target_of(source: Any, to: Any) -> TargetQueue:
    """Check `to`, a queue's name or a Queue, which must not be that of the registry; return what it names."""
    if isinstance(to, str):
        target = TargetQueue(to, queue_key(to))
    elif all(hasattr(to, name) for name in ('connection', 'key', 'name')) and hasattr(to, 'push_job_id'):
        if not share_keys(source.connection, to.connection):
            raise ValueError(f'to={to!r} is in another Redis than {source!r}: give its name instead')
        target = TargetQueue(to.name, to.key, to._default_timeout)
    else:
        raise TypeError(f'to={to!r} names no queue: give a name or a Queue object')
    if not target.name:
        raise ValueError(f'to={to!r} names no queue: give a name or a Queue object')
    if target.name == source.name:
        raise ValueError(f'to={to!r} is the queue that the jobs are in: give another one')
    return target


def _movement(registry: Any, given: Any, at_front: bool, options: Options) -> BulkOperation:
    entries = f'the entries of {type(registry).__name__} {getattr(registry, "key", None)!r}'
    if isinstance(registry, (ExecutionRegistry, rq_registry.StartedJobRegistry)):
        raise no_jobs_to_change(entries, 'move')
    registry_kind = registry_kind_of(registry)
    if registry_kind is None:
        raise NotImplementedError(f'{entries} cannot be moved: it is not known which jobs belong there')
    to = target_of(registry, given)
    members = Members(registry)
    if registry_kind is FAILED:
        check = partial(presence.check_is_readable, registry, members, registry.job_class)
        steps = JobSteps(
            partial(to_another_queue.requeue_on, registry, members, to, at_front),
            partial(to_another_queue.requeue_on_in_transaction, registry, members, to, at_front),
        )
        decision = BulkDecision(registry, guards.requeue_guard, Method.REQUEUE)
        script: Script = RequeueOn(registry, to, at_front)
        return BulkOperation(registry, options, decision, JobSteps(check) if options.dry_run else steps, script)
    if at_front:
        raise ValueError('at_front=True is for jobs that are put on a queue, which those of this registry are not')
    steps = JobSteps(
        partial(to_another_queue.move_entry, registry, members, to),
        partial(to_another_queue.move_entry_in_transaction, registry, members, to),
    )
    if options.dry_run:
        steps = JobSteps(partial(to_another_queue.check_is_movable, registry, members))
    decision = BulkDecision(registry, guards.move_guard, Method.REMOVE)
    return BulkOperation(registry, options, decision, steps, _EntryMove(registry, to, registry_kind.statuses))


class RequeueOn(Requeue):
    """Requeues jobs on another queue."""

    def __init__(self, registry: Any, to: TargetQueue, at_front: bool) -> None:
        super().__init__(registry, at_front)
        self._to = to

    def _own_arguments(self) -> dict[str, Value]:
        return {**super()._own_arguments(), 'to_queue': self._to.name, 'queues_key': queues_key()}


class _EntryMove(Script):
    """Moves jobs to the registry of the same kind of another queue."""

    name = 'move_entries'
    removes_from_queues = False

    def __init__(self, registry: Any, to: TargetQueue, statuses: Iterable[str]) -> None:
        self._registry = registry
        self._to = to
        self._statuses = f',{",".join(statuses)},'

    def may_run(self) -> bool:
        """Return whether the registry's job_class leaves what loads a job as it is."""
        return loads_plain_jobs(self._registry, guards.move_functions)

    def _own_arguments(self) -> dict[str, Value]:
        return {
            'to_queue': self._to.name,
            'to_registry': self._registry.key_template.format(self._to.name),
            'queues_key': queues_key(),
            'statuses': self._statuses,
        }
