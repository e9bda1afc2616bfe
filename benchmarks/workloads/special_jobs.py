"""Jobs that cost more to change, or that RQ changes in its own way: large ones, those in groups, and so on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import by_loop
from ..by_hand import JOBS
from ..populations import MONTH, QUEUE, Filled, Population, new_ids
from ..put_back import Restorer, Template
from .whole_registry import LOOP_SAMPLE, names
from .workload import Axis, Registries, Sample, Workload

MEGABYTE = 1_000_000
LARGE, LARGE_SAMPLE = 500, 100
SPECIAL = 2_000
GROUP, LIMIT = 'crew', 'site'


@dataclass(frozen=True)
class SpecialJobs(Population):
    """Failed jobs of one kind, with random arguments of a given number of octets."""

    kind: str = 'plain'
    octets: int = 100

    def fill(self, connection: Any) -> Filled:
        ids = new_ids(self.entries)
        template = self._template(connection)
        # In a year that far, no score says when the population was filled.
        jobs = Restorer(connection, QUEUE, ids, 4_000_000_000 - MONTH, [template], [0])

        def restore() -> None:
            jobs.restore()
            connection.delete(f'rq:rl:{LIMIT}:allowed', f'rq:rl:{LIMIT}:rate_limited')
            if self.kind == 'group':
                connection.sadd(f'rq:group:{GROUP}', *ids)

        restore()
        return Filled([QUEUE], ids, [restore])

    def _template(self, connection: Any) -> Template:
        """Return the keys of such a job, which are then gone from Redis."""
        import rq

        options: dict[str, Any] = {}
        if self.kind == 'group':
            options['group_id'] = GROUP
        elif self.kind == 'rate_limit':
            options['rate_limit'] = rq.RateLimit(LIMIT, 1)
        elif self.kind == 'webhook':
            options['webhooks'] = [rq.Webhook('https://127.0.0.1/', 'failed')]
        queue = rq.Queue(QUEUE, connection=connection)
        job = queue.create_job('operator.truediv', (os.urandom(self.octets),), job_id=new_ids(1)[0], **options)
        job.set_status(rq.job.JobStatus.FAILED)
        job.save()
        template = Template.take(connection, job.id)
        connection.delete(JOBS + job.id)
        return template


def large(operation: str, rq: Callable[[Any, int], int], ours: Callable[[Any], int]) -> Workload:
    return Workload(
        f'{operation}-large',
        SpecialJobs(LARGE, octets=MEGABYTE),
        Registries,
        rq=Sample(lambda registries, name, count: rq(registries[name], count), LARGE_SAMPLE),
        ours=lambda registries, name: ours(registries[name]),
        arguments=names,
        changes=True,
        counts=True,
        axis=Axis.ENTRIES,
    )


def remove_each(registry: Any, count: int = LARGE) -> int:
    """Delete the first jobs one by one."""
    return by_loop.purge(registry, count)


def special(kind: str, operation: str, rq: Callable[[Any, int], int], ours: Callable[[Any], Any]) -> Workload:
    return changing(f'{operation}-{kind}', SpecialJobs(SPECIAL, kind=kind), rq, ours)


def changing(
    name: str,
    population: SpecialJobs,
    rq: Callable[[Any, int], int],
    ours: Callable[[Any], Any],
    registries: type[Registries] = Registries,
) -> Workload:
    return Workload(
        name,
        population,
        registries,
        rq=Sample(lambda registries, name, count: rq(registries[name], count), LOOP_SAMPLE),
        ours=lambda registries, name: ours(registries[name]).done,
        arguments=names,
        changes=True,
        counts=True,
        axis=Axis.ENTRIES,
    )


OPERATIONS: dict[str, tuple[Callable[[Any, int], int], Callable[[Any], Any]]] = {
    'purge': (by_loop.purge, lambda registry: registry.purge()),
    'requeue_all': (by_loop.requeue_all, lambda registry: registry.requeue_all()),
    'cancel_many': (
        lambda registry, count: by_loop.cancel_many(registry, registry.get_job_ids(0, count - 1)),
        lambda registry: registry.cancel_many(registry.iter_job_ids()),
    ),
}


class RegistriesOfClass(Registries):
    """Registries of jobs of a class of one's own, with a method more and cancel() overridden, as Redash has it."""

    def __missing__(self, name: str) -> Any:
        from rq.job import Job

        class CancellableJob(Job):
            def cancel(self, *arguments: Any, **keywords: Any) -> Any:
                self.meta['cancelled'] = True
                self.save_meta()
                return super().cancel(*arguments, **keywords)

        self[name] = self.library.registry.FailedJobRegistry(name, connection=self.connection, job_class=CancellableJob)
        return self[name]


def of_own_class() -> Workload:
    return changing('requeue_all-job_class', SpecialJobs(SPECIAL), *OPERATIONS['requeue_all'], RegistriesOfClass)


ALL = (
    large('remove_each', by_loop.purge, remove_each),
    large('purge', by_loop.purge, lambda registry: registry.purge().done),
    large('requeue_all', by_loop.requeue_all, lambda registry: registry.requeue_all().done),
    *(special(kind, name, *calls) for kind in ('group', 'rate_limit', 'webhook') for name, calls in OPERATIONS.items()),
    of_own_class(),
)
