"""The entries of a registry whose members are job ids: is the job there, and does it say that it stands here?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ... import _installed_rq
from ..._exchange import INTEGER, SCORE, VALUE, Command
from . import job_view, mends
from .job_view import JobView
from .loading import Loading, unreadable
from .places import DEFERRED, FAILED, FINISHED, READY, SCHEDULED, JobKeys, Place
from .problems import Kind, Problem
from .reader import Reader, text_or_none
from .suspicions import WRONG_TYPE, Found, Search, Suspicion

# Seconds by which clocks may differ: a job's hash expires by the server's, its entry by that of whoever cleans up.
CLOCK_DIFFERENCE = 60

_SEEN = ('status', 'origin', 'created_at', 'repeats_left')


def drops_expired(place: Place | None) -> bool:
    """Tell whether RQ drops the entries of this registry once they have expired."""
    return place in (FINISHED, FAILED)


def fails_expired(place: Place | None) -> bool:
    """Tell whether RQ fails the jobs of this registry once their entries have expired."""
    return place is DEFERRED and _installed_rq.fails_expired_deferred


def has_expired(score: float, now: float) -> bool:
    """Tell whether RQ's clean-up takes an entry of this score. A score below zero never expires."""
    return 0 <= score <= now


def date_of(score: float) -> str:
    """Return a score as a date."""
    try:
        return datetime.fromtimestamp(score, timezone.utc).isoformat(sep=' ', timespec='seconds')
    except (OverflowError, ValueError, OSError):
        return f'{score:g}'


@dataclass(frozen=True)
class Entries:
    """The entries of one registry.

    place is None for a registry in which RQ keeps no jobs by their status: then only their existence is looked at.
    with_loading: whether to look at the jobs' hashes too; a scan over all jobs does.
    """

    keys: JobKeys
    place: Place | None
    queue: str
    key: str
    with_loading: bool = False

    def suspicions(self, reader: Reader) -> Iterator[Suspicion]:
        """Read the registry, and yield what may be wrong."""
        for entries in reader.entries_of(self.key):
            commands: list[Command] = [(VALUE, 'HMGET', self.keys.job(job_id), *_SEEN) for job_id, _ in entries]
            now = _installed_rq.current_timestamp()
            for (job_id, score), values in zip(entries, reader.replies(commands), strict=True):
                suspicion = self._suspicion_of(job_id, score, values, now)
                if suspicion is not None:
                    yield suspicion
            if self.with_loading:
                yield from Loading(self.keys).suspicions(reader, [job_id for job_id, _ in entries])
            reader.note(entries=len(entries))

    def _suspicion_of(self, job_id: str, score: float, values: Any, now: float) -> Suspicion | None:
        if has_expired(score, now) and (drops_expired(self.place) or fails_expired(self.place)):
            return ExpiredEntry(self, job_id)
        if isinstance(values, Exception) or values[0] is None or values[2] is None:
            return EntryOfNoJob(self, job_id)
        status, origin, _, repeats_left = map(text_or_none, values)
        if self.place is None or (status in self.place.statuses and origin == self.queue):
            return None
        if self.is_repeated(repeats_left) and origin == self.queue:
            return None
        return MisplacedEntry(self, job_id, origin or '')

    def is_repeated(self, repeats_left: str | None) -> bool:
        """Tell whether a job may be there for a run before, or for the next one: it has the status of one of them."""
        return self.place in (FINISHED, SCHEDULED) and bool(repeats_left)

    @property
    def is_cleared_by_rq(self) -> bool:
        """Whether RQ's clean-up drops every entry that should not be there."""
        return READY is not None and self.place is READY


@dataclass(frozen=True)
class ExpiredEntry(Suspicion):
    """An entry whose time is over."""

    entries: Entries
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [(SCORE, 'ZSCORE', self.entries.key, self.job_id)]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        (score,) = evidence
        if score in (None, WRONG_TYPE) or not has_expired(score, _installed_rq.current_timestamp()):
            return None
        place, key = self.entries.place, self.entries.key
        if place is not None and fails_expired(place):
            detail = f'job {self.job_id} in {key} waited for other jobs until {date_of(score)}, its time to live'
            mend = mends.clean_up_expired_entry(key, self.job_id, place, self.entries.queue)
            return Problem(Kind.EXPIRED, self.job_id, key, detail, "fail the job, by RQ's own clean-up", True, mend)
        detail = f'the entry of job {self.job_id} in {key} expired at {date_of(score)}'
        mend = mends.drop_expired_entry(key, self.job_id)
        return Problem(Kind.EXPIRED, self.job_id, key, detail, 'drop the entry, as RQ does', True, mend)


