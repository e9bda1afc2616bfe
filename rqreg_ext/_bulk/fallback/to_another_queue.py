"""One job that is moved to another queue: by RQ's requeue(), or with its entry."""

from __future__ import annotations

from typing import Any

from rq import Queue
from rq.exceptions import InvalidJobOperation

from ..._fastpath.rq_keys import registry_kind_of
from ..._fastpath.server_errors import CommandDeniedError
from ..._query.membership import Members
from .by_method import raising_not_in_registry
from .in_transaction import on_one_server, run_transaction, write_requeue
from .job_ids import check_id, fetch, refuse_ids_as_rq_does
from .presence import NotInRegistryError, check_is_in, check_is_listed
from .written_keys import check_written_keys


def requeue_on(registry: Any, members: Members, to: Any, at_front: bool, job_id: str) -> None:
    """Call the registry's own requeue() with a job whose queue was changed."""
    check_is_in(registry, members, job_id)
    _requeue_on_in_steps(registry, to, at_front, job_id)


def _requeue_on_in_steps(registry: Any, to: Any, at_front: bool, job_id: str) -> None:
    check_id(registry, registry.job_class, job_id)
    job = fetch(registry.job_class, registry, job_id)
    job.origin = to.name
    registry.connection.sadd(Queue.redis_queues_keys, to.key)
    with raising_not_in_registry():
        registry.requeue(job, at_front=at_front)


@refuse_ids_as_rq_does
@on_one_server
def requeue_on_in_transaction(registry: Any, members: Members, to: Any, at_front: bool, job_id: str) -> None:
    """Do what RQ's requeue() does with a job whose queue was changed, in one transaction."""

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        job.origin = to.name
        pipeline.sadd(Queue.redis_queues_keys, to.key)
        write_requeue(registry, job, pipeline, at_front)

    try:
        run_transaction(registry, job_id, write, is_deletion=False)
    except CommandDeniedError:
        check_is_listed(members, job_id)
        _requeue_on_in_steps(registry, to, at_front, job_id)


@refuse_ids_as_rq_does
def move_entry(registry: Any, members: Members, to: Any, job_id: str) -> None:
    """Move a job to the registry of the same kind of another queue."""
    check_is_in(registry, members, job_id)
    job = fetch(registry.job_class, registry, job_id)
    with registry.connection.pipeline() as pipeline:
        pipeline.zrem(registry.key, job.id)
        _write_move(registry, job, pipeline, to)
        pipeline.execute()


@refuse_ids_as_rq_does
@on_one_server
def move_entry_in_transaction(registry: Any, members: Members, to: Any, job_id: str) -> None:
    """Do what move_entry() does, in a transaction that fails if the job is changed during it."""

    def write(registry: Any, job: Any, pipeline: Any) -> None:
        _write_move(registry, job, pipeline, to)
        check_written_keys(job, pipeline, reads_executions=False)

    try:
        run_transaction(registry, job_id, write, is_deletion=False)
    except CommandDeniedError:
        move_entry(registry, members, to, job_id)


def check_is_movable(registry: Any, members: Members, job_id: str) -> None:
    """Raise an error if the job is not in the registry, RQ cannot load it, or it has another status."""
    check_is_in(registry, members, job_id)
    _check_status(registry, fetch(registry.job_class, registry, job_id))


def _write_move(registry: Any, job: Any, pipeline: Any, to: Any) -> None:
    _check_status(registry, job)
    score = registry.connection.zscore(registry.key, job.id)
    if score is None:
        raise NotInRegistryError
    pipeline.hset(job.key, 'origin', to.name)
    pipeline.zadd(registry.key_template.format(to.name), {job.id: score})
    pipeline.sadd(Queue.redis_queues_keys, to.key)


def _check_status(registry: Any, job: Any) -> None:
    """Raise InvalidJobOperation for a job that only seems to be in the registry: its status is another one."""
    registry_kind = registry_kind_of(registry)
    status = job.get_status(refresh=False)
    if registry_kind is not None and status not in registry_kind.statuses:
        raise InvalidJobOperation(f'its status is {str(getattr(status, "value", status))!r}, so it was not moved')
