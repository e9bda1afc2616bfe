"""Orphans: jobs with a status that are in no registry, in no queue and with no worker. A scan of keys finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rq.defaults import DEFAULT_WORKER_TTL
from rq.utils import parse_timeout

from .._fastpath import releases, rq_keys
from .._fastpath.exchange import INTEGER, SCORE, VALUE, Command
from .._fastpath.rq_keys import (
    DEFERRED,
    FAILED,
    FINISHED,
    REGISTRY_KIND_OF_STATUS,
    SCHEDULED,
    STARTED,
    STATUSES,
    JobKeys,
)
from . import job_view, repair_steps
from .candidates import Candidate, ListLookup, LookupResults
from .entries import CLOCK_DIFFERENCE
from .job_view import JobView, timestamp_of
from .loading import Hash, HashCheck, fields_read, hash_commands, hash_of, unloadable, unreadable
from .problems import Problem, ProblemKind
from .queued_jobs import KnownJobs, QueuedJobs
from .reader import ChunkReader, glob_of, text_or_none
from .repair_step import RepairStep

_FIELDS = ('status', 'origin', 'rate_limit_key')
_of_hash = fields_read(*_FIELDS)
# Seconds after which a job that runs without a worker (is_async=False) is reported: it has no time limit.
_LONGEST_WITHOUT_WORKER = 86400
# Seconds that workers add to a job's timeout before its execution expires.
_WORKER_GRACE = 60


@dataclass(frozen=True)
class Orphans:
    """A search for orphans among the jobs of one class.

    is_selected: returns whether to check the jobs of a status and a queue.
    queued_jobs: the jobs that were read in queues and in registries of started jobs.
    with_unknown_status: whether to yield jobs without a known status, too.
    with_hashes: whether to check the hashes of the selected jobs, too.
    known: jobs that were read in the only registry of the selected jobs.
    """

    keys: JobKeys
    is_selected: Callable[[str, str], bool]
    queued_jobs: QueuedJobs
    with_unknown_status: bool = False
    with_hashes: bool = False
    known: KnownJobs | None = None

    def candidates(self, reader: ChunkReader) -> Iterator[Candidate]:
        """Scan the keys, and yield the candidates."""
        for keys in reader.keys(glob_of(self.keys.prefix)):
            job_ids = [job_id for kind, job_id in map(self.keys.parse, keys) if kind == 'job']
            yield from self.among(reader, job_ids if self.known is None else self.known.without(job_ids))
            reader.note(jobs=len(job_ids))

    def among(self, reader: ChunkReader, job_ids: list[str]) -> Iterator[Candidate]:
        """Read these jobs, and yield the candidates."""
        check = HashCheck(self.keys)
        # If the hashes of all of them are checked, they are read once.
        reads_hashes = self.with_hashes and self.with_unknown_status
        if reads_hashes:
            hashes = reader.replies(check.commands(job_ids))
            fields: list[Any] = list(map(_of_hash, hashes[::3]))
        else:
            fields = reader.replies([(VALUE, 'HMGET', self.keys.job(job_id), *_FIELDS) for job_id in job_ids])
        commands: list[Command] = []
        candidates = []
        to_load = []
        for job_id, values in zip(job_ids, fields, strict=True):
            readable = [] if isinstance(values, Exception) else values
            status, origin, rate_limit = [text_or_none(value) or '' for value in readable] or ('', '', '')
            if status not in STATUSES:
                if self.with_unknown_status:
                    yield JobOfUnknownStatus(self.keys, job_id)
                continue
            if not origin or not self.is_selected(status, origin):
                continue
            if not self.with_unknown_status:
                to_load.append(job_id)
            key = _registry_key(status, origin, rate_limit)
            if key is not None:
                commands.append((SCORE, 'ZSCORE', key, job_id))
                candidates.append(Orphan(self.keys, job_id, origin, rate_limit, reader.connection))
            elif status in ('queued', 'started') and self.queued_jobs.covers(job_id) and job_id not in self.queued_jobs:
                yield Orphan(self.keys, job_id, origin, rate_limit, reader.connection)
        yield from _without_score(candidates, reader.replies(commands))
        if reads_hashes:
            yield from check.among(reader, job_ids, hashes)
        elif self.with_hashes:
            yield from check.candidates(reader, to_load)


def _without_score(candidates: Iterable[Orphan], scores: Iterable[Any]) -> Iterator[Orphan]:
    for orphan, score in zip(candidates, scores, strict=True):
        if not isinstance(score, float):
            yield orphan


def _registry_key(status: str, origin: str, rate_limit: str) -> str | None:
    """Return the key of the sorted set of the ids of the jobs of this status; None if there is no such set."""
    if status == 'rate_limited' and rate_limit and rq_keys.has_rate_limits():
        return rq_keys.rate_limited_key(rate_limit)
    registry_kind = REGISTRY_KIND_OF_STATUS.get(status)
    return None if registry_kind is None or registry_kind is STARTED else registry_kind.key(origin)


@dataclass(frozen=True)
class JobOfUnknownStatus(Candidate):
    """A job that may have no data, or a status that RQ does not know."""

    keys: JobKeys
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        key = self.keys.job(self.job_id)
        return [(INTEGER, 'EXISTS', key), (INTEGER, 'HEXISTS', key, 'data'), (VALUE, 'HGET', key, 'status')]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        exists, has_data, status = evidence
        return unreadable(self.keys, self.job_id, has_data == 1, text_or_none(status)) if exists else None


@dataclass(frozen=True)
class Orphan(Candidate):
    """A job that may be in no registry, in no queue and with no worker."""

    keys: JobKeys
    job_id: str
    origin: str
    rate_limit: str
    connection: Any = field(compare=False, repr=False)

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        view = job_view.commands(self.keys, self.job_id, self.origin, self.rate_limit)
        return [*hash_commands(self.keys, self.job_id), *view]

    def lookups(self) -> tuple[list[ListLookup], list[ListLookup]]:
        """Return the lookups that the evidence needs too."""
        return job_view.lookups(self.job_id, self.origin)

    def evidence(self, replies: Sequence[Any], results: LookupResults) -> tuple[Hash, JobView]:
        """Return the job's hash, and its view."""
        return hash_of(replies[:3]), job_view.view_of(replies[3:], results, self.job_id, self.origin)

    def diagnose(self, evidence: tuple[Hash, JobView]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        job_hash, view = evidence
        # A job that RQ cannot load is not put back, as it would end the worker that takes it.
        return unloadable(self.keys, self.job_id, job_hash, self.connection) or self._orphan(view)

    def _orphan(self, view: JobView) -> Problem | None:
        now = releases.current_timestamp()
        if not view.is_readable or view.origin != self.origin or view.is_in_any_registry() or view.is_running(now):
            return None
        if view.status == 'queued':
            return self._queued(view, now)
        if view.status == 'started':
            return self._started(view, now)
        if view.status == 'rate_limited':
            detail = f'job {self.job_id} waits for a slot of its rate limit, but is not among the jobs that get one'
            repair_step = repair_steps.put_back_rate_limited(self.keys, view)
            return self._problem(self.rate_limited_key, detail, 'add the job to them', repair_step)
        return self._in_registry(view)

    @property
    def rate_limited_key(self) -> str:
        """The key of the jobs that wait for a slot of the job's rate limit."""
        return rq_keys.rate_limited_key(self.rate_limit)

    def _problem(
        self, key: str, detail: str, repair: str | None = None, repair_step: RepairStep | None = None
    ) -> Problem:
        return Problem(ProblemKind.ORPHAN, self.job_id, key, detail, repair, repair_step=repair_step)

    def _in_registry(self, view: JobView) -> Problem | None:
        registry_kind = REGISTRY_KIND_OF_STATUS.get(view.status or '')
        if registry_kind is None:
            return None
        # RQ removes the entry by the worker's clock, maybe a little before the server removes the hash.
        if registry_kind in (FINISHED, FAILED) and 0 <= view.ttl <= CLOCK_DIFFERENCE * 1000:
            return None
        key = registry_kind.key(self.origin)
        detail = f'job {self.job_id} is {view.status}, but not in {key}, nor anywhere else: no listing shows it'
        if registry_kind is SCHEDULED:
            return self._problem(key, f'{detail}, no scheduler enqueues it, and nothing says when it was due')
        if registry_kind is DEFERRED:
            repair_step = repair_steps.put_back_deferred(self.keys, view)
            return self._problem(key, f'{detail}, and nothing enqueues it', 'add the job to it', repair_step)
        return self._problem(key, detail, 'add the job to it', repair_steps.put_back(self.keys, view, registry_kind))

    def _queued(self, view: JobView, now: float) -> Problem:
        detail = (
            f'job {self.job_id} is queued, but neither in its queue nor with a worker: a worker ended after it took it,'
            ' or the queue was changed, and nothing will run the job'
        )
        # A worker may be starting the job. RQ's cleanup gives workers a minute for that, and so does the script.
        repair = 'put the job back into its queue, a minute after it was first found missing'
        repair_step = repair_steps.put_back_in_queue(self.keys, view, now)
        return self._problem(rq_keys.queue_key(self.origin), detail, repair, repair_step)

    def _started(self, view: JobView, now: float) -> Problem | None:
        key = STARTED.key(self.origin)
        without_worker = view.fields.get('worker_name') == 'sync'
        limit = _LONGEST_WITHOUT_WORKER if without_worker else _heartbeat_limit(view)
        if now <= _last_heartbeat(view) + limit:
            return None
        detail = f'job {self.job_id} is started, but not in {key}, and has no execution that a worker keeps alive'
        if without_worker:
            return self._problem(key, f'{detail}: it ran without a worker (is_async=False), and may still run')
        repair = "pass the job to RQ's own cleanup as abandoned, which retries or fails it"
        return self._problem(key, detail, repair, repair_steps.put_back_abandoned(self.keys, view))


def _heartbeat_limit(view: JobView) -> float:
    """Return the seconds without a heartbeat after which RQ would treat the job as abandoned."""
    try:
        timeout = parse_timeout(view.fields.get('timeout')) or 0
    except (TypeError, ValueError):
        timeout = 0
    return max(float(timeout), DEFAULT_WORKER_TTL) + _WORKER_GRACE


def _last_heartbeat(view: JobView) -> float:
    dates = (view.fields.get(name) for name in ('enqueued_at', 'started_at', 'last_heartbeat'))
    return max((timestamp_of(date) for date in dates if date), default=0.0)
