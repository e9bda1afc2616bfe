"""The entries of a registry of started jobs, `job_id:execution_id`: is a worker at it, or did one end over it?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import _installed_rq
from ..._exchange import INTEGER, SCORE, VALUE, Command
from . import job_view, mends, places
from .entries import date_of, has_expired, misplaced
from .job_view import JobView, timestamp_of
from .loading import Loading, unreadable
from .places import STARTED, JobKeys
from .problems import Kind, Problem
from .reader import Reader, text_or_none
from .suspicions import WRONG_TYPE, Found, Search, Suspicion

# A worker that has taken a job enters its execution before it changes the job's status.
_RUNNING = ('started', 'queued')


@dataclass(frozen=True)
class StartedEntries:
    """The entries of the registry of started jobs of one queue; with_loading as for Entries."""

    keys: JobKeys
    queue: str
    key: str
    with_loading: bool = False

    def suspicions(self, reader: Reader, job_ids: set[str] | None = None) -> Iterator[Suspicion]:
        """Read the registry, add the job ids in it to these, and yield what may be wrong."""
        job_ids = set() if job_ids is None else job_ids
        for entries in reader.entries_of(self.key):
            commands: list[Command] = []
            for member, _ in entries:
                job_id, _, execution_id = member.partition(':')
                commands.append((VALUE, 'HMGET', self.keys.job(job_id), 'status', 'origin', 'created_at'))
                commands.append((INTEGER, 'EXISTS', places.execution_key(job_id, execution_id)))
                job_ids.add(job_id)
            replies = iter(reader.replies(commands))
            now = _installed_rq.current_timestamp()
            for (member, score), values, has_execution in zip(entries, replies, replies, strict=True):
                if not self._is_sound(member, score, values, has_execution, now):
                    yield self._suspicion_of(member, values)
            if self.with_loading:
                ids = dict.fromkeys(member.partition(':')[0] for member, _ in entries)
                yield from Loading(self.keys).suspicions(reader, list(ids))
            reader.note(entries=len(entries))

    def _is_sound(self, member: str, score: float, values: Any, has_execution: Any, now: float) -> bool:
        if isinstance(values, Exception) or member.count(':') != 1 or has_execution != 1 or has_expired(score, now):
            return False
        status, origin, created_at = map(text_or_none, values)
        return status in _RUNNING and origin == self.queue and created_at is not None

    def _suspicion_of(self, member: str, values: Any) -> Suspicion:
        if member.count(':') > 1:
            return MalformedEntry(self, member)
        origin = None if isinstance(values, Exception) else text_or_none(values[1])
        return StartedEntry(self, member, origin or self.queue)


@dataclass(frozen=True)
class StartedEntry(Suspicion):
    """An execution that seems not to be running."""

    entries: StartedEntries
    member: str
    origin: str

    @property
    def job_id(self) -> str:
        """The job of the execution."""
        return self.member.partition(':')[0]

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        job_id, _, execution_id = self.member.partition(':')
        return [
            (SCORE, 'ZSCORE', self.entries.key, self.member),
            (VALUE, 'HGET', places.execution_key(job_id, execution_id), 'created_at'),
            *job_view.commands(self.entries.keys, job_id, self.origin),
        ]

    def searches(self) -> tuple[list[Search], list[Search]]:
        """Return what has to be looked for beside."""
        return job_view.searches(self.job_id, self.origin)

    def evidence(self, replies: Sequence[Any], found: Found) -> tuple[Any, str | None, JobView]:
        """Return the entry's score, when the execution was entered, and the job."""
        begun = None if replies[1] == WRONG_TYPE else text_or_none(replies[1])
        return replies[0], begun, job_view.view_of(replies[2:], found, self.job_id, self.origin)

    def judge(self, evidence: tuple[Any, str | None, JobView]) -> Problem | None:
        """Return what is wrong, if anything is."""
        score, begun, view = evidence
        if score in (None, WRONG_TYPE):
            return None
        if not view.exists:
            return self._missing_job(score)
        if not view.is_readable:
            return unreadable(self.entries.keys, self.job_id, view.has_data, view.status)
        is_expired = has_expired(score, _installed_rq.current_timestamp())
        if view.origin != self.entries.queue:
            return misplaced(Kind.WRONG_QUEUE, self.entries.key, self.member, self.entries.keys, view, False)
        if view.status not in _RUNNING:
            is_over = is_expired or begun is None or _has_ended(begun, view)
            return self._left(score, view) if is_over else self._still_running(score, view)
        if is_expired:
            return self._abandoned(score)
        return self._missing_execution(score) if begun is None else None

    def _missing_job(self, score: float) -> Problem:
        key = self.entries.key
        detail = f'job {self.job_id} is gone, and its entry in {key} is still counted and listed as running'
        mend = mends.drop_entry_of_missing_job(key, self.member, self.entries.keys.job(self.job_id))
        return Problem(Kind.MISSING_JOB, self.job_id, key, detail, 'drop the entry', _will_expire(score), mend)

    def _left(self, score: float, view: JobView) -> Problem:
        """Return the problem of an entry that a run left behind."""
        by_rq = _is_harmless(score)
        problem = misplaced(Kind.WRONG_STATUS, self.entries.key, self.member, self.entries.keys, view, by_rq)
        if by_rq:
            return problem
        return replace(problem, detail=f"{problem.detail}; RQ's clean-up fails the job for it at {date_of(score)}")

    def _still_running(self, score: float, view: JobView) -> Problem:
        detail = (
            f'job {self.job_id} has the status {view.status!r}, and a worker still runs it:'
            ' what it is when that ends, the worker will write'
        )
        return Problem(Kind.WRONG_STATUS, self.job_id, self.entries.key, detail, mended_by_rq=_is_harmless(score))

    def _abandoned(self, score: float) -> Problem:
        detail = (
            f'job {self.job_id} has had no sign of life from its worker since before {date_of(score)}:'
            ' the worker ended in the middle of it'
        )
        mend = mends.clean_up_expired_entry(self.entries.key, self.member, STARTED, self.entries.queue)
        repair = "have RQ's own clean-up retry or fail it, with its callbacks, as any count of the registry does"
        return Problem(Kind.ABANDONED, self.job_id, self.entries.key, detail, repair, True, mend)

    def _missing_execution(self, score: float) -> Problem:
        detail = f'job {self.job_id} stands in {self.entries.key}, and the execution {self.member} is gone'
        if _will_expire(score):
            detail += f": RQ's clean-up takes the job for abandoned at {date_of(score)}"
        else:
            detail += ', and its entry never expires, so that RQ counts it as running for ever'
        return Problem(Kind.MISSING_EXECUTION, self.job_id, self.entries.key, detail, mended_by_rq=_will_expire(score))


