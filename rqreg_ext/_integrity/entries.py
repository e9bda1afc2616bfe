"""The entries of registries whose members are job ids: does the job exist, and do its status and queue fit?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .._fastpath import releases
from .._fastpath.exchange import INTEGER, SCORE, VALUE, Command
from .._fastpath.rq_keys import DEFERRED, FAILED, FINISHED, READY, SCHEDULED, JobKeys, RegistryKind
from .._query.cursor import Entry
from . import job_view, repair_steps
from .candidates import WRONG_TYPE, Candidate, ListLookup, LookupResults
from .job_view import JobView
from .loading import HashCheck, fields_read, unreadable
from .problems import Problem, ProblemKind
from .queued_jobs import KnownJobs
from .reader import ChunkReader, text_or_none

# Seconds by which clocks may differ: a job's hash expires by the server's clock, its entry by a worker's.
CLOCK_DIFFERENCE = 60

_FIELDS = ('status', 'origin', 'created_at', 'repeats_left')
_of_hash = fields_read(*_FIELDS)


def drops_expired(registry_kind: RegistryKind | None) -> bool:
    """Return whether RQ removes expired entries from this registry."""
    return registry_kind in (FINISHED, FAILED)


def fails_expired(registry_kind: RegistryKind | None) -> bool:
    """Return whether RQ fails the jobs of expired entries of this registry."""
    return registry_kind is DEFERRED and releases.release.fails_expired_deferred


def has_expired(score: float, now: float) -> bool:
    """Return whether RQ's cleanup selects an entry of this score. A score below zero never expires."""
    return 0 <= score <= now


def date_of(score: float) -> str:
    """Format a score as a date."""
    try:
        return datetime.fromtimestamp(score, timezone.utc).isoformat(sep=' ', timespec='seconds')
    except (OverflowError, ValueError, OSError):
        return f'{score:g}'


@dataclass(frozen=True)
class RegistryEntries:
    """The entries of one registry.

    registry_kind: None for a registry that is not of a status, like one of a subclass: then only the existence of its
        jobs is checked.
    with_hashes: whether to check the hashes of the jobs too, which a scan over all jobs does otherwise.
    known: receives the ids.
    """

    keys: JobKeys
    registry_kind: RegistryKind | None
    queue: str
    key: str
    with_hashes: bool = False
    known: KnownJobs | None = None

    def candidates(self, reader: ChunkReader) -> Iterator[Candidate]:
        """Read the registry, and yield the candidates."""
        for entries in reader.entries_of(self.key):
            job_ids = [job_id for job_id, _ in entries]
            if self.with_hashes:
                check = HashCheck(self.keys)
                replies = reader.replies(check.commands(job_ids))
                yield from self._misplaced_among(entries, map(_of_hash, replies[::3]))
                yield from check.among(reader, job_ids, replies)
            else:
                commands: list[Command] = [(VALUE, 'HMGET', self.keys.job(job_id), *_FIELDS) for job_id in job_ids]
                yield from self._misplaced_among(entries, reader.replies(commands))
            if self.known is not None:
                self.known.add_all(job_ids)
            reader.note(entries=len(entries))

    def _misplaced_among(self, entries: Sequence[Entry], of_jobs: Iterable[Any]) -> Iterator[Candidate]:
        """Yield the candidates among the entries, by _FIELDS of their jobs."""
        now = releases.current_timestamp()
        for (job_id, score), values in zip(entries, of_jobs, strict=True):
            candidate = self._candidate_of(job_id, score, values, now)
            if candidate is not None:
                yield candidate

    def _candidate_of(self, job_id: str, score: float, values: Any, now: float) -> Candidate | None:
        if has_expired(score, now) and (drops_expired(self.registry_kind) or fails_expired(self.registry_kind)):
            return ExpiredEntry(self, job_id)
        if isinstance(values, Exception) or values[0] is None or values[2] is None:
            return EntryOfMissingJob(self, job_id)
        status, origin, _, repeats_left = map(text_or_none, values)
        if self.registry_kind is None or (status in self.registry_kind.statuses and origin == self.queue):
            return None
        if self.is_repeated(repeats_left) and origin == self.queue:
            return None
        return MisplacedEntry(self, job_id, origin or '')

    def is_repeated(self, repeats_left: str | None) -> bool:
        """Return whether a job repeats: it may be here for its last or next run, with the status of the other."""
        return self.registry_kind in (FINISHED, SCHEDULED) and bool(repeats_left)

    @property
    def is_cleaned_by_rq(self) -> bool:
        """Whether RQ's cleanup removes every wrong entry."""
        return READY is not None and self.registry_kind is READY


