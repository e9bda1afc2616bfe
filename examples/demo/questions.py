"""The questions about each registry."""

from __future__ import annotations

from typing import Any

from rq import registry as rq_registry

from .comparison import Question, Subject

# For each registry, the property of Queue that returns it.
QUEUE_PROPERTIES = {
    'StartedJobRegistry': 'started_job_registry',
    'FinishedJobRegistry': 'finished_job_registry',
    'FailedJobRegistry': 'failed_job_registry',
    'DeferredJobRegistry': 'deferred_job_registry',
    'ScheduledJobRegistry': 'scheduled_job_registry',
    'CanceledJobRegistry': 'canceled_job_registry',
    'ReadyJobRegistry': 'ready_job_registry',
}


def registries() -> list[str]:
    """Return the names of the registries that the installed RQ has."""
    return [*(name for name in QUEUE_PROPERTIES if hasattr(rq_registry, name)), 'ExecutionRegistry']


def questions_for(registry: str) -> list[Question]:
    """Return the questions about a registry: first the common ones, then its own."""
    return [Question(registry, call, ask) for call, ask in (*_common(registry), *OWN.get(registry, ()))]


def _common(registry: str) -> list[tuple[str, Any]]:
    calls: list[tuple[str, Any]] = [('count', lambda s: s.registry.count)]
    if registry == 'ExecutionRegistry':
        return [*calls, ('get_job_ids()', lambda s: s.registry.get_job_ids())]
    name = QUEUE_PROPERTIES[registry]
    return [
        *calls,
        (f'queue.{name}.count', lambda s: getattr(s.queue, name).count),
        ('job in registry', lambda s: s.job in s.registry),
        ("'unknown' in registry", lambda s: 'unknown' in s.registry),
        ('get_job_ids()', lambda s: s.registry.get_job_ids()),
    ]


OWN: dict[str, tuple[tuple[str, Any], ...]] = {
    'StartedJobRegistry': (('get_job_and_execution_ids()', lambda s: s.registry.get_job_and_execution_ids()),),
    'FinishedJobRegistry': (
        ('get_job_ids(0, 1, desc=True)', lambda s: s.registry.get_job_ids(0, 1, desc=True)),
        ('get_expiration_time(job)', lambda s: s.registry.get_expiration_time(s.job)),
    ),
    'FailedJobRegistry': (
        ('get_job_ids(0, 99)', lambda s: s.registry.get_job_ids(0, 99)),
        ('get_expired_job_ids()', lambda s: s.registry.get_expired_job_ids()),
    ),
    'ScheduledJobRegistry': (
        ('get_scheduled_time(job)', lambda s: s.registry.get_scheduled_time(s.job)),
        ("get_scheduled_time('unknown')", lambda s: s.registry.get_scheduled_time('unknown')),
        ('get_jobs_to_schedule()', lambda s: s.registry.get_jobs_to_schedule()),
    ),
    'CanceledJobRegistry': (('get_expired_job_ids()', lambda s: s.registry.get_expired_job_ids()),),
}


def _remove(subject: Subject) -> object:
    return subject.registry.remove(subject.job.id)


def _remove_and_delete(subject: Subject) -> object:
    return subject.registry.remove(subject.job.id, delete_job=True)


def _requeue(subject: Subject) -> object:
    return subject.registry.requeue(subject.job.id).get_status(refresh=False)


# These change Redis: each is asked about another job every time.
CHANGES: tuple[tuple[str, Any], ...] = (
    ('remove(job_id)', _remove),
    ('remove(job_id, delete_job=True)', _remove_and_delete),
    ('requeue(job_id)', _requeue),
)
