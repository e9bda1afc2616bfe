"""The check over a whole Redis: every queue with its registries, and every job, execution and worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from ..._exchange import INTEGER, VALUE, Command
from . import mends, places
from .dependencies import DeferredJobs
from .entries import Entries
from .executions import Executions
from .held import Held
from .leftovers import suspicions_of_sets
from .orphans import Orphans
from .places import BY_JOB_ID, DEFERRED, PLACES, STARTED, JobKeys
from .problems import Kind, Problem
from .queues import QueueEntries, TakenEntries
from .reader import Reader, glob_of, text_or_none
from .started import StartedEntries
from .suspicions import Suspicion
from .workers import suspicions_of_workers


class Everything:
    """What RQ has in a database; or what of it belongs to some queues, without what belongs to none.

    Without `queues`, those that RQ lists, and then those that it does not list, and that have jobs all the same.
    """

    def __init__(self, keys: JobKeys, queues: Iterable[str] | None = None) -> None:
        self._keys = keys
        self._queues = None if queues is None else list(dict.fromkeys(queues))
        self._seen: set[str] = set()

    def suspicions(self, reader: Reader) -> Iterator[Suspicion]:
        """Read everything, and yield what may be wrong."""
        queues = _listed(reader) if self._queues is None else self._queues
        held = Held(_count(reader, queues))
        for queue in queues:
            yield from reader.readable(queue, self._of_queue(reader, queue, held))
        queues = [queue for queue in queues if queue not in reader.errors]
        for key in (places.WORKERS, *map(places.workers_key, queues)):
            yield from reader.readable(key, suspicions_of_workers(reader, key))
        yield from self._of_keys(reader, held)
        for number in range(1, held.slices):
            held.begin(number)
            for queue in queues:
                yield from QueueEntries(self._keys, queue).suspicions(reader, held)
                yield from TakenEntries(self._keys, queue).suspicions(reader, held)
            yield from self._orphans(reader, held).suspicions(reader)
        if self._queues is None:
            for queue in sorted(self._seen.difference(queues, reader.errors)):
                found = list(reader.readable(queue, self._of_queue(reader, queue, Held())))
                if queue not in reader.errors:
                    yield UnlistedQueue(queue)
                yield from found

    def _of_queue(self, reader: Reader, queue: str, held: Held) -> Iterator[Suspicion]:
        """Look at a queue, and at each of its registries."""
        yield from QueueEntries(self._keys, queue).suspicions(reader, held)
        yield from TakenEntries(self._keys, queue).suspicions(reader, held)
        yield from StartedEntries(self._keys, queue, STARTED.key(queue)).suspicions(reader, held.started)
        for place in BY_JOB_ID:
            yield from Entries(self._keys, place, queue, place.key(queue)).suspicions(reader)
        yield from DeferredJobs(self._keys, queue, DEFERRED.key(queue)).suspicions(reader)

    def _of_keys(self, reader: Reader, held: Held) -> Iterator[Suspicion]:
        """Scan the keys, and look at the jobs, and at what belongs to no queue."""
        orphans, executions = self._orphans(reader, held), Executions(self._keys)
        common = commonprefix([self._keys.prefix, *_PREFIXES])  # noqa: RUF071
        for keys in reader.keys(glob_of(common)):
            names = self._sort(keys)
            yield from orphans.among(reader, names['job'])
            if self._queues is not None:
                continue
            self._seen.update(names['queue'])
            yield from executions.of_jobs(reader, names['executions'])
            yield from executions.by_names(reader, names['execution'])
            for kind, key_of in (('dependents', self._keys.dependents), ('dependencies', self._keys.dependencies)):
                yield from suspicions_of_sets(reader, self._keys, {job_id: key_of(job_id) for job_id in names[kind]})

    def _orphans(self, reader: Reader, held: Held) -> Orphans:
        is_any = self._queues is None

        def is_wanted(status: str, origin: str) -> bool:
            if origin in reader.errors:
                return False
            if is_any and status != 'created':
                self._seen.add(origin)
            return is_any or origin in (self._queues or ())

        return Orphans(self._keys, is_wanted, held, with_unreadable=is_any, with_loading=True)

    def _sort(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Return the names in the keys, by what the keys are."""
        names: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            kind, prefix = next(((kind, prefix) for kind, prefix in _KINDS if key.startswith(prefix)), ('', ''))
            if kind == '' and key.startswith(self._keys.prefix):
                kind, name = self._keys.parse(key)
                names[kind].append(name)
            elif kind != '' and not places.is_beside_queue(key):
                names[kind].append(key[len(prefix) :])
        return names


# What has jobs of a queue, and what has executions.
_KINDS = (
    ('executions', places.executions_key('')),
    ('execution', places.EXECUTION_PREFIX),
    ('queue', places.QUEUE_PREFIX),
    *(('queue', place.key('')) for place in PLACES),
)
_PREFIXES = tuple(prefix for _, prefix in _KINDS)


def _listed(reader: Reader) -> list[str]:
    """Return the queues that RQ lists."""
    (members,) = reader.values([(VALUE, 'SMEMBERS', places.QUEUES)])
    keys = [key for key in map(text_or_none, members) if key and key.startswith(places.QUEUE_PREFIX)]
    return sorted(key[len(places.QUEUE_PREFIX) :] for key in keys)


def _count(reader: Reader, queues: Iterable[str]) -> int:
    """Return how many jobs are in these queues, and note how much there is to look at."""
    lists: list[Command] = [(INTEGER, 'LLEN', places.queue_key(queue)) for queue in queues]
    registries: list[Command] = [(INTEGER, 'ZCARD', place.key(queue)) for queue in queues for place in PLACES]
    queued, others, keys = (
        sum(count for count in reader.replies(commands) if isinstance(count, int))
        for commands in (lists, registries, [(INTEGER, 'DBSIZE')])
    )
    reader.total = queued + others + keys
    return queued


@dataclass(frozen=True)
class UnlistedQueue(Suspicion):
    """A queue that RQ seems not to list."""

    queue: str

    def commands(self) -> list[Command]:
        """Return the commands whose replies it is judged by."""
        return [(INTEGER, 'SISMEMBER', places.QUEUES, places.queue_key(self.queue))]

    def judge(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return what is wrong, if anything is."""
        if evidence != (0,):
            return None
        key = places.queue_key(self.queue)
        detail = f'there are jobs of the queue {self.queue!r}, and {key} is not in {places.QUEUES}: RQ does not list it'
        mend = mends.list_queue(key)
        return Problem(Kind.UNKNOWN_QUEUE, None, places.QUEUES, detail, 'enter the queue there', mend=mend)
