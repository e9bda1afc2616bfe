"""snapshot(): the sizes of all queues and registries of a Redis in one round trip."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import chain, islice
from operator import attrgetter
from time import time as now
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._fastpath.cleanup import clean_and_exchange
from .._fastpath.clients.by_url import client_from
from .._fastpath.exchange import VALUE, Command, exchange, without_errors
from .._fastpath.rq_keys import REGISTRIES, REGISTRY_NAMES, all_workers_key, queue_key
from .._fastpath.server_errors import concerns_one_queue, describe, is_denied, note_key
from .._fastpath.wording import counted
from .cleanup import registries_to_clean
from .counts import by_queue, count_commands, score_commands, score_from
from .oldest_waiting import oldest_from, waiting_commands
from .selection import Existence, all_queues, list_queues, requested_queues
from .workers import WorkerSnapshot, WorkersReader, WorkerState

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

Found = TypeVar('Found')

NAMES = ('queued', *REGISTRY_NAMES)


class Scores(NamedTuple):
    """The lowest and the highest score of a registry: in most registries, Unix timestamps in seconds.

    Attributes:
        oldest: The lowest score.
        newest: The highest score; infinity if there is an entry that never expires.
    """

    oldest: float
    newest: float


class Counts(Mapping[str, int]):
    """The number of jobs in a queue and in each of its registries: attributes, and a mapping with the same names.

    Attributes:
        queued: Jobs that wait in the queue.
        started: Entries of the StartedJobRegistry.
        finished: Entries of the FinishedJobRegistry.
        failed: Entries of the FailedJobRegistry.
        deferred: Entries of the DeferredJobRegistry.
        scheduled: Entries of the ScheduledJobRegistry.
        canceled: Entries of the CanceledJobRegistry.
        ready: Entries of the ReadyJobRegistry; 0 before RQ 3.
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
        """Return the counts as a dict."""
        return dict(self)


