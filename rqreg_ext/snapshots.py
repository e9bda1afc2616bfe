"""snapshot(): the state of all queues of a Redis in one round trip, without importing rq."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from operator import attrgetter
from time import time as now
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ._clients import client_from
from ._exchange import VALUE, Command, exchange, without_errors
from ._queue_counts import by_queue, count_commands, score_commands, score_from
from ._queues_meant import Existence, queues_meant
from ._rights import is_denied, is_of_a_key
from ._rq_keys import REGISTRIES, Keys, installed_keys
from ._worker_states import WorkerState, read_workers, workers_from

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

Found = TypeVar('Found')

NAMES = ('queued', *REGISTRIES)


class Scores(NamedTuple):
    """The lowest and the highest score of a registry, in seconds: Unix timestamps of what RQ scores its entries by."""

    oldest: float
    newest: float


class Counts(Mapping[str, int]):
    """How many jobs wait in a queue (`queued`), and how many entries its registries have.

    Attributes, and a mapping of the same names in the order of NAMES. `ready` is 0 before RQ 3.
    """

    __slots__ = NAMES

    def __init__(
        self,
        queued: int,
        started: int,
        finished: int,
        failed: int,
        deferred: int,
        scheduled: int,
        canceled: int,
        ready: int = 0,
    ) -> None:
        self.queued = queued
        self.started = started
        self.finished = finished
        self.failed = failed
        self.deferred = deferred
        self.scheduled = scheduled
        self.canceled = canceled
        self.ready = ready

    def __getitem__(self, name: str) -> int:
        if name not in NAMES:
            raise KeyError(name)
        count: int = getattr(self, name)
        return count

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}={count}" for name, count in self.items())})'

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts and numbers."""
        return dict(self)


