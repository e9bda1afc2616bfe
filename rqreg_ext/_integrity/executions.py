"""Executions, and each job's registry of them: does the job exist, and does the execution?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._fastpath import releases, rq_keys
from .._fastpath.exchange import INTEGER, SCORE, TEXTS, Command
from .._fastpath.rq_keys import JobKeys
from . import repair_steps
from .candidates import WRONG_TYPE, Candidate, LookupResults
from .entries import date_of, has_expired
from .problems import Problem, ProblemKind
from .reader import ChunkReader


@dataclass(frozen=True)
class Executions:
    """The executions of the jobs of one class."""

    keys: JobKeys

    def of_jobs(self, reader: ChunkReader, job_ids: Sequence[str]) -> Iterator[Candidate]:
        """Read the registries of executions of these jobs, and yield the candidates."""
        commands: list[Command] = []
        for job_id in job_ids:
            commands.append((INTEGER, 'EXISTS', self.keys.job(job_id)))
            commands.append((TEXTS, 'ZRANGE', rq_keys.executions_key(job_id), 0, -1))
        replies = iter(reader.replies(commands))
        executions: list[tuple[str, str]] = []
        for job_id, exists, execution_ids in zip(job_ids, replies, replies, strict=True):
            if exists != 1:
                yield ExecutionsOfMissingJob(self.keys, job_id, rq_keys.executions_key(job_id))
            elif not isinstance(execution_ids, Exception):
                executions += [(job_id, execution_id) for execution_id in execution_ids]
        exist = reader.replies([(INTEGER, 'EXISTS', rq_keys.execution_key(*execution)) for execution in executions])
        for execution, exists in zip(executions, exist, strict=True):
            if exists != 1:
                yield EntryOfMissingExecution(*execution)

    def by_names(self, reader: ChunkReader, names: Sequence[str]) -> Iterator[Candidate]:
        """Yield those of these executions, each job_id:execution_id, whose job seems to be gone."""
        pairs = [(job_id, execution_id) for job_id, _, execution_id in (name.partition(':') for name in names)]
        exist = reader.replies([(INTEGER, 'EXISTS', self.keys.job(job_id)) for job_id, _ in pairs])
        for (job_id, execution_id), exists in zip(pairs, exist, strict=True):
            if exists != 1:
                yield ExecutionsOfMissingJob(self.keys, job_id, rq_keys.execution_key(job_id, execution_id))


@dataclass(frozen=True)
class ExecutionsOfMissingJob(Candidate):
    """An execution, or a registry of executions, whose job seems to be gone."""

    keys: JobKeys
    job_id: str
    key: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [
            (INTEGER, 'EXISTS', self.keys.job(self.job_id)),
            (INTEGER, 'EXISTS', self.key),
            (INTEGER, 'EXISTS', rq_keys.executions_key(self.job_id)),
            (INTEGER, 'PTTL', self.key),
        ]

    def evidence(self, replies: Sequence[Any], _: LookupResults) -> tuple[Any, ...]:
        """Return which keys exist, and whether this one expires."""
        *exist, ttl = replies
        return (*exist, ttl >= 0)

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        has_job, exists, has_registry, expires = evidence
        # If the registry of the job's executions exists, it is reported, and not each execution.
        if has_job or not exists or (has_registry and self.key != rq_keys.executions_key(self.job_id)):
            return None
        detail = f'job {self.job_id} is gone, and {self.key} still exists: the job was deleted while it ran'
        if expires:
            detail += ', and Redis removes the key within minutes after it ends'
            return Problem(ProblemKind.EXECUTION_WITHOUT_JOB, self.job_id, self.key, detail, repaired_by_rq=True)
        repair_step = repair_steps.drop_execution_of_missing_job(self.key, self.keys.job(self.job_id))
        detail += ', and never expires'
        return Problem(
            ProblemKind.EXECUTION_WITHOUT_JOB,
            self.job_id,
            self.key,
            detail,
            f'delete {self.key}',
            repair_step=repair_step,
        )


@dataclass(frozen=True)
class EntryOfMissingExecution(Candidate):
    """An entry of a registry of executions whose execution seems to be gone."""

    job_id: str
    execution_id: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [
            (SCORE, 'ZSCORE', rq_keys.executions_key(self.job_id), self.execution_id),
            (INTEGER, 'EXISTS', rq_keys.execution_key(self.job_id, self.execution_id)),
        ]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        score, exists = evidence
        if score in (None, WRONG_TYPE) or exists:
            return None
        key = rq_keys.executions_key(self.job_id)
        execution = rq_keys.execution_key(self.job_id, self.execution_id)
        repair_step = repair_steps.drop_entry_of_missing_job(key, self.execution_id, execution)
        if has_expired(score, releases.current_timestamp()):
            detail = f'the entry {self.execution_id} in {key} expired at {date_of(score)}'
            return Problem(
                ProblemKind.EXPIRED, self.job_id, key, detail, 'drop the entry, as RQ does', True, repair_step
            )
        detail = (
            f'{execution} is gone, but its entry in {key} is not: until that expires at {date_of(score)},'
            f' the executions of job {self.job_id} cannot be read, nor the job be deleted'
        )
        return Problem(ProblemKind.MISSING_EXECUTION, self.job_id, key, detail, 'drop the entry', True, repair_step)