@dataclass(frozen=True)
class MalformedEntry(Suspicion):
    """An entry in which RQ cannot tell the job from its execution."""

    entries: StartedEntries
    member: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [
            (SCORE, 'ZSCORE', self.entries.key, self.member),
            *((INTEGER, 'EXISTS', key) for key in self._possible_jobs()),
        ]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        score, *exist = evidence
        if score in (None, WRONG_TYPE):
            return None
        key = self.entries.key
        detail = f'the entry {self.member!r} in {key} is no job_id:execution_id: RQ can neither list nor clean up {key}'
        if any(exist):
            detail += ', and a job that it may mean exists'
            return Problem(Kind.MALFORMED_ENTRY, None, key, detail)
        mend = mends.drop_malformed_entry(key, self.member, self._possible_jobs())
        return Problem(Kind.MALFORMED_ENTRY, None, key, detail, 'drop the entry', mend=mend)

    def _possible_jobs(self) -> tuple[str, ...]:
        """Return the keys of the jobs whose entry it may be, if ids may have colons."""
        parts = self.member.split(':')
        return tuple(self.entries.keys.job(':'.join(parts[:count])) for count in range(1, len(parts) + 1))


def _has_ended(begun: str, view: JobView) -> bool:
    """Tell whether the run that wrote the job's end is the one that was entered then, or one after it.

    Before RQ 3, a worker forgets the entry of a run where another job comes to wait for this one in just that moment.
    """
    started_at, ended_at = (timestamp_of(view.fields.get(name, '')) for name in ('started_at', 'ended_at'))
    try:
        return float(begun) <= started_at <= ended_at
    except ValueError:
        return False


def _is_harmless(score: float) -> bool:
    """Tell whether RQ's clean-up drops the entry without touching the job."""
    return _will_expire(score) and _installed_rq.release is not None and _installed_rq.release.abandons_only_started


def _will_expire(score: float) -> bool:
    return 0 <= score < math.inf