@dataclass(frozen=True)
class ExpiredEntry(Candidate):
    """An entry that has expired."""

    entries: RegistryEntries
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [(SCORE, 'ZSCORE', self.entries.key, self.job_id)]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        (score,) = evidence
        if score in (None, WRONG_TYPE) or not has_expired(score, releases.current_timestamp()):
            return None
        registry_kind, key = self.entries.registry_kind, self.entries.key
        if registry_kind is not None and fails_expired(registry_kind):
            detail = (
                f'job {self.job_id} in {key} waited for other jobs until {date_of(score)}, the end of its time to live'
            )
            repair_step = repair_steps.clean_up_expired_entry(key, self.job_id, registry_kind, self.entries.queue)
            return Problem(
                ProblemKind.EXPIRED, self.job_id, key, detail, "fail the job, by RQ's own cleanup", True, repair_step
            )
        detail = f'the entry of job {self.job_id} in {key} expired at {date_of(score)}'
        repair_step = repair_steps.drop_expired_entry(key, self.job_id)
        return Problem(ProblemKind.EXPIRED, self.job_id, key, detail, 'drop the entry, as RQ does', True, repair_step)


@dataclass(frozen=True)
class EntryOfMissingJob(Candidate):
    """An entry whose job seems to be gone, or whose hash RQ cannot load."""

    entries: RegistryEntries
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        job = self.entries.keys.job(self.job_id)
        return [
            (SCORE, 'ZSCORE', self.entries.key, self.job_id),
            (INTEGER, 'EXISTS', job),
            (INTEGER, 'HEXISTS', job, 'data'),
            (VALUE, 'HGET', job, 'status'),
        ]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        score, exists, has_data, status = evidence
        if score in (None, WRONG_TYPE):
            return None
        if exists:
            return unreadable(self.entries.keys, self.job_id, has_data == 1, text_or_none(status))
        now = releases.current_timestamp()
        if drops_expired(self.entries.registry_kind) and score <= now + CLOCK_DIFFERENCE and score >= 0:
            return None
        key = self.entries.key
        detail = f'job {self.job_id} is gone, and its entry in {key} is still counted and listed'
        repair_step = repair_steps.drop_entry_of_missing_job(key, self.job_id, self.entries.keys.job(self.job_id))
        by_rq = self.entries.is_cleaned_by_rq
        return Problem(ProblemKind.MISSING_JOB, self.job_id, key, detail, 'drop the entry', by_rq, repair_step)


@dataclass(frozen=True)
class MisplacedEntry(Candidate):
    """An entry whose job seems to have a status or a queue other than this registry's."""

    entries: RegistryEntries
    job_id: str
    origin: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        score: Command = (SCORE, 'ZSCORE', self.entries.key, self.job_id)
        return [score, *job_view.commands(self.entries.keys, self.job_id, self.origin)]

    def lookups(self) -> tuple[list[ListLookup], list[ListLookup]]:
        """Return the lookups that the evidence needs too."""
        return job_view.lookups(self.job_id, self.origin)

    def evidence(self, replies: Sequence[Any], results: LookupResults) -> tuple[float | None, JobView]:
        """Return the entry's score, and the job."""
        score = None if replies[0] == WRONG_TYPE else replies[0]
        return score, job_view.view_of(replies[1:], results, self.job_id, self.origin)

    def diagnose(self, evidence: tuple[float | None, JobView]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        score, view = evidence
        entries = self.entries
        if score is None or not view.exists or entries.registry_kind is None:
            return None
        if not view.is_readable:
            return unreadable(entries.keys, self.job_id, view.has_data, view.status)
        if entries.is_repeated(view.fields.get('repeats_left')) and view.origin == entries.queue:
            return None
        if view.origin != entries.queue:
            return misplaced(
                ProblemKind.WRONG_QUEUE, entries.key, self.job_id, entries.keys, view, entries.is_cleaned_by_rq
            )
        if view.status not in entries.registry_kind.statuses:
            return misplaced(
                ProblemKind.WRONG_STATUS, entries.key, self.job_id, entries.keys, view, entries.is_cleaned_by_rq
            )
        return None


def misplaced(kind: ProblemKind, key: str, member: str, keys: JobKeys, view: JobView, by_rq: bool) -> Problem:
    """Return the problem of an entry whose job belongs elsewhere by its status or queue."""
    reason = (
        f'has the status {view.status!r}'
        if kind is ProblemKind.WRONG_STATUS
        else f'belongs to the queue {view.origin!r}'
    )
    detail = f'job {view.job_id} is in {key}, but {reason}'
    location = view.location()
    if location is None:
        detail += (
            ', and is not where such jobs are: nothing says whether the entry or the job is right'
            ' (Job.save() of an older object writes an older status)'
        )
        return Problem(kind, view.job_id, key, detail, repaired_by_rq=by_rq)
    detail += f', and is in {location.key} too: this entry is stale, and requeueing by it would run the job again'
    repair_step = repair_steps.drop_stale_entry(keys, key, member, view, location)
    return Problem(kind, view.job_id, key, detail, 'drop the entry here', by_rq, repair_step)
