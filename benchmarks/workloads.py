"""What is measured: each workload a small declaration, from its data in Redis to the call that is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import preparation
from .preparation import Prepare


@dataclass(frozen=True)
class Library:
    """The names of RQ, or ours by the same names."""

    Queue: Any
    registry: Any


def library(is_ours: bool) -> Library:
    """Import RQ, or rqreg_ext."""
    if is_ours:
        import rqreg_ext
        import rqreg_ext.registry

        return Library(rqreg_ext.Queue, rqreg_ext.registry)
    import rq
    import rq.registry

    return Library(rq.Queue, rq.registry)


@dataclass(frozen=True)
class Workload:
    """One call, on data of its own.

    `prepare` fills the workload's queue in Redis and returns the arguments that the call is given in turn;
    `subject` makes what the call is made on. A call that uses its argument up says how many `calls` make
    a round; any other is repeated for as long as a round takes, its arguments over and over.
    `state` looks at what a call has left in Redis, so that it can be compared as well.
    """

    name: str
    prepare: Prepare
    subject: Callable[[Library, Any], Any]
    call: Callable[[Any, Any], Any]
    calls: int = 0
    state: Callable[[Any, Any], Any] = lambda subject, argument: None
    threads: int = 1
    is_slow: bool = False

    @property
    def uses_up(self) -> bool:
        """Whether a call takes its argument out of Redis."""
        return self.calls > 0


def failed(library: Library, queue: Any) -> Any:
    return library.registry.FailedJobRegistry(queue=queue)


def started(library: Library, queue: Any) -> Any:
    return library.registry.StartedJobRegistry(queue=queue)


def rest_of_job(registry: Any, job_id: str) -> tuple[Any, ...]:
    """Return one job's score, whether its hash is there, its status, and whether it is queued."""
    job_key = registry.job_class.key_for(job_id)
    with registry.connection.pipeline() as pipeline:
        pipeline.zscore(registry.key, job_id).exists(job_key).hget(job_key, 'status')
        score, exists, status = pipeline.execute()
    is_queued = job_id in registry.get_queue().get_job_ids()
    return score, exists, status and status.decode(), is_queued


def listing(count: int, is_slow: bool = False) -> Workload:
    return Workload(
        f'get_job_ids-{count}',
        prepare=partial(preparation.fill_failed, count=count, arguments=0),
        subject=failed,
        call=lambda registry, _: registry.get_job_ids(),
        is_slow=is_slow,
    )


def construction(name: str, subject: Callable[[Library, Any], Any], call: Callable[[Any, Any], Any]) -> Workload:
    return Workload(name, prepare=preparation.nothing, subject=subject, call=call)


ALL = (
    Workload(
        'count',
        prepare=partial(preparation.fill_failed, count=1000, arguments=0),
        subject=failed,
        call=lambda registry, _: registry.count,
    ),
    Workload(
        'in',
        prepare=partial(preparation.fill_failed, count=1000, arguments=1000),
        subject=failed,
        call=lambda registry, job_id: job_id in registry,
    ),
    Workload(
        'in-started-running',
        prepare=partial(preparation.fill_started, count=10_000, running=100),
        subject=started,
        call=lambda registry, job_id: job_id in registry,
    ),
    Workload(
        'in-started-absent',
        prepare=partial(preparation.fill_started, count=10_000, running=0),
        subject=started,
        call=lambda registry, job_id: job_id in registry,
    ),
    listing(1),
    listing(1_000),
    listing(100_000),
    listing(1_000_000, is_slow=True),
    Workload(
        'remove',
        prepare=preparation.fill_failed_for,
        subject=failed,
        call=lambda registry, job_id: registry.remove(job_id),
        calls=40,
        state=rest_of_job,
    ),
    Workload(
        'remove-delete_job',
        prepare=preparation.fail_jobs,
        subject=failed,
        call=lambda registry, job_id: registry.remove(job_id, delete_job=True),
        calls=20,
        state=rest_of_job,
    ),
    Workload(
        'requeue',
        prepare=preparation.fail_jobs,
        subject=failed,
        call=lambda registry, job_id: registry.requeue(job_id),
        calls=20,
        state=rest_of_job,
    ),
    construction(
        'FailedJobRegistry-queue',
        subject=lambda library, queue: partial(library.registry.FailedJobRegistry, queue=queue),
        call=lambda registry_class, _: registry_class(),
    ),
    construction(
        'queue-failed_job_registry',
        subject=lambda library, queue: queue,
        call=lambda queue, _: queue.failed_job_registry,
    ),
    Workload(
        'count-16-threads',
        prepare=partial(preparation.fill_failed, count=1000, arguments=0),
        subject=failed,
        call=lambda registry, _: registry.count,
        threads=16,
    ),
)
BY_NAME = {workload.name: workload for workload in ALL}
