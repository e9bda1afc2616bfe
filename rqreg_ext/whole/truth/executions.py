"""The executions of jobs, and each job's registry of them: for jobs that are there, and as RQ can read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ... import _installed_rq
from ..._exchange import INTEGER, SCORE, TEXTS, Command
from . import mends, places
from .entries import date_of, has_expired
from .places import JobKeys
from .problems import Kind, Problem
from .reader import Reader
from .suspicions import WRONG_TYPE, Found, Suspicion


@dataclass(frozen=True)
class Executions:
    """The executions of the jobs of one class."""

    keys: JobKeys

    def of_jobs(self, reader: Reader, job_ids: Sequence[str]) -> Iterator[Suspicion]:
        """Look at the registries of executions of these jobs, and yield what may be wrong."""
        commands: list[Command] = []
        for job_id in job_ids:
            commands.append((INTEGER, 'EXISTS', self.keys.job(job_id)))
            commands.append((TEXTS, 'ZRANGE', places.executions_key(job_id), 0, -1))
        replies = iter(reader.replies(commands))
        inner: list[tuple[str, str]] = []
        for job_id, exists, execution_ids in zip(job_ids, replies, replies, strict=True):
            if exists != 1:
                yield ExecutionsOfNoJob(self.keys, job_id, places.executions_key(job_id))
            elif not isinstance(execution_ids, Exception):
                inner += [(job_id, execution_id) for execution_id in execution_ids]
        there = reader.replies([(INTEGER, 'EXISTS', places.execution_key(*execution)) for execution in inner])
        for execution, exists in zip(inner, there, strict=True):
            if exists != 1:
                yield EntryOfNoExecution(*execution)

    def by_names(self, reader: Reader, names: Sequence[str]) -> Iterator[Suspicion]:
        """Look at these executions, each job_id:execution_id, and yield those without a job."""
        pairs = [(job_id, execution_id) for job_id, _, execution_id in (name.partition(':') for name in names)]
        exist = reader.replies([(INTEGER, 'EXISTS', self.keys.job(job_id)) for job_id, _ in pairs])
        for (job_id, execution_id), exists in zip(pairs, exist, strict=True):
            if exists != 1:
                yield ExecutionsOfNoJob(self.keys, job_id, places.execution_key(job_id, execution_id))


@dataclass(frozen=True)
class ExecutionsOfNoJob(Suspicion):
    """An execution, or a registry of executions, whose job seems to be gone."""

    keys: JobKeys
    job_id: str
    key: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [
            (INTEGER, 'EXISTS', self.keys.job(self.job_id)),
            (INTEGER, 'EXISTS', self.key),
            (INTEGER, 'EXISTS', places.executions_key(self.job_id)),
            (INTEGER, 'PTTL', self.key),
        ]

    def evidence(self, replies: Sequence[Any], _: Found) -> tuple[Any, ...]:
        """Return what there is, and whether it expires."""
        *exist, ttl = replies
        return (*exist, ttl >= 0)

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        has_job, exists, has_registry, expires = evidence
        # Where there is a registry of the job's executions, it stands for all of them.
        if has_job or not exists or (has_registry and self.key != places.executions_key(self.job_id)):
            return None
        detail = f'job {self.job_id} is gone, and {self.key} is still there: it was deleted while it ran'
        if expires:
            detail += ', and Redis drops this within minutes after it ends'
            return Problem(Kind.EXECUTION_WITHOUT_JOB, self.job_id, self.key, detail, mended_by_rq=True)
        mend = mends.drop_execution_of_missing_job(self.key, self.keys.job(self.job_id))
        detail += ', and never expires'
        return Problem(Kind.EXECUTION_WITHOUT_JOB, self.job_id, self.key, detail, f'delete {self.key}', mend=mend)


@dataclass(frozen=True)
class EntryOfNoExecution(Suspicion):
    """An entry of a registry of executions whose execution seems to be gone."""

    job_id: str
    execution_id: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [
            (SCORE, 'ZSCORE', places.executions_key(self.job_id), self.execution_id),
            (INTEGER, 'EXISTS', places.execution_key(self.job_id, self.execution_id)),
        ]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        score, exists = evidence
        if score in (None, WRONG_TYPE) or exists:
            return None
        key = places.executions_key(self.job_id)
        execution = places.execution_key(self.job_id, self.execution_id)
        mend = mends.drop_entry_of_missing_job(key, self.execution_id, execution)
        if has_expired(score, _installed_rq.current_timestamp()):
            detail = f'the entry {self.execution_id} in {key} expired at {date_of(score)}'
            return Problem(Kind.EXPIRED, self.job_id, key, detail, 'drop the entry, as RQ does', True, mend)
        detail = (
            f'{execution} is gone, and its entry in {key} is not: until that expires at {date_of(score)},'
            f' the executions of job {self.job_id} cannot be read, nor the job be deleted'
        )
        return Problem(Kind.MISSING_EXECUTION, self.job_id, key, detail, 'drop the entry', True, mend)
