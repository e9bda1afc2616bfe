"""What a job says of itself, and where it stands: everything by which its place is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from ..._exchange import ENTRIES, INTEGER, SCORE, VALUE, Command
from . import places
from .lists import Occurrences
from .places import BY_JOB_ID, PLACE_OF_STATUS, STARTED, STATUSES, JobKeys, Place
from .reader import text_or_none
from .suspicions import WRONG_TYPE, Found, Search

# The first two are asked for most.
FIELDS = (
    'status', 'origin', 'created_at', 'enqueued_at', 'started_at', 'ended_at', 'last_heartbeat', 'worker_name',
    'timeout', 'repeats_left', 'rate_limit_key', 'result_ttl', 'failure_ttl',
)  # fmt: skip
# Executions of one job that are looked at.
_MOST_EXECUTIONS = 100


class Standing(NamedTuple):
    """A key that holds a job, as which member, and at which position if it is a list."""

    key: str
    member: str
    position: int = 0


@dataclass(frozen=True)
class JobView:
    """A job as it was seen, with where it stands in the registries and the queue of its origin.

    values: those of FIELDS, None for what its hash has not.
    scores: its scores in the registries whose members are job ids.
    started: its entries in the registry of started jobs, with their scores.
    executions: those in its own registry of executions, with their scores.
    queued, taken: how often it is in its queue, and in the list of those that are just taken from it.
    rate_limited: its score among those that wait for a slot of its rate limit.
    ttl: milliseconds until its hash expires, -1 for never; no part of what is compared.
    """

    job_id: str
    exists: bool
    has_data: bool
    values: tuple[Any, ...]
    scores: dict[Place, float]
    executions: tuple[tuple[str, float], ...]
    rate_limited: float | None
    started: tuple[tuple[str, float], ...]
    queued: Occurrences
    taken: Occurrences
    ttl: int = field(compare=False)

    @cached_property
    def fields(self) -> dict[str, str]:
        """Those of FIELDS that its hash has."""
        texts = zip(FIELDS, map(text_or_none, self.values), strict=True)
        return {name: value for name, value in texts if value is not None}

    @property
    def status(self) -> str | None:
        """The status that RQ would read: a job without one counts as created."""
        return (text_or_none(self.values[0]) or 'created') if self.exists else None

    @property
    def origin(self) -> str:
        """The name of its queue."""
        return text_or_none(self.values[1]) or ''

    @property
    def is_readable(self) -> bool:
        """Whether RQ can make a Job of it."""
        return self.has_data and self.status in STATUSES

    def standing(self) -> Standing | None:
        """Return where it stands of the places in which RQ keeps jobs of its status; None where it does not."""
        if self.status == 'rate_limited':
            waiting = places.rate_limited_key(self.fields.get('rate_limit_key', ''))
            return None if self.rate_limited is None else Standing(waiting, self.job_id)
        place = PLACE_OF_STATUS.get(self.status or '')
        if place in self.scores:
            return Standing(place.key(self.origin), self.job_id)
        if self.status == 'queued' and self.queued.count:
            return Standing(places.queue_key(self.origin), self.job_id, self.queued.index)
        if self.status == 'queued' and self.taken.count:
            return Standing(places.intermediate_key(self.origin), self.job_id, self.taken.index)
        # A worker that has taken a job enters its execution before it changes the job's status.
        if self.started and self.status in ('queued', 'started'):
            return Standing(STARTED.key(self.origin), self.started[0][0])
        return None

    def stands_anywhere(self) -> bool:
        """Tell whether anything holds it, its executions apart."""
        lists = self.queued.count or self.taken.count
        return bool(self.scores or self.started or lists or self.rate_limited is not None)

    def is_running(self, now: float) -> bool:
        """Tell whether a worker keeps an execution of it alive."""
        return any(score > now for _, score in (*self.executions, *self.started))


def timestamp_of(date: str) -> float:
    """Return a date as RQ writes it, as a Unix timestamp in seconds; 0 for what is none."""
    try:
        return datetime.fromisoformat(date.replace('Z', '+00:00')).timestamp()
    except ValueError:
        return 0.0


def commands(keys: JobKeys, job_id: str, origin: str, rate_limit: str = '') -> list[Command]:
    """Return the commands whose replies a JobView is made of."""
    key = keys.job(job_id)
    waiting: list[Command] = [(SCORE, 'ZSCORE', places.rate_limited_key(rate_limit), job_id)] if rate_limit else []
    return [
        (INTEGER, 'EXISTS', key),
        (VALUE, 'HMGET', key, *FIELDS),
        (VALUE, 'HEXISTS', key, 'data'),
        (INTEGER, 'PTTL', key),
        (ENTRIES, 'ZRANGE', places.executions_key(job_id), 0, _MOST_EXECUTIONS - 1, 'WITHSCORES'),
        *((SCORE, 'ZSCORE', place.key(origin), job_id) for place in BY_JOB_ID),
        *waiting,
    ]


def searches(job_id: str, origin: str) -> tuple[list[Search], list[Search]]:
    """Return what has to be looked for beside."""
    lists = [Search(places.queue_key(origin), job_id), Search(places.intermediate_key(origin), job_id)]
    return lists, [Search(STARTED.key(origin), job_id)]


def view_of(replies: Sequence[Any], found: Found, job_id: str, origin: str) -> JobView:
    """Return what the replies to commands() say."""
    exists, values, has_data, ttl, executions = replies[:5]
    scores = replies[5 : 5 + len(BY_JOB_ID)]
    (queue, taken), (started,) = searches(job_id, origin)
    return JobView(
        job_id=job_id,
        exists=exists == 1,
        has_data=has_data == 1,
        values=(None,) * len(FIELDS) if values == WRONG_TYPE else tuple(values),
        scores={
            place: score
            for place, score in zip(BY_JOB_ID, scores, strict=True)
            if score is not None and score != WRONG_TYPE
        },
        executions=() if executions == WRONG_TYPE else tuple(executions),
        rate_limited=replies[5 + len(BY_JOB_ID)] if len(replies) > 5 + len(BY_JOB_ID) else None,
        started=found.entries(*started),
        queued=found.in_list(*queue),
        taken=found.in_list(*taken),
        ttl=ttl,
    )
