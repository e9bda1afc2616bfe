"""A job's fields and the registries and lists that it is in, read together to compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from .._fastpath import rq_keys
from .._fastpath.exchange import ENTRIES, INTEGER, SCORE, VALUE, Command
from .._fastpath.rq_keys import BY_JOB_ID, REGISTRY_KIND_OF_STATUS, STARTED, STATUSES, JobKeys, RegistryKind
from .candidates import WRONG_TYPE, ListLookup, LookupResults
from .lists import Occurrences
from .reader import text_or_none

# JobView.status and JobView.origin use the first two.
FIELDS = (
    'status', 'origin', 'created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat', 'worker_name',
    'timeout', 'repeats_left', 'rate_limit_key', 'result_ttl', 'failure_ttl',
)  # fmt: skip
# How many executions of a job are read.
_MOST_EXECUTIONS = 100


class Location(NamedTuple):
    """A sorted set or list that a job is in: its key, the member, and the index if it is a list."""

    key: str
    member: str
    position: int = 0


@dataclass(frozen=True)
class JobView:
    """A job as it was read, with its entries in the registries and lists of its queue.

    values: of FIELDS, None for those that the hash does not have.
    scores: in the registries whose members are job ids.
    executions: in the job's own registry of executions, as (member, score).
    rate_limited: the score among the jobs that wait for a slot of the rate limit.
    started: the entries in the registry of started jobs, as (member, score).
    queued: how often the job is in its queue.
    taken: how often the job is in the intermediate queue, of jobs that a worker has just taken.
    ttl: milliseconds until the hash expires, -1 for never; not compared between two views.
    """

    job_id: str
    exists: bool
    has_data: bool
    values: tuple[Any, ...]
    scores: dict[RegistryKind, float]
    executions: tuple[tuple[str, float], ...]
    rate_limited: float | None
    started: tuple[tuple[str, float], ...]
    queued: Occurrences
    taken: Occurrences
    ttl: int = field(compare=False)

    @cached_property
    def fields(self) -> dict[str, str]:
        """The FIELDS that the hash has."""
        texts = zip(FIELDS, map(text_or_none, self.values), strict=True)
        return {name: value for name, value in texts if value is not None}

    @property
    def status(self) -> str | None:
        """The status as RQ reads it: 'created' if the hash has none; None if the job does not exist."""
        return (text_or_none(self.values[0]) or 'created') if self.exists else None

    @property
    def origin(self) -> str:
        """The name of the queue."""
        return text_or_none(self.values[1]) or ''

    @property
    def is_readable(self) -> bool:
        """Whether RQ can load the job, as far as its data and status go."""
        return self.has_data and self.status in STATUSES

    def location(self) -> Location | None:
        """Return the location of the job that fits its status; None if it is in none of those."""
        if self.status == 'rate_limited':
            waiting = rq_keys.rate_limited_key(self.fields.get('rate_limit_key', ''))
            return None if self.rate_limited is None else Location(waiting, self.job_id)
        registry_kind = REGISTRY_KIND_OF_STATUS.get(self.status or '')
        if registry_kind in self.scores:
            return Location(registry_kind.key(self.origin), self.job_id)
        if self.status == 'queued' and self.queued.count:
            return Location(rq_keys.queue_key(self.origin), self.job_id, self.queued.index)
        if self.status == 'queued' and self.taken.count:
            return Location(rq_keys.intermediate_key(self.origin), self.job_id, self.taken.index)
        # A worker that has taken a job enters its execution before it changes the job's status.
        if self.started and self.status in ('queued', 'started'):
            return Location(STARTED.key(self.origin), self.started[0][0])
        return None

    def is_in_any_registry(self) -> bool:
        """Return whether the job is in any registry or list, apart from its own registry of executions."""
        lists = self.queued.count or self.taken.count
        return bool(self.scores or self.started or lists or self.rate_limited is not None)

    def is_running(self, now: float) -> bool:
        """Return whether the job has an execution that has not expired."""
        return any(score > now for _, score in (*self.executions, *self.started))


def timestamp_of(date: str) -> float:
    """Return a date in RQ's format as a Unix timestamp in seconds; 0 for an invalid date."""
    try:
        return datetime.fromisoformat(date.replace('Z', '+00:00')).timestamp()
    except ValueError:
        return 0.0


def commands(keys: JobKeys, job_id: str, origin: str, rate_limit: str = '') -> list[Command]:
    """Return the commands for the replies of view_of()."""
    key = keys.job(job_id)
    waiting: list[Command] = [(SCORE, 'ZSCORE', rq_keys.rate_limited_key(rate_limit), job_id)] if rate_limit else []
    return [
        (INTEGER, 'EXISTS', key),
        (VALUE, 'HMGET', key, *FIELDS),
        (VALUE, 'HEXISTS', key, 'data'),
        (INTEGER, 'PTTL', key),
        (ENTRIES, 'ZRANGE', rq_keys.executions_key(job_id), 0, _MOST_EXECUTIONS - 1, 'WITHSCORES'),
        *((SCORE, 'ZSCORE', registry_kind.key(origin), job_id) for registry_kind in BY_JOB_ID),
        *waiting,
    ]


def lookups(job_id: str, origin: str) -> tuple[list[ListLookup], list[ListLookup]]:
    """Return the lookups for the results of view_of(): in lists, and in registries of started jobs."""
    lists = [ListLookup(rq_keys.queue_key(origin), job_id), ListLookup(rq_keys.intermediate_key(origin), job_id)]
    return lists, [ListLookup(STARTED.key(origin), job_id)]


def view_of(replies: Sequence[Any], results: LookupResults, job_id: str, origin: str) -> JobView:
    """Return the JobView of the replies to commands(), and of the results of lookups()."""
    exists, values, has_data, ttl, executions = replies[:5]
    scores = replies[5 : 5 + len(BY_JOB_ID)]
    (queue, taken), (started,) = lookups(job_id, origin)
    return JobView(
        job_id=job_id,
        exists=exists == 1,
        has_data=has_data == 1,
        values=(None,) * len(FIELDS) if values == WRONG_TYPE else tuple(values),
        scores={
            registry_kind: score
            for registry_kind, score in zip(BY_JOB_ID, scores, strict=True)
            if score is not None and score != WRONG_TYPE
        },
        executions=() if executions == WRONG_TYPE else tuple(executions),
        rate_limited=replies[5 + len(BY_JOB_ID)] if len(replies) > 5 + len(BY_JOB_ID) else None,
        started=results.entries(*started),
        queued=results.in_list(*queue),
        taken=results.in_list(*taken),
        ttl=ttl,
    )
