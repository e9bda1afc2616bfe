"""What stands in a queue: jobs to be run, each once. And what stands between the queue and the start of a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ... import _installed_rq
from ..._exchange import VALUE, Command
from . import job_view, mends, places
from .held import Held
from .job_view import JobView
from .lists import ListWalk, Occurrences
from .loading import unreadable
from .places import CANCELED, JobKeys
from .problems import Kind, Problem
from .reader import Reader, text_or_none
from .suspicions import Found, Search, Suspicion


@dataclass(frozen=True)
class QueueEntries:
    """The jobs in the list of a queue."""

    keys: JobKeys
    queue: str

    @property
    def key(self) -> str:
        """The key of the list."""
        return places.queue_key(self.queue)

    def suspicions(self, reader: Reader, held: Held) -> Iterator[Suspicion]:
        """Read the list, remember the jobs in it, and yield what may be wrong."""
        for _, job_ids in ListWalk(reader, self.key).pieces():
            again = {job_id for job_id in job_ids if held.add(job_id)}
            commands: list[Command] = [
                (VALUE, 'HMGET', self.keys.job(job_id), 'status', 'origin', 'created_at') for job_id in job_ids
            ]
            for job_id, values in zip(job_ids, reader.replies(commands), strict=True):
                if isinstance(values, Exception):
                    yield QueueEntry(self, job_id, self.queue)
                    continue
                status, origin, created_at = map(text_or_none, values)
                if status != 'queued' or origin != self.queue or created_at is None or job_id in again:
                    yield QueueEntry(self, job_id, origin or self.queue)
            reader.note(entries=len(job_ids))

    def problem_of(self, job_id: str, where: Occurrences, view: JobView) -> Problem | None:
        """Return what is wrong with a job in the list."""
        if not view.exists:
            detail = f'job {job_id} is gone, and stands in {self.key}: it is counted, and workers pass over it'
            mend = mends.drop_missing_from_list(self.key, job_id, self.keys.job(job_id), where.index)
            return Problem(Kind.MISSING_JOB, job_id, self.key, detail, 'take it out of the queue', True, mend)
        if not view.is_readable:
            return unreadable(self.keys, job_id, view.has_data, view.status)
        if view.origin != self.queue:
            detail = f'job {job_id} stands in {self.key}, and belongs to the queue {view.origin!r}: it runs from here'
            return Problem(Kind.WRONG_QUEUE, job_id, self.key, f'{detail}, and this may be meant')
        if view.status != 'queued':
            return self._other_status(job_id, where, view)
        if where.count > 1:
            detail = f'job {job_id} stands {where.count} times in {self.key}, and runs as often: this may be meant'
            return Problem(Kind.QUEUED_TWICE, job_id, self.key, detail)
        return None

    def _other_status(self, job_id: str, where: Occurrences, view: JobView) -> Problem:
        detail = f'job {job_id} is {view.status}, and stands in {self.key}: a worker runs it when its turn comes'
        standing = view.standing()
        if CANCELED in view.scores and standing is not None and view.status == 'canceled':
            mend = mends.drop_stale_from_list(self.keys, self.key, view, standing, where.index)
            return Problem(Kind.WRONG_STATUS, job_id, self.key, detail, 'take it out of the queue', mend=mend)
        return Problem(Kind.WRONG_STATUS, job_id, self.key, f'{detail}, and this may be meant')


@dataclass(frozen=True)
class TakenEntries(QueueEntries):
    """The jobs in the list of those that a worker of this queue alone has taken, and is just starting."""

    @property
    def key(self) -> str:
        """The key of the list."""
        return places.intermediate_key(self.queue)

    def suspicions(self, reader: Reader, held: Held) -> Iterator[Suspicion]:
        """Read the list, remember the jobs in it, and yield them all: there are few, and none stays long."""
        for _, job_ids in ListWalk(reader, self.key).pieces():
            commands: list[Command] = [(VALUE, 'HGET', self.keys.job(job_id), 'origin') for job_id in job_ids]
            for job_id, value in zip(job_ids, reader.replies(commands), strict=True):
                held.add(job_id)
                origin = None if isinstance(value, Exception) else text_or_none(value)
                yield QueueEntry(self, job_id, origin or self.queue)
            reader.note(entries=len(job_ids))

    def problem_of(self, job_id: str, where: Occurrences, view: JobView) -> Problem | None:
        """Return what is wrong with a job in the list."""
        if not view.exists:
            detail = f'job {job_id} is gone, and stands in {self.key}, as if a worker were just starting it'
            mend = mends.drop_missing_from_list(self.key, job_id, self.keys.job(job_id), where.index)
            return Problem(Kind.MISSING_JOB, job_id, self.key, detail, 'take it out of the list', True, mend)
        if not view.is_readable:
            return unreadable(self.keys, job_id, view.has_data, view.status)
        if view.is_running(_installed_rq.current_timestamp()):
            return None
        if view.status != 'queued' or view.queued.count:
            return self._left(job_id, where, view)
        detail = (
            f'job {job_id} stands in {self.key}: a worker ended between taking it from its queue and starting it.'
            " RQ's maintenance fails it, or retries it, a minute after it first saw it there"
        )
        return Problem(Kind.STUCK, job_id, self.key, detail, mended_by_rq=True)

    def _left(self, job_id: str, where: Occurrences, view: JobView) -> Problem:
        detail = f'job {job_id} is {view.status}, and stands in {self.key}, as if a worker were just starting it'
        standing = view.standing()
        if standing is None or standing.key == self.key:
            return Problem(Kind.WRONG_STATUS, job_id, self.key, f'{detail}, but does not stand where such jobs do')
        detail += f", and in {standing.key}: RQ's maintenance will fail it for this"
        mend = mends.drop_stale_from_list(self.keys, self.key, view, standing, where.index)
        return Problem(Kind.WRONG_STATUS, job_id, self.key, detail, 'take it out of the list', mend=mend)


@dataclass(frozen=True)
class QueueEntry(Suspicion):
    """A job in a list that seems not to belong there, or not twice."""

    entries: QueueEntries
    job_id: str
    origin: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return job_view.commands(self.entries.keys, self.job_id, self.origin)

    def searches(self) -> tuple[list[Search], list[Search]]:
        """Return what has to be looked for beside."""
        lists, started = job_view.searches(self.job_id, self.origin)
        return [Search(self.entries.key, self.job_id), *lists], started

    def evidence(self, replies: Sequence[Any], found: Found) -> tuple[Occurrences, JobView]:
        """Return where in the list it is, and the job."""
        where = found.in_list(self.entries.key, self.job_id)
        return where, job_view.view_of(replies, found, self.job_id, self.origin)

    def judge(self, evidence: tuple[Occurrences, JobView]) -> Problem | None:
        """Return what is wrong, if anything is."""
        where, view = evidence
        return self.entries.problem_of(self.job_id, where, view) if where.count else None
