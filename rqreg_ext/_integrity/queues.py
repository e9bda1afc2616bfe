"""The lists of a queue: the queued jobs, and the intermediate queue of jobs that a worker has just taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._fastpath import releases, rq_keys
from .._fastpath.exchange import VALUE, Command
from .._fastpath.rq_keys import CANCELED, JobKeys
from . import job_view, repair_steps
from .candidates import Candidate, ListLookup, LookupResults
from .job_view import JobView
from .lists import ListWalk, Occurrences
from .loading import unreadable
from .problems import Problem, ProblemKind
from .queued_jobs import QueuedJobs
from .reader import ChunkReader, text_or_none


@dataclass(frozen=True)
class QueueEntries:
    """The jobs in a queue."""

    keys: JobKeys
    queue: str

    @property
    def key(self) -> str:
        """The key of the list."""
        return rq_keys.queue_key(self.queue)

    def candidates(self, reader: ChunkReader, queued_jobs: QueuedJobs) -> Iterator[Candidate]:
        """Read the list, add its jobs to `queued_jobs`, and yield the candidates."""
        for _, job_ids in ListWalk(reader, self.key).chunks():
            repeated = {job_id for job_id in job_ids if queued_jobs.add(job_id)}
            commands: list[Command] = [
                (VALUE, 'HMGET', self.keys.job(job_id), 'status', 'origin', 'created_at') for job_id in job_ids
            ]
            for job_id, values in zip(job_ids, reader.replies(commands), strict=True):
                if isinstance(values, Exception):
                    yield QueueEntry(self, job_id, self.queue)
                    continue
                status, origin, created_at = map(text_or_none, values)
                if status != 'queued' or origin != self.queue or created_at is None or job_id in repeated:
                    yield QueueEntry(self, job_id, origin or self.queue)
            reader.note(entries=len(job_ids))

    def problem_of(self, job_id: str, found: Occurrences, view: JobView) -> Problem | None:
        """Return the problem of a job in the list, or None."""
        if not view.exists:
            detail = f'job {job_id} is gone, but still in {self.key}: it is counted, and workers skip it'
            return _missing_job(self, job_id, found, detail, 'remove it from the queue')
        if not view.is_readable:
            return unreadable(self.keys, job_id, view.has_data, view.status)
        if view.origin != self.queue:
            detail = f'job {job_id} is in {self.key}, but belongs to the queue {view.origin!r}: it runs from here'
            return Problem(ProblemKind.WRONG_QUEUE, job_id, self.key, f'{detail}, which may be intended')
        if view.status != 'queued':
            return self._other_status(job_id, found, view)
        if found.count > 1:
            detail = f'job {job_id} is {found.count} times in {self.key}, and runs as often, which may be intended'
            return Problem(ProblemKind.QUEUED_TWICE, job_id, self.key, detail)
        return None

    def _other_status(self, job_id: str, found: Occurrences, view: JobView) -> Problem:
        detail = f'job {job_id} is {view.status}, but still in {self.key}: a worker will run it'
        location = view.location()
        if CANCELED in view.scores and location is not None and view.status == 'canceled':
            repair_step = repair_steps.drop_stale_from_list(self.keys, self.key, view, location, found.index)
            return Problem(
                ProblemKind.WRONG_STATUS, job_id, self.key, detail, 'remove it from the queue', repair_step=repair_step
            )
        return Problem(ProblemKind.WRONG_STATUS, job_id, self.key, f'{detail}, which may be intended')


@dataclass(frozen=True)
class IntermediateEntries(QueueEntries):
    """The jobs in the intermediate queue: a worker has taken them from the queue, and is starting them.

    Only workers that listen on a single queue use it.
    """

    @property
    def key(self) -> str:
        """The key of the list."""
        return rq_keys.intermediate_key(self.queue)

    def candidates(self, reader: ChunkReader, queued_jobs: QueuedJobs) -> Iterator[Candidate]:
        """Read the list, add its jobs to `queued_jobs`, and yield all of them: they are few."""
        for _, job_ids in ListWalk(reader, self.key).chunks():
            commands: list[Command] = [(VALUE, 'HGET', self.keys.job(job_id), 'origin') for job_id in job_ids]
            for job_id, value in zip(job_ids, reader.replies(commands), strict=True):
                queued_jobs.add(job_id)
                origin = None if isinstance(value, Exception) else text_or_none(value)
                yield QueueEntry(self, job_id, origin or self.queue)
            reader.note(entries=len(job_ids))

    def problem_of(self, job_id: str, found: Occurrences, view: JobView) -> Problem | None:
        """Return the problem of a job in the list, or None."""
        if not view.exists:
            detail = f'job {job_id} is gone, but still in {self.key}, as if a worker were starting it'
            return _missing_job(self, job_id, found, detail, 'remove it from the list')
        if not view.is_readable:
            return unreadable(self.keys, job_id, view.has_data, view.status)
        if view.is_running(releases.current_timestamp()):
            return None
        if view.status != 'queued' or view.queued.count:
            return self._stale_entry(job_id, found, view)
        detail = (
            f'job {job_id} is in {self.key}: a worker ended between taking it from its queue and starting it.'
            " RQ's maintenance retries or fails it, a minute after it first found it there"
        )
        return Problem(ProblemKind.STUCK, job_id, self.key, detail, repaired_by_rq=True)

    def _stale_entry(self, job_id: str, found: Occurrences, view: JobView) -> Problem:
        detail = f'job {job_id} is {view.status}, but still in {self.key}, as if a worker were starting it'
        location = view.location()
        if location is None or location.key == self.key:
            return Problem(ProblemKind.WRONG_STATUS, job_id, self.key, f'{detail}, and is not where such jobs are')
        detail += f", and in {location.key}: RQ's maintenance will fail it for this"
        repair_step = repair_steps.drop_stale_from_list(self.keys, self.key, view, location, found.index)
        return Problem(
            ProblemKind.WRONG_STATUS, job_id, self.key, detail, 'remove it from the list', repair_step=repair_step
        )


@dataclass(frozen=True)
class QueueEntry(Candidate):
    """A job in a list that may not belong there, or only once."""

    entries: QueueEntries
    job_id: str
    origin: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return job_view.commands(self.entries.keys, self.job_id, self.origin)

    def lookups(self) -> tuple[list[ListLookup], list[ListLookup]]:
        """Return the lookups that the evidence needs too."""
        lists, started = job_view.lookups(self.job_id, self.origin)
        return [ListLookup(self.entries.key, self.job_id), *lists], started

    def evidence(self, replies: Sequence[Any], results: LookupResults) -> tuple[Occurrences, JobView]:
        """Return how often the job is in the list, and its view."""
        found = results.in_list(self.entries.key, self.job_id)
        return found, job_view.view_of(replies, results, self.job_id, self.origin)

    def diagnose(self, evidence: tuple[Occurrences, JobView]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        found, view = evidence
        return self.entries.problem_of(self.job_id, found, view) if found.count else None


def _missing_job(source: Any, job_id: str, found: Occurrences, detail: str, repair: str) -> Problem:
    """Return the problem of an entry, of a queue or an intermediate queue, whose job is gone."""
    repair_step = repair_steps.drop_missing_from_list(source.key, job_id, source.keys.job(job_id), found.index)
    return Problem(ProblemKind.MISSING_JOB, job_id, source.key, detail, repair, True, repair_step)
