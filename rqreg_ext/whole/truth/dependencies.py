"""Deferred jobs: whether what they wait for can still come, and whether RQ will tell them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..._exchange import SCORE, VALUE, Command
from ..by_rq import is_taken_by_rq
from . import mends
from .places import JobKeys
from .problems import Kind, Problem
from .reader import Reader, text_or_none
from .suspicions import WRONG_TYPE, Found, Suspicion

# Ids that are spelled out in a sentence.
_SHOWN = 5


@dataclass(frozen=True)
class DeferredJobs:
    """The jobs in a registry of deferred jobs."""

    keys: JobKeys
    queue: str
    key: str

    def suspicions(self, reader: Reader) -> Iterator[Suspicion]:
        """Read the registry, and yield the jobs whose waiting may be wrong."""
        for entries in reader.entries_of(self.key):
            commands: list[Command] = []
            for job_id, _ in entries:
                commands.append((VALUE, 'SMEMBERS', self.keys.dependencies(job_id)))
                commands.append((VALUE, 'HGET', self.keys.job(job_id), 'dependency_ids'))
            replies = iter(reader.replies(commands))
            waiting = [
                DeferredJob(self, job_id, _dependencies(members, listed))
                for (job_id, _), members, listed in zip(entries, replies, replies, strict=True)
            ]
            answers = iter(reader.replies([command for job in waiting for command in job.commands()]))
            for job in waiting:
                evidence = job.evidence([next(answers) for _ in job.commands()], None)
                # A job with an id that RQ refuses would end the worker that takes it.
                if is_taken_by_rq(job.job_id) and job.judge(evidence) is not None:
                    yield job


def _dependencies(members: Any, listed: Any) -> tuple[str, ...]:
    """Return what the job waits for: by the set that RQ asks, and by the job's own list."""
    ids = [] if isinstance(members, Exception) else [text_or_none(member) for member in members]
    try:
        listed = json.loads(listed or '[]')
    except (TypeError, ValueError):
        listed = []
    return tuple(sorted({job_id for job_id in [*ids, *listed] if isinstance(job_id, str)}))


class Dependency(NamedTuple):
    """A job that another one waits for: its status, None where it is gone, and which of the two sets have this."""

    job_id: str
    status: str | None
    is_known_to_it: bool
    is_known_to_us: bool


class Waiting(NamedTuple):
    """What was seen of a job that waits."""

    score: float | None
    status: str | None
    allows_failures: bool
    dependencies: tuple[Dependency, ...]

    @property
    def gone(self) -> list[Dependency]:
        """Those that are gone."""
        return [dependency for dependency in self.dependencies if dependency.status is None]

    @property
    def open(self) -> list[Dependency]:
        """Those that are still to come."""
        met = ('finished', 'failed') if self.allows_failures else ('finished',)
        return [
            dependency
            for dependency in self.dependencies
            if dependency.status is not None and dependency.status not in met
        ]


@dataclass(frozen=True)
class DeferredJob(Suspicion):
    """A job that seems to wait in vain."""

    of: DeferredJobs
    job_id: str
    dependency_ids: tuple[str, ...]

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        keys = self.of.keys
        own = keys.dependencies(self.job_id)
        commands: list[Command] = [
            (SCORE, 'ZSCORE', self.of.key, self.job_id),
            (VALUE, 'HMGET', keys.job(self.job_id), 'status', 'allow_dependency_failures'),
        ]
        for dependency_id in self.dependency_ids:
            commands.append((VALUE, 'HGET', keys.job(dependency_id), 'status'))
            commands.append((VALUE, 'SISMEMBER', keys.dependents(dependency_id), self.job_id))
            commands.append((VALUE, 'SISMEMBER', own, dependency_id))
        return commands

    def evidence(self, replies: Sequence[Any], _: Found | None) -> Waiting:
        """Return how it waits."""
        score, fields, *rest = replies
        status, allows_failures = map(text_or_none, fields) if isinstance(fields, list) else (None, None)
        asked = iter(rest)
        return Waiting(
            score if isinstance(score, float) else None,
            status,
            allows_failures == '1',
            tuple(
                Dependency(job_id, _status_of(of_it), knows == 1, known == 1)
                for job_id, of_it, knows, known in zip(self.dependency_ids, asked, asked, asked, strict=True)
            ),
        )

    def judge(self, waiting: Waiting) -> Problem | None:
        """Return what is wrong, if anything is."""
        if waiting.score is None or waiting.status != 'deferred':
            return None
        if not waiting.dependencies:
            return self._in_vain(f'job {self.job_id} is deferred, and waits for no job')
        if not waiting.open and waiting.gone:
            gone = _names(waiting.gone)
            return self._in_vain(f'job {self.job_id} waits for {gone}, which is gone, whether it finished or not')
        if not waiting.open:
            return self._met(waiting)
        unknown = [dependency for dependency in waiting.open if not dependency.is_known_to_it]
        return self._unknown(unknown) if unknown else None

    def _in_vain(self, detail: str) -> Problem:
        detail += ': nothing enqueues it any more, and whether it should run only its owner knows'
        return Problem(Kind.MISSING_DEPENDENCY, self.job_id, self.of.key, detail)

    def _met(self, waiting: Waiting) -> Problem:
        detail = (
            f'job {self.job_id} waits for {_names(waiting.dependencies)}, which is over:'
            ' a worker ended before it enqueued this, and nothing else does'
        )
        mend = mends.enqueue_deferred(self.of.keys, self.of.queue, self.job_id, self.dependency_ids)
        return Problem(Kind.DEPENDENCIES_MET, self.job_id, self.of.key, detail, 'enqueue the job', mend=mend)

    def _unknown(self, dependencies: Sequence[Dependency]) -> Problem:
        keys = self.of.keys
        ids = tuple(dependency.job_id for dependency in dependencies)
        key = keys.dependents(ids[0])
        detail = (
            f'job {self.job_id} waits for {_names(dependencies)}, and is not in {key}:'
            ' RQ will not enqueue it then (that set expired when the other job failed before, or was deleted)'
        )
        mend = mends.add_dependent(keys, self.of.key, self.job_id, ids)
        return Problem(Kind.NOT_A_DEPENDENT, self.job_id, key, detail, 'enter it there', mend=mend)


def _status_of(value: Any) -> str | None:
    """Return a status as RQ reads it; None for a job that is gone."""
    return None if value == WRONG_TYPE or isinstance(value, Exception) else text_or_none(value)


def _names(dependencies: Sequence[Dependency]) -> str:
    shown = ', '.join(dependency.job_id for dependency in dependencies[:_SHOWN])
    return f'{shown} and {len(dependencies) - _SHOWN} more' if len(dependencies) > _SHOWN else shown