class QueueSnapshot(Counts):
    """The counts of one queue, as in Counts, with its name.

    Attributes:
        name: The name of the queue.
    """

    __slots__ = ('_oldest', '_scores', '_timestamp', '_workers', 'name')

    def __init__(self, name: str, *counts: int) -> None:
        super().__init__(*counts)
        self.name = name
        self._scores: dict[str, Scores | None] | None = None
        self._workers: Counter[str] | Exception | None = None
        # (when the oldest waiting job was enqueued,)
        self._oldest: tuple[datetime | None] | Exception | None = None
        self._timestamp = 0.0

    @property
    def oldest(self) -> datetime | None:
        """When the job that has waited longest was enqueued, a datetime in UTC; None if no job waits.

        Only the first 10 jobs of the queue are read: if more were put at its front, an older one may come after them.
        Needs snapshot(oldest=True). Raises the server's error if they could not be read.
        """
        (oldest,) = _value_if_read('oldest', self._oldest)
        return oldest

    @property
    def oldest_age(self) -> float | None:
        """The seconds from `oldest` to the snapshot; None if no job waits. Needs snapshot(oldest=True)."""
        oldest = self.oldest
        return None if oldest is None else self._timestamp - oldest.timestamp()

    @property
    def scores(self) -> dict[str, Scores | None]:
        """The lowest and highest score of each registry, None for an empty one. Needs snapshot(scores=True)."""
        return _value_if_read('scores', self._scores)

    @property
    def workers(self) -> Counter[str]:
        """The number of workers that listen to this queue, by state. Raises the error if they could not be read."""
        return _value_if_read('workers', self._workers)

    def __repr__(self) -> str:
        return f'{self.name!r}: {super().__repr__()}'

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, and what else was read, as a dict.

        A score is infinity for an entry that never expires. `oldest` is a Unix timestamp in seconds.
        """
        values: dict[str, Any] = dict(self)
        if self._scores is not None:
            values['scores'] = {name: found and found._asdict() for name, found in self._scores.items()}
        if isinstance(self._workers, Counter):
            values['workers'] = dict(self._workers)
        if isinstance(self._oldest, tuple):
            values['oldest'] = None if self.oldest is None else self.oldest.timestamp()
            values['oldest_age'] = self.oldest_age
        return values


class Snapshot(Mapping[str, QueueSnapshot]):
    """The queues of a Redis at one time: a mapping of QueueSnapshot by the queue's name.

    Attributes:
        timestamp: The server's time, a Unix timestamp in seconds; the client's if the user has no right to TIME.
        total: The sums of the counts of all queues.
        errors: By the queue's name, the server's error for each queue that was left out of the mapping and of `total`,
            because a key is of another type or the user has no right to it. That key is the error's attribute `key`.
    """

    def __init__(
        self,
        timestamp: float,
        queues: Iterable[QueueSnapshot],
        workers: Counter[str] | Exception | None,
        errors: Mapping[str, Exception] | None = None,
        worker_details: dict[str, WorkerSnapshot] | Exception | None = None,
    ) -> None:
        self.timestamp = timestamp
        self._worker_details = worker_details
        self.errors = dict(errors or {})
        self._queues = {queue.name: queue for queue in queues}
        self._workers = workers
        self.total = Counts(*(sum(map(attrgetter(name), self._queues.values())) for name in NAMES))

    @property
    def time(self) -> datetime:
        """The time of the snapshot, a datetime in UTC."""
        return datetime.fromtimestamp(self.timestamp, timezone.utc)

    @property
    def workers(self) -> Counter[str]:
        """The number of workers of all queues, by state ('busy', 'idle', 'suspended', 'started', ...).

        Raises the server's error if they could not be read, for example because the user has no right to.
        """
        return _value_if_read('workers', self._workers)

    @property
    def worker_details(self) -> dict[str, WorkerSnapshot]:
        """What each worker does, by its name. Needs snapshot(worker_details=True).

        Raises the server's error if the workers could not be read.
        """
        return _value_if_read('worker_details', self._worker_details)

    def __getitem__(self, name: str) -> QueueSnapshot:
        return self._queues[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._queues)

    def __len__(self) -> int:
        return len(self._queues)

    def __repr__(self) -> str:
        if isinstance(self._workers, Exception):
            workers = f', workers not read ({describe(self._workers)})'
        else:
            workers = '' if self._workers is None else f', workers={dict(self._workers)}'
        errors = f', {len(self.errors)} left out' if self.errors else ''
        queues = counted(len(self), 'queue', none='no')
        return f'<{type(self).__name__} of {queues} at {self.time.isoformat()}: {self.total}{workers}{errors}>'

    def __str__(self) -> str:
        return '\n'.join(
            [repr(self), *(f'  {name!r} was left out: {describe(error)}' for name, error in self.errors.items())]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as dicts, numbers and strings.

        Returns:
            A dict with the keys 'timestamp', 'queues' (by name), 'total', 'errors' (by the queue's name), and, if they
            were requested, 'workers' (by state) and 'worker_details' (by name).
        """
        values = {
            'timestamp': self.timestamp,
            'queues': {name: queue.to_dict() for name, queue in self.items()},
            'total': self.total.to_dict(),
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }
        if isinstance(self._workers, Counter):
            values['workers'] = dict(self._workers)
        if isinstance(self._worker_details, dict):
            values['worker_details'] = {name: worker.to_dict() for name, worker in self._worker_details.items()}
        return values


def _value_if_read(name: str, value: Found | Exception | None) -> Found:
    if isinstance(value, Exception):
        raise value
    if value is None:
        raise AttributeError(f'this snapshot was taken without {name}: give snapshot(..., {name}=True)')
    return value


