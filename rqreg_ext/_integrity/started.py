"""The entries of registries of started jobs, `job_id:execution_id`: does a worker still run the job?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._fastpath import releases, rq_keys
from .._fastpath.exchange import INTEGER, SCORE, VALUE, Command
from .._fastpath.rq_keys import STARTED, JobKeys
from . import job_view, repair_steps
from .candidates import WRONG_TYPE, Candidate, ListLookup, LookupResults
from .entries import date_of, has_expired, misplaced
from .job_view import JobView, timestamp_of
from .loading import HashCheck, unreadable
from .problems import Problem, ProblemKind
from .reader import ChunkReader, text_or_none

# A worker that has taken a job adds its execution before it changes the status of the job.
_RUNNING = ('started', 'queued')


@dataclass(frozen=True)
class StartedEntries:
    """The entries of the registry of started jobs of one queue; `with_hashes` as for RegistryEntries."""

    keys: JobKeys
    queue: str
    key: str
    with_hashes: bool = False

    def candidates(self, reader: ChunkReader, job_ids: set[str] | None = None) -> Iterator[Candidate]:
        """Read the registry, add its job ids to `job_ids`, and yield the candidates."""
        job_ids = set() if job_ids is None else job_ids
        for entries in reader.entries_of(self.key):
            commands: list[Command] = []
            for member, _ in entries:
                job_id, _, execution_id = member.partition(':')
                commands.append((VALUE, 'HMGET', self.keys.job(job_id), 'status', 'origin', 'created_at'))
                commands.append((INTEGER, 'EXISTS', rq_keys.execution_key(job_id, execution_id)))
                job_ids.add(job_id)
            replies = iter(reader.replies(commands))
            now = releases.current_timestamp()
            for (member, score), values, has_execution in zip(entries, replies, replies, strict=True):
                if not self._is_running(member, score, values, has_execution, now):
                    yield self._candidate_of(member, values)
            if self.with_hashes:
                ids = dict.fromkeys(member.partition(':')[0] for member, _ in entries)
                yield from HashCheck(self.keys).candidates(reader, list(ids))
            reader.note(entries=len(entries))

    def _is_running(self, member: str, score: float, values: Any, has_execution: Any, now: float) -> bool:
        if isinstance(values, Exception) or member.count(':') != 1 or has_execution != 1 or has_expired(score, now):
            return False
        status, origin, created_at = map(text_or_none, values)
        return status in _RUNNING and origin == self.queue and created_at is not None

    def _candidate_of(self, member: str, values: Any) -> Candidate:
        if member.count(':') > 1:
            return MalformedEntry(self, member)
        origin = None if isinstance(values, Exception) else text_or_none(values[1])
        return StartedEntry(self, member, origin or self.queue)


@dataclass(frozen=True)
class StartedEntry(Candidate):
    """An execution that may not be running."""

    entries: StartedEntries
    member: str
    origin: str

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.member.partition(':')[0]

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        job_id, _, execution_id = self.member.partition(':')
        return [
            (SCORE, 'ZSCORE', self.entries.key, self.member),
            (VALUE, 'HGET', rq_keys.execution_key(job_id, execution_id), 'created_at'),
            *job_view.commands(self.entries.keys, job_id, self.origin),
        ]

    def lookups(self) -> tuple[list[ListLookup], list[ListLookup]]:
        """Return the lookups that the evidence needs too."""
        return job_view.lookups(self.job_id, self.origin)

    def evidence(self, replies: Sequence[Any], results: LookupResults) -> tuple[Any, str | None, JobView]:
        """Return the score of the entry, the start of the execution, and the view of the job."""
        begin = None if replies[1] == WRONG_TYPE else text_or_none(replies[1])
        return replies[0], begin, job_view.view_of(replies[2:], results, self.job_id, self.origin)

    def diagnose(self, evidence: tuple[Any, str | None, JobView]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        score, begin, view = evidence
        if score in (None, WRONG_TYPE):
            return None
        if not view.exists:
            return self._missing_job(score)
        if not view.is_readable:
            return unreadable(self.entries.keys, self.job_id, view.has_data, view.status)
        is_expired = has_expired(score, releases.current_timestamp())
        if view.origin != self.entries.queue:
            return misplaced(ProblemKind.WRONG_QUEUE, self.entries.key, self.member, self.entries.keys, view, False)
        if view.status not in _RUNNING:
            has_ended = is_expired or begin is None or _has_ended(begin, view)
            return self._stale_entry(score, view) if has_ended else self._still_running(score, view)
        if is_expired:
            return self._abandoned(score)
        return self._missing_execution(score) if begin is None else None

    def _missing_job(self, score: float) -> Problem:
        key = self.entries.key
        detail = f'job {self.job_id} is gone, and its entry in {key} is still counted and listed as running'
        repair_step = repair_steps.drop_entry_of_missing_job(key, self.member, self.entries.keys.job(self.job_id))
        return Problem(
            ProblemKind.MISSING_JOB, self.job_id, key, detail, 'drop the entry', _will_expire(score), repair_step
        )

    def _stale_entry(self, score: float, view: JobView) -> Problem:
        """Return the problem of the entry of an execution that has ended."""
        by_rq = _is_harmless(score)
        problem = misplaced(ProblemKind.WRONG_STATUS, self.entries.key, self.member, self.entries.keys, view, by_rq)
        if by_rq:
            return problem
        return replace(problem, detail=f"{problem.detail}; RQ's cleanup fails the job for it at {date_of(score)}")

    def _still_running(self, score: float, view: JobView) -> Problem:
        detail = (
            f'job {self.job_id} has the status {view.status!r}, but a worker still runs it:'
            ' the worker will write the status when it ends'
        )
        return Problem(
            ProblemKind.WRONG_STATUS, self.job_id, self.entries.key, detail, repaired_by_rq=_is_harmless(score)
        )

    def _abandoned(self, score: float) -> Problem:
        detail = (
            f'job {self.job_id} has had no heartbeat from its worker since before {date_of(score)}:'
            ' the worker ended in the middle of it'
        )
        repair_step = repair_steps.clean_up_expired_entry(self.entries.key, self.member, STARTED, self.entries.queue)
        repair = "have RQ's own cleanup retry or fail it, with its callbacks, as any count of the registry does"
        return Problem(ProblemKind.ABANDONED, self.job_id, self.entries.key, detail, repair, True, repair_step)

    def _missing_execution(self, score: float) -> Problem:
        detail = f'job {self.job_id} is in {self.entries.key}, but the execution {self.member} is gone'
        if _will_expire(score):
            detail += f": RQ's cleanup treats the job as abandoned at {date_of(score)}"
        else:
            detail += ', and its entry never expires, so RQ counts it as running for ever'
        return Problem(
            ProblemKind.MISSING_EXECUTION, self.job_id, self.entries.key, detail, repaired_by_rq=_will_expire(score)
        )


@dataclass(frozen=True)
class MalformedEntry(Candidate):
    """An entry with more than one colon, in which RQ cannot separate the job from the execution."""

    entries: StartedEntries
    member: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [
            (SCORE, 'ZSCORE', self.entries.key, self.member),
            *((INTEGER, 'EXISTS', key) for key in self._possible_jobs()),
        ]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        score, *exist = evidence
        if score in (None, WRONG_TYPE):
            return None
        key = self.entries.key
        detail = f'the entry {self.member!r} in {key} is not job_id:execution_id: RQ can neither list nor clean {key}'
        if any(exist):
            detail += ', and a job that it may name exists'
            return Problem(ProblemKind.MALFORMED_ENTRY, None, key, detail)
        repair_step = repair_steps.drop_malformed_entry(key, self.member, self._possible_jobs())
        return Problem(ProblemKind.MALFORMED_ENTRY, None, key, detail, 'drop the entry', repair_step=repair_step)

    def _possible_jobs(self) -> tuple[str, ...]:
        """Return the keys of the jobs that the entry may name, as job ids may have colons."""
        parts = self.member.split(':')
        return tuple(self.entries.keys.job(':'.join(parts[:count])) for count in range(1, len(parts) + 1))


def _has_ended(begin: str, view: JobView) -> bool:
    """Return whether the execution that began then, or a later one, has written the end of the job.

    Before RQ 3, a worker does not remove its entry if another job becomes a dependent of this one in that moment.
    """
    started_at, ended_at = (timestamp_of(view.fields.get(name, '')) for name in ('started_at', 'ended_at'))
    try:
        return float(begin) <= started_at <= ended_at
    except ValueError:
        return False


def _is_harmless(score: float) -> bool:
    """Return whether RQ's cleanup removes the entry without changing the job."""
    return _will_expire(score) and releases.release.abandons_only_started


def _will_expire(score: float) -> bool:
    return 0 <= score < math.inf