@dataclass(frozen=True)
class EntryOfNoJob(Suspicion):
    """An entry whose job seems to be gone, or to be no job that RQ can load."""

    entries: Entries
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        job = self.entries.keys.job(self.job_id)
        return [
            (SCORE, 'ZSCORE', self.entries.key, self.job_id),
            (INTEGER, 'EXISTS', job),
            (INTEGER, 'HEXISTS', job, 'data'),
            (VALUE, 'HGET', job, 'status'),
        ]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        score, exists, has_data, status = evidence
        if score in (None, WRONG_TYPE):
            return None
        if exists:
            return unreadable(self.entries.keys, self.job_id, has_data == 1, text_or_none(status))
        now = _installed_rq.current_timestamp()
        if drops_expired(self.entries.place) and score <= now + CLOCK_DIFFERENCE and score >= 0:
            return None
        key = self.entries.key
        detail = f'job {self.job_id} is gone, and its entry in {key} is still counted and listed'
        mend = mends.drop_entry_of_missing_job(key, self.job_id, self.entries.keys.job(self.job_id))
        by_rq = self.entries.is_cleared_by_rq
        return Problem(Kind.MISSING_JOB, self.job_id, key, detail, 'drop the entry', by_rq, mend)


@dataclass(frozen=True)
class MisplacedEntry(Suspicion):
    """An entry whose job seems to have another status, or another queue, than those of this registry."""

    entries: Entries
    job_id: str
    origin: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        score: Command = (SCORE, 'ZSCORE', self.entries.key, self.job_id)
        return [score, *job_view.commands(self.entries.keys, self.job_id, self.origin)]

    def searches(self) -> tuple[list[Search], list[Search]]:
        """Return what has to be looked for beside."""
        return job_view.searches(self.job_id, self.origin)

    def evidence(self, replies: Sequence[Any], found: Found) -> tuple[float | None, JobView]:
        """Return the entry's score, and the job."""
        score = None if replies[0] == WRONG_TYPE else replies[0]
        return score, job_view.view_of(replies[1:], found, self.job_id, self.origin)

    def judge(self, evidence: tuple[float | None, JobView]) -> Problem | None:
        """Return what is wrong, if anything is."""
        score, view = evidence
        entries = self.entries
        if score is None or not view.exists or entries.place is None:
            return None
        if not view.is_readable:
            return unreadable(entries.keys, self.job_id, view.has_data, view.status)
        if entries.is_repeated(view.fields.get('repeats_left')) and view.origin == entries.queue:
            return None
        if view.origin != entries.queue:
            return misplaced(Kind.WRONG_QUEUE, entries.key, self.job_id, entries.keys, view, entries.is_cleared_by_rq)
        if view.status not in entries.place.statuses:
            return misplaced(Kind.WRONG_STATUS, entries.key, self.job_id, entries.keys, view, entries.is_cleared_by_rq)
        return None


def misplaced(kind: Kind, key: str, member: str, keys: JobKeys, view: JobView, by_rq: bool) -> Problem:
    """Return the problem of an entry whose job says that it belongs elsewhere."""
    says = f'has the status {view.status!r}' if kind is Kind.WRONG_STATUS else f'belongs to the queue {view.origin!r}'
    detail = f'job {view.job_id} stands in {key}, and {says}'
    standing = view.standing()
    if standing is None:
        detail += (
            ', but does not stand where such jobs do: whether the entry or the job is right cannot be told'
            ' (a Job.save() of an older object writes an older status)'
        )
        return Problem(kind, view.job_id, key, detail, mended_by_rq=by_rq)
    detail += (
        f', and stands in {standing.key} too: this entry is left from before, and to requeue by it runs the job again'
    )
    mend = mends.drop_stale_entry(keys, key, member, view, standing)
    return Problem(kind, view.job_id, key, detail, 'drop the entry here', by_rq, mend)