def snapshot(
    connection: Redis | str,
    queues: Iterable[str | Queue] | str | Queue | None = None,
    cleanup: bool = False,
    scores: bool = False,
    workers: bool = True,
    worker_details: bool = False,
    oldest: bool = False,
) -> Snapshot:
    """Count the jobs in every queue and in each of its registries, and the workers.

    All commands are sent in one write, which is not a transaction: commands of other clients can run in between.

    Args:
        connection: A redis-py client, or a URL.
        queues: Names of queues, or Queue objects; None for all queues.
        cleanup: Whether to run RQ's cleanup of each registry first, as its `count` does. Without it, nothing is
            changed.
        scores: Whether to read the lowest and the highest score of each registry too.
        workers: Whether to count the workers by state too. It needs the right to SORT, or SMEMBERS and HGETALL.
            Without it, the attributes `workers` raise the server's error.
        worker_details: Whether to read what each worker does: see WorkerSnapshot. Implies `workers`.
        oldest: Whether to read, for each queue, when the job that has waited longest was enqueued.

    Returns:
        A Snapshot. A queue that cannot be read completely, because a key is of another type or the user has no right
        to it, is left out, and in the snapshot's `errors`.

    Raises:
        TypeError, ValueError: An argument is wrong, or names a queue that does not exist.
        redis.exceptions.RedisError: An error that affects all queues.

    Round trips:
        One, and one before it to find all queues, or with `worker_details`. With `cleanup`, those of RQ's cleanup if it
        has work to do, and one more. A few more if the server refuses SORT, or there are more than a thousand workers.

    Source:
        rq.Queue.all, rq.Queue.count, rq.registry.BaseRegistry.get_job_count, rq.Worker.all; Redis LLEN, ZCARD.
    """
    client = client_from(connection)
    reader = WorkersReader(client, all_workers_key(), worker_details) if workers or worker_details else None
    if reader is not None and worker_details:
        selected = _read_queues_and_workers(client, queues, reader)
        reading_workers = reader.detail_commands()
    else:
        selected = requested_queues(client, queues)
        reading_workers = [] if reader is None else [reader.command()]
    named = tuple((name, _key_of(name, queue)) for name, queue in selected.items())
    templates = tuple(registry_kind.template for registry_kind in REGISTRIES.values())
    existence = Existence(client, selected if queues is not None else {})
    sent = _Groups(
        existence.commands,
        count_commands(named, templates),
        score_commands(named, templates) if scores else (),
        waiting_commands(key for _, key in named) if oldest else (),
        reading_workers,
    )
    reads = [(VALUE, 'TIME'), *chain.from_iterable(sent)]
    errors: dict[str, Exception] = {}
    replies = _clean_and_exchange(client, selected, reads, errors) if cleanup else exchange(client, reads)
    time, *others = replies
    found = sent.replies(others)
    existence.check(found.existence)
    timestamp = _timestamp(time)
    snapshots = _queue_snapshots(selected, sent, found, errors)
    if oldest:
        _note_oldest(client, snapshots, dict(named), dict(zip(selected, found.oldest, strict=True)), timestamp)
    if reader is None:
        return Snapshot(timestamp, snapshots.values(), None, errors)
    if worker_details:
        reader.take_details(found.workers, timestamp)
    else:
        reader.take(*found.workers)
    states = _note_workers(snapshots.values(), reader.states)
    return Snapshot(timestamp, snapshots.values(), states, errors, reader.details if worker_details else None)


class _Groups(NamedTuple):
    """The commands of a snapshot, or the replies to them, by what they are for."""

    existence: Sequence[Any]
    counts: Sequence[Any]
    scores: Sequence[Any]
    oldest: Sequence[Any]
    workers: Sequence[Any]

    def replies(self, replies: Iterable[Any]) -> _Groups:
        """Return the replies to these commands."""
        remaining = iter(replies)
        return _Groups(*(list(islice(remaining, len(commands))) for commands in self))


def _queue_snapshots(
    selected: Mapping[str, Any], sent: _Groups, found: _Groups, errors: dict[str, Exception]
) -> dict[str, QueueSnapshot]:
    """Return the counts, and the scores if requested, of the queues that can be read; note the errors of others."""
    if any(isinstance(reply, Exception) for reply in (*found.counts, *found.scores)):
        _note_errors(selected, sent.counts, found.counts, errors)
        _note_errors(selected, sent.scores, found.scores, errors)
    snapshots = {}
    of_queues = zip(selected, by_queue(found.counts, len(selected)), by_queue(found.scores, len(selected)), strict=True)
    for name, counts, scores in of_queues:
        if name not in errors:
            snapshots[name] = QueueSnapshot(name, *counts)
            snapshots[name]._scores = _scores_in(scores) if sent.scores else None
    return snapshots


