"""Deferred jobs: whether their dependencies still exist, and whether RQ will enqueue them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._bulk.fallback.job_ids import is_accepted_by_rq
from .._fastpath.exchange import SCORE, VALUE, Command
from .._fastpath.rq_keys import JobKeys
from . import repair_steps
from .candidates import WRONG_TYPE, Candidate, LookupResults
from .problems import Problem, ProblemKind
from .reader import ChunkReader, text_or_none

# How many ids a `detail` names.
_SHOWN = 5


@dataclass(frozen=True)
class DeferredJobs:
    """The entries of a registry of deferred jobs."""

    keys: JobKeys
    queue: str
    key: str

    def candidates(self, reader: ChunkReader) -> Iterator[Candidate]:
        """Read the registry, and yield the jobs that may wait in vain."""
        for entries in reader.entries_of(self.key):
            commands: list[Command] = []
            for job_id, _ in entries:
                commands.append((VALUE, 'SMEMBERS', self.keys.dependencies(job_id)))
                commands.append((VALUE, 'HGET', self.keys.job(job_id), 'dependency_ids'))
            replies = iter(reader.replies(commands))
            jobs = [
                DeferredJob(self, job_id, _dependencies(members, listed))
                for (job_id, _), members, listed in zip(entries, replies, replies, strict=True)
            ]
            answers = iter(reader.replies([command for job in jobs for command in job.commands()]))
            for job in jobs:
                evidence = job.evidence([next(answers) for _ in job.commands()], None)
                # A job whose id RQ refuses would end the worker that takes it from a queue, so it is never enqueued.
                if is_accepted_by_rq(job.job_id) and job.diagnose(evidence) is not None:
                    yield job


def _dependencies(members: Any, listed: Any) -> tuple[str, ...]:
    """Return the ids of the set of dependencies, which RQ reads, and of `dependency_ids` in the job's hash."""
    ids = [] if isinstance(members, Exception) else [text_or_none(member) for member in members]
    try:
        listed = json.loads(listed or '[]')
    except (TypeError, ValueError):
        listed = []
    return tuple(sorted({job_id for job_id in [*ids, *listed] if isinstance(job_id, str)}))


class Dependency(NamedTuple):
    """A dependency of a deferred job.

    status: None if the dependency is gone.
    has_dependent: whether the deferred job is in the dependency's set of dependents.
    is_listed: whether the dependency is in the deferred job's set of dependencies.
    """

    job_id: str
    status: str | None
    has_dependent: bool
    is_listed: bool


class DeferredState(NamedTuple):
    """The evidence: a deferred job with its dependencies."""

    score: float | None
    status: str | None
    allows_failures: bool
    dependencies: tuple[Dependency, ...]

    @property
    def gone(self) -> list[Dependency]:
        """The dependencies that are gone."""
        return [dependency for dependency in self.dependencies if dependency.status is None]

    @property
    def unmet(self) -> list[Dependency]:
        """The dependencies that exist and have not ended."""
        met = ('finished', 'failed') if self.allows_failures else ('finished',)
        return [
            dependency
            for dependency in self.dependencies
            if dependency.status is not None and dependency.status not in met
        ]


@dataclass(frozen=True)
class DeferredJob(Candidate):
    """A deferred job that RQ may never enqueue."""

    registry: DeferredJobs
    job_id: str
    dependency_ids: tuple[str, ...]

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        keys = self.registry.keys
        own = keys.dependencies(self.job_id)
        commands: list[Command] = [
            (SCORE, 'ZSCORE', self.registry.key, self.job_id),
            (VALUE, 'HMGET', keys.job(self.job_id), 'status', 'allow_dependency_failures'),
        ]
        for dependency_id in self.dependency_ids:
            commands.append((VALUE, 'HGET', keys.job(dependency_id), 'status'))
            commands.append((VALUE, 'SISMEMBER', keys.dependents(dependency_id), self.job_id))
            commands.append((VALUE, 'SISMEMBER', own, dependency_id))
        return commands

    def evidence(self, replies: Sequence[Any], _: LookupResults | None) -> DeferredState:
        """Return the job with its dependencies."""
        score, fields, *rest = replies
        job_status, allows_failures = map(text_or_none, fields) if isinstance(fields, list) else (None, None)
        of_dependencies = iter(rest)
        return DeferredState(
            score if isinstance(score, float) else None,
            job_status,
            allows_failures == '1',
            tuple(
                Dependency(job_id, _status_of(status), has_dependent == 1, is_listed == 1)
                for job_id, status, has_dependent, is_listed in zip(
                    self.dependency_ids, of_dependencies, of_dependencies, of_dependencies, strict=True
                )
            ),
        )

    def diagnose(self, waiting: DeferredState) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        if waiting.score is None or waiting.status != 'deferred':
            return None
        if not waiting.dependencies:
            return self._missing_dependency(f'job {self.job_id} is deferred, but has no dependencies')
        if not waiting.unmet and waiting.gone:
            gone = _names(waiting.gone)
            return self._missing_dependency(f'job {self.job_id} waits for {gone}, which is gone, finished or not')
        if not waiting.unmet:
            return self._met(waiting)
        unaware = [dependency for dependency in waiting.unmet if not dependency.has_dependent]
        return self._not_a_dependent(unaware) if unaware else None

    def _missing_dependency(self, detail: str) -> Problem:
        detail += ': nothing will enqueue it, and nothing says whether it should run'
        return Problem(ProblemKind.MISSING_DEPENDENCY, self.job_id, self.registry.key, detail)

    def _met(self, waiting: DeferredState) -> Problem:
        detail = (
            f'job {self.job_id} waits for {_names(waiting.dependencies)}, which has ended:'
            ' a worker ended before it enqueued the job, and nothing else will'
        )
        repair_step = repair_steps.enqueue_deferred(
            self.registry.keys, self.registry.queue, self.job_id, self.dependency_ids
        )
        return Problem(
            ProblemKind.DEPENDENCIES_MET,
            self.job_id,
            self.registry.key,
            detail,
            'enqueue the job',
            repair_step=repair_step,
        )

    def _not_a_dependent(self, dependencies: Sequence[Dependency]) -> Problem:
        keys = self.registry.keys
        ids = tuple(dependency.job_id for dependency in dependencies)
        key = keys.dependents(ids[0])
        detail = (
            f'job {self.job_id} waits for {_names(dependencies)}, and is not in {key}:'
            ' RQ will not enqueue it (the set expired when the other job failed earlier, or was deleted)'
        )
        repair_step = repair_steps.add_dependent(keys, self.registry.key, self.job_id, ids)
        return Problem(
            ProblemKind.NOT_A_DEPENDENT, self.job_id, key, detail, 'add the job to that set', repair_step=repair_step
        )


def _status_of(value: Any) -> str | None:
    """Return a status as RQ reads it; None if the job is gone."""
    return None if value == WRONG_TYPE or isinstance(value, Exception) else text_or_none(value)


def _names(dependencies: Sequence[Dependency]) -> str:
    shown = ', '.join(dependency.job_id for dependency in dependencies[:_SHOWN])
    return f'{shown} and {len(dependencies) - _SHOWN} more' if len(dependencies) > _SHOWN else shown
