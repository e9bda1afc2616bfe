"""Jobs with a status that nothing holds: no registry, no queue, no worker. Found by a scan over the keys of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rq.defaults import DEFAULT_WORKER_TTL
from rq.utils import parse_timeout

from ... import _installed_rq
from ..._exchange import INTEGER, SCORE, VALUE, Command
from . import job_view, mends, places
from .entries import CLOCK_DIFFERENCE
from .held import Held
from .job_view import JobView, timestamp_of
from .loading import Hash, Loading, hash_commands, hash_of, unloadable, unreadable
from .places import DEFERRED, FAILED, FINISHED, PLACE_OF_STATUS, SCHEDULED, STARTED, STATUSES, JobKeys
from .problems import Kind, Problem
from .reader import Reader, glob_of, text_or_none
from .suspicions import Found, Search, Suspicion

_SEEN = ('status', 'origin', 'rate_limit_key')
# Seconds after which a job that runs without a worker (is_async=False) is taken for lost: nothing limits its time.
_LONGEST_WITHOUT_WORKER = 86400
# Seconds by which workers let a job's execution outlive its timeout.
_WORKER_GRACE = 60


@dataclass(frozen=True)
class Orphans:
    """The jobs that should be somewhere.

    wanted tells of a status and a queue whether such jobs are looked for.
    held: those that queues and registries of started jobs were seen to hold.
    with_unreadable: whether to look also for jobs that RQ cannot load, which belong nowhere.
    with_loading: whether to look also at the hashes of those that are wanted.
    """

    keys: JobKeys
    wanted: Callable[[str, str], bool]
    held: Held
    with_unreadable: bool = False
    with_loading: bool = False

    def suspicions(self, reader: Reader) -> Iterator[Suspicion]:
        """Scan the key space, and yield what may be wrong."""
        for keys in reader.keys(glob_of(self.keys.prefix)):
            parsed = map(self.keys.parse, keys)
            yield from self.among(reader, [job_id for kind, job_id in parsed if kind == 'job'])

    def among(self, reader: Reader, job_ids: list[str]) -> Iterator[Suspicion]:
        """Look at these jobs, and yield what may be wrong."""
        fields = reader.replies([(VALUE, 'HMGET', self.keys.job(job_id), *_SEEN) for job_id in job_ids])
        commands: list[Command] = []
        candidates = []
        looked_at = list(job_ids) if self.with_unreadable else []
        for job_id, values in zip(job_ids, fields, strict=True):
            readable = [] if isinstance(values, Exception) else values
            status, origin, rate_limit = [text_or_none(value) or '' for value in readable] or ('', '', '')
            if status not in STATUSES:
                if self.with_unreadable:
                    yield UnreadableJob(self.keys, job_id)
                continue
            if not origin or not self.wanted(status, origin):
                continue
            if not self.with_unreadable:
                looked_at.append(job_id)
            key = _registry_key(status, origin, rate_limit)
            if key is not None:
                commands.append((SCORE, 'ZSCORE', key, job_id))
                candidates.append(Orphan(self.keys, job_id, origin, rate_limit, reader.connection))
            elif status in ('queued', 'started') and self.held.covers(job_id) and job_id not in self.held:
                yield Orphan(self.keys, job_id, origin, rate_limit, reader.connection)
        yield from _without_score(candidates, reader.replies(commands))
        if self.with_loading:
            yield from Loading(self.keys).suspicions(reader, looked_at)
        reader.note(jobs=len(job_ids))


def _without_score(candidates: Iterable[Orphan], scores: Iterable[Any]) -> Iterator[Orphan]:
    for orphan, score in zip(candidates, scores, strict=True):
        if not isinstance(score, float):
            yield orphan


def _registry_key(status: str, origin: str, rate_limit: str) -> str | None:
    """Return the key of the sorted set that has jobs of this status by their ids; None where there is none."""
    if status == 'rate_limited' and rate_limit and places.has_rate_limits():
        return places.rate_limited_key(rate_limit)
    place = PLACE_OF_STATUS.get(status)
    return None if place is None or place is STARTED else place.key(origin)


@dataclass(frozen=True)
class UnreadableJob(Suspicion):
    """A job that RQ seems not to be able to load."""

    keys: JobKeys
    job_id: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        key = self.keys.job(self.job_id)
        return [(INTEGER, 'EXISTS', key), (INTEGER, 'HEXISTS', key, 'data'), (VALUE, 'HGET', key, 'status')]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        exists, has_data, status = evidence
        return unreadable(self.keys, self.job_id, has_data == 1, text_or_none(status)) if exists else None


@dataclass(frozen=True)
class Orphan(Suspicion):
    """A job that nothing seems to hold."""

    keys: JobKeys
    job_id: str
    origin: str
    rate_limit: str
    connection: Any = field(compare=False, repr=False)

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        view = job_view.commands(self.keys, self.job_id, self.origin, self.rate_limit)
        return [*hash_commands(self.keys, self.job_id), *view]

    def searches(self) -> tuple[list[Search], list[Search]]:
        """Return what has to be looked for beside."""
        return job_view.searches(self.job_id, self.origin)

    def evidence(self, replies: Sequence[Any], found: Found) -> tuple[Hash, JobView]:
        """Return its hash, and the job."""
        return hash_of(replies[:3]), job_view.view_of(replies[3:], found, self.job_id, self.origin)

    def judge(self, evidence: tuple[Hash, JobView]) -> Problem | None:
        """Return what is wrong, if anything is."""
        found, view = evidence
        # One that RQ cannot load is no better off in a queue, where it would end the worker.
        return unloadable(self.keys, self.job_id, found, self.connection) or self._out_of_place(view)

    def _out_of_place(self, view: JobView) -> Problem | None:
        now = _installed_rq.current_timestamp()
        if not view.is_readable or view.origin != self.origin or view.stands_anywhere() or view.is_running(now):
            return None
        if view.status == 'queued':
            return self._queued(view, now)
        if view.status == 'started':
            return self._started(view, now)
        if view.status == 'rate_limited':
            detail = f'job {self.job_id} waits for a slot of its rate limit, and is not among those that get one'
            mend = mends.put_back_rate_limited(self.keys, view)
            return self._problem(self.rate_limited_key, detail, 'enter the job among them', mend)
        return self._in_registry(view)

    @property
    def rate_limited_key(self) -> str:
        """The key of the jobs that wait for a slot of the job's rate limit."""
        return places.rate_limited_key(self.rate_limit)

    def _problem(self, key: str, detail: str, repair: str | None = None, mend: mends.Mend | None = None) -> Problem:
        return Problem(Kind.ORPHAN, self.job_id, key, detail, repair, mend=mend)

    def _in_registry(self, view: JobView) -> Problem | None:
        place = PLACE_OF_STATUS.get(view.status or '')
        if place is None:
            return None
        # RQ drops the entry by its own clock, a little before the hash goes.
        if place in (FINISHED, FAILED) and 0 <= view.ttl <= CLOCK_DIFFERENCE * 1000:
            return None
        key = place.key(self.origin)
        detail = f'job {self.job_id} is {view.status}, and not in {key}, nor anywhere else: nobody sees it'
        if place is SCHEDULED:
            return self._problem(key, f'{detail}, no scheduler enqueues it, and when it was due is written nowhere')
        if place is DEFERRED:
            mend = mends.put_back_deferred(self.keys, view)
            return self._problem(key, f'{detail}, and nothing enqueues it', 'enter the job there', mend)
        return self._problem(key, detail, 'enter the job there', mends.put_back(self.keys, view, place))

    def _queued(self, view: JobView, now: float) -> Problem:
        detail = (
            f'job {self.job_id} is queued, and neither in its queue nor with a worker: a worker ended after it took it,'
            ' or the queue lost it, and nothing runs it'
        )
        # A worker may hold it for longer than we looked; RQ gives such workers a minute, and so does the mend.
        repair = 'put the job back into its queue, once it was seen so for a minute'
        mend = mends.put_back_in_queue(self.keys, view, now)
        return self._problem(places.queue_key(self.origin), detail, repair, mend)

    def _started(self, view: JobView, now: float) -> Problem | None:
        key = STARTED.key(self.origin)
        without_worker = view.fields.get('worker_name') == 'sync'
        limit = _LONGEST_WITHOUT_WORKER if without_worker else _longest_silence(view)
        if now <= _last_sign_of_life(view) + limit:
            return None
        detail = f'job {self.job_id} is started, and not in {key}, and no worker keeps an execution of it alive'
        if without_worker:
            return self._problem(key, f'{detail}: it ran without a worker (is_async=False), and may still run')
        repair = "have RQ's own clean-up take it for abandoned: it is retried, or fails"
        return self._problem(key, detail, repair, mends.put_back_abandoned(self.keys, view))


def _longest_silence(view: JobView) -> float:
    """Return the seconds without a sign of life after which RQ would take the job for abandoned."""
    try:
        timeout = parse_timeout(view.fields.get('timeout')) or 0
    except (TypeError, ValueError):
        timeout = 0
    return max(float(timeout), DEFAULT_WORKER_TTL) + _WORKER_GRACE


def _last_sign_of_life(view: JobView) -> float:
    dates = (view.fields.get(name) for name in ('enqueued_at', 'started_at', 'last_heartbeat'))
    return max((timestamp_of(date) for date in dates if date), default=0.0)