def _read_queues_and_workers(client: Any, queues: Any, reader: WorkersReader) -> dict[str, Queue | None]:
    """Return the selected queues, and have the workers read, in one round trip."""
    if queues is not None:
        selected = requested_queues(client, queues)
        reader.take(*exchange(client, [reader.command()]))
        return selected
    listing = list_queues()
    listed, found = exchange(client, [listing, reader.command()])
    if isinstance(listed, Exception):
        raise note_key(listed, listing[2])
    reader.take(found)
    return all_queues(listed)


def _key_of(name: str, queue: Queue | None) -> str:
    return queue_key(name) if queue is None else str(queue.key)


def _note_errors(
    selected: Mapping[str, Any], commands: Sequence[Command], replies: Sequence[Any], errors: dict[str, Exception]
) -> None:
    """Note the first error of each queue. Raises an error that does not concern one queue only."""
    for name, pairs in zip(selected, by_queue(list(zip(commands, replies, strict=True)), len(selected)), strict=True):
        for command, reply in pairs:
            if isinstance(reply, Exception):
                _note_error(name, command[2], reply, errors)


def _note_error(name: str, key: Any, error: Exception, errors: dict[str, Exception]) -> None:
    if not concerns_one_queue(error):
        raise error
    errors.setdefault(name, note_key(error, key))


def _clean_and_exchange(
    client: Any, selected: Mapping[str, Queue | None], reads: list[Command], errors: dict[str, Exception]
) -> list[Any]:
    """Clean up the registries and return the replies to the reads; note the queues that cannot be cleaned up."""
    try:
        return clean_and_exchange(client, registries_to_clean(client, selected), reads)
    except Exception as error:
        if not concerns_one_queue(error):
            raise
    for name, queue in selected.items():
        for registry_kind, to_clean in zip(
            REGISTRIES.values(), registries_to_clean(client, {name: queue}), strict=True
        ):
            try:
                clean_and_exchange(client, [to_clean], [])
            except Exception as error:
                _note_error(name, registry_kind.key(name), error, errors)
    return exchange(client, reads)


def _timestamp(time: Any) -> float:
    """Return the timestamp in the reply to TIME, or that of the client's clock if the user has no right to TIME."""
    if is_denied(time):
        return now()
    (reply,) = without_errors([time])
    seconds, microseconds = reply
    return int(seconds) + int(microseconds) / 1e6


def _scores_in(replies: Sequence[Any]) -> dict[str, Scores | None]:
    found = map(score_from, replies)
    return {
        name: None if oldest is None or newest is None else Scores(oldest, newest)
        for name, oldest, newest in zip(REGISTRIES, found, found, strict=True)
    }


def _note_oldest(
    client: Any,
    queues: Mapping[str, QueueSnapshot],
    keys: Mapping[str, str],
    replies: Mapping[str, Any],
    timestamp: float,
) -> None:
    found = oldest_from(client, [keys[name] for name in queues], [replies[name] for name in queues])
    for queue, oldest in zip(queues.values(), found, strict=True):
        queue._oldest = oldest if isinstance(oldest, Exception) else (oldest,)
        queue._timestamp = timestamp


def _note_workers(
    queues: Iterable[QueueSnapshot], workers: list[WorkerState] | Exception | None
) -> Counter[str] | Exception | None:
    """Have each queue know its workers by state, or why they could not be read; return the same for all workers."""
    if not isinstance(workers, list):
        for queue in queues:
            queue._workers = workers
        return workers
    states: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for state, names in workers:
        for name in names:
            states[name][state] += 1
    for queue in queues:
        queue._workers = states[queue.name]
    return Counter(worker.state for worker in workers)