class QueueSnapshot(Counts):
    """The counts of one queue, and its name."""

    __slots__ = ('_scores', '_workers', 'name')

    def __init__(self, name: str, *counts: int) -> None:
        super().__init__(*counts)
        self.name = name
        self._scores: dict[str, Scores | None] | None = None
        self._workers: Counter[str] | None = None

    @property
    def scores(self) -> dict[str, Scores | None]:
        """By registry, the scores of its oldest and its newest entry; None for an empty one."""
        return _asked_for('scores', self._scores)

    @property
    def workers(self) -> Counter[str]:
        """How many workers listen to this queue, by state."""
        return _asked_for('workers', self._workers)

    def __repr__(self) -> str:
        return f'{self.name!r}: {super().__repr__()}'

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts and numbers; a score is a float, infinity for an entry that never expires."""
        told: dict[str, Any] = dict(self)
        if self._scores is not None:
            told['scores'] = {name: found and found._asdict() for name, found in self._scores.items()}
        if self._workers is not None:
            told['workers'] = dict(self._workers)
        return told


class Snapshot(Mapping[str, QueueSnapshot]):
    """The queues of a Redis by name, as they were at `timestamp` (Unix timestamp in seconds, by the server's clock).

    The clock is the client's where the user may not ask for the server's.
    errors: by the queue's name, the server's error for each queue that was left out, because the user may not read its
        list, or one of its registries. It is not in the mapping, nor in `total`.
    """

    def __init__(
        self,
        timestamp: float,
        queues: Iterable[QueueSnapshot],
        workers: Counter[str] | None,
        errors: Mapping[str, Exception] | None = None,
    ) -> None:
        self.timestamp = timestamp
        self.errors = dict(errors or {})
        self._queues = {queue.name: queue for queue in queues}
        self._workers = workers
        self.total = Counts(*(sum(map(attrgetter(name), self._queues.values())) for name in NAMES))

    @property
    def time(self) -> datetime:
        """The server's time, in UTC."""
        return datetime.fromtimestamp(self.timestamp, timezone.utc)

    @property
    def workers(self) -> Counter[str]:
        """How many workers there are, of all queues, by state: 'busy', 'idle', 'suspended', 'started', ..."""
        return _asked_for('workers', self._workers)

    def __getitem__(self, name: str) -> QueueSnapshot:
        return self._queues[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._queues)

    def __len__(self) -> int:
        return len(self._queues)

    def __repr__(self) -> str:
        workers = '' if self._workers is None else f', workers={dict(self._workers)}'
        errors = f', {len(self.errors)} left out' if self.errors else ''
        return (
            f'<{type(self).__name__} of {len(self)} queues at {self.time.isoformat()}: {self.total}{workers}{errors}>'
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, numbers and texts.

        `timestamp`, `queues` by name, `total`, `errors` by the queue's name, and `workers` by state.
        """
        told = {
            'timestamp': self.timestamp,
            'queues': {name: queue.to_dict() for name, queue in self.items()},
            'total': self.total.to_dict(),
            'errors': {name: f'{type(error).__name__}: {error}' for name, error in self.errors.items()},
        }
        if self._workers is not None:
            told['workers'] = dict(self._workers)
        return told


def _asked_for(name: str, value: Found | None) -> Found:
    if value is None:
        raise AttributeError(f'this snapshot was taken without {name}: give snapshot(..., {name}=True)')
    return value


def snapshot(
    connection: Redis | str,
    queues: Iterable[str | Queue] | str | Queue | None = None,
    cleanup: bool = False,
    scores: bool = False,
    workers: bool = True,
) -> Snapshot:
    """Return the length of every queue and the size of each of its registries, as RQ counts them.

    connection: a redis-py client, or a URL string.
    queues: names of queues, or Queue objects; None for all that RQ knows. A name of a queue that RQ does not know, and
    that has neither jobs nor registries nor workers, is refused with a ValueError, which says those that are near; a
    Queue object is not.
    cleanup: whether to run RQ's cleanup of each registry first, as its `count` does. Without it nothing is changed,
    and rq is not imported.
    scores: whether to tell the oldest and the newest score of each registry too.
    workers: whether to count the workers by state too.

    One round trip, and one before it where queues is None. Where RQ's cleanup has work to do, that work and one more;
    where the server denies SORT, or has a thousand workers, a few more. It is one write, but no transaction.
    A queue of which the user may not read everything is left out, and in the `errors` of the snapshot: where several
    applications share a Redis, RQ lists the queues of all of them.
    Raises TypeError and ValueError for arguments of another kind; redis.exceptions.RedisError, NoPermissionError among
    it for a command that the user may not do at all (workers=False spares SMEMBERS and HGETALL).
    Source: rq.Queue.all, rq.Queue.count, rq.registry.BaseRegistry.get_job_count, rq.Worker.all; Redis LLEN, ZCARD.
    """
    client = client_from(connection)
    keys = installed_keys()
    wanted = queues_meant(client, queues)
    named = tuple((name, _key_of(name, queue, keys)) for name, queue in wanted.items())
    counting = count_commands(named)
    scoring = score_commands(named) if scores else ()
    asking = [read_workers(keys.workers)] if workers else []
    existence = Existence(client, wanted if queues is not None else {})
    reads = [(VALUE, 'TIME'), *existence.commands, *counting, *scoring, *asking]
    errors: dict[str, Exception] = {}
    replies = _clean_and_exchange(client, wanted, reads, errors) if cleanup else exchange(client, reads)
    existence.check(replies[1 : 1 + len(existence.commands)])
    del replies[1 : 1 + len(existence.commands)]
    found = workers_from(client, keys.workers, replies.pop()) if workers else None
    time, *answers = replies
    has_errors = any(isinstance(reply, Exception) for reply in answers)
    counts = by_queue(answers[: len(counting)], len(wanted))
    scored = by_queue(answers[len(counting) :], len(wanted))
    taken = []
    for name, row, of_scores in zip(wanted, counts, scored, strict=True):
        if has_errors:
            _note_error(name, (*row, *of_scores), errors)
        if name not in errors:
            taken.append(QueueSnapshot(name, *row))
            taken[-1]._scores = _scores_in(of_scores, keys) if scores else None
    if found is not None:
        _note_workers(taken, found)
    states = None if found is None else Counter(worker.state for worker in found)
    return Snapshot(_timestamp(time), taken, states, errors)


def _key_of(name: str, queue: Queue | None, keys: Keys) -> str:
    return keys.queue_prefix + name if queue is None else str(queue.key)


def _note_error(name: str, replies: Iterable[Any], errors: dict[str, Exception]) -> None:
    """Note the first error among the replies for a queue. Raises one that is not about what the user may read."""
    for reply in replies:
        if isinstance(reply, Exception):
            if not is_of_a_key(reply):
                raise reply
            errors.setdefault(name, reply)


def _clean_and_exchange(
    client: Any, wanted: Mapping[str, Queue | None], reads: list[Command], errors: dict[str, Exception]
) -> list[Any]:
    """Clean up the registries, and return the replies to the reads after that; note what may not be cleaned up."""
    # RQ's cleanup, and so rq.
    from ._cleaning import clean_and_exchange
    from ._queue_cleaning import registries_to_clean

    try:
        return clean_and_exchange(client, registries_to_clean(client, wanted), reads)
    except Exception as error:
        if not is_of_a_key(error):
            raise
    for name, queue in wanted.items():
        try:
            clean_and_exchange(client, registries_to_clean(client, {name: queue}), [])
        except Exception as error:
            if not is_of_a_key(error):
                raise
            errors[name] = error
    return exchange(client, reads)


def _timestamp(time: Any) -> float:
    """Return what TIME says: seconds, and microseconds of the next one; by our own clock where that is denied."""
    if is_denied(time):
        return now()
    (answered,) = without_errors([time])
    seconds, microseconds = answered
    return int(seconds) + int(microseconds) / 1e6


def _scores_in(replies: Sequence[Any], keys: Keys) -> dict[str, Scores | None]:
    found = map(score_from, replies)
    return {
        name: None if oldest is None or newest is None else Scores(oldest, newest)
        for name, oldest, newest in zip(keys.templates, found, found, strict=True)
    }


def _note_workers(queues: Iterable[QueueSnapshot], workers: Iterable[WorkerState]) -> None:
    states: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for state, names in workers:
        for name in names:
            states[name][state] += 1
    for queue in queues:
        queue._workers = states[queue.name]
