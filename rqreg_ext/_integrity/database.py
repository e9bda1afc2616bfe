"""The candidates of a database: of every queue with its registries, and of every job, execution and worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from .._fastpath import rq_keys
from .._fastpath.exchange import INTEGER, VALUE, Command
from .._fastpath.rq_keys import BY_JOB_ID, DEFERRED, REGISTRY_KINDS, STARTED, JobKeys
from . import repair_steps
from .candidates import Candidate
from .dependencies import DeferredJobs
from .entries import RegistryEntries
from .executions import Executions
from .orphans import Orphans
from .problems import Problem, ProblemKind
from .queued_jobs import QueuedJobs
from .queues import IntermediateEntries, QueueEntries
from .reader import ChunkReader, glob_of, text_or_none
from .stale_keys import stale_set_candidates
from .started import StartedEntries
from .workers import worker_candidates


class Database:
    """RQ's keys in a database, or with `queues` only those of some queues.

    Without `queues`, the queues that RQ lists are read first, and then those that it does not list but that have jobs.
    """

    def __init__(self, keys: JobKeys, queues: Iterable[str] | None = None) -> None:
        self._keys = keys
        self._queues = None if queues is None else list(dict.fromkeys(queues))
        self._found_queues: set[str] = set()

    def candidates(self, reader: ChunkReader) -> Iterator[Candidate]:
        """Read everything, and yield the candidates."""
        queues = _listed(reader) if self._queues is None else self._queues
        expected, empty = _count(reader, queues)
        queued_jobs = QueuedJobs(expected)
        for queue in queues:
            yield from reader.readable(queue, self._candidates_of_queue(reader, queue, queued_jobs, empty))
        queues = [queue for queue in queues if queue not in reader.errors]
        yield from worker_candidates(reader, [rq_keys.all_workers_key(), *map(rq_keys.workers_key, queues)])
        yield from self._candidates_of_keys(reader, queued_jobs)
        for number in range(1, queued_jobs.groups):
            queued_jobs.begin(number)
            for queue in queues:
                yield from reader.readable(queue, self._candidates_of_lists(reader, queue, queued_jobs))
            yield from self._orphans(reader, queued_jobs, is_first_scan=False).candidates(reader)
        if self._queues is None:
            for queue in sorted(self._found_queues.difference(queues, reader.errors)):
                candidates = list(reader.readable(queue, self._candidates_of_queue(reader, queue, QueuedJobs())))
                if queue not in reader.errors:
                    yield UnlistedQueue(queue)
                yield from candidates

    def _candidates_of_queue(
        self, reader: ChunkReader, queue: str, queued_jobs: QueuedJobs, empty: Collection[str] = ()
    ) -> Iterator[Candidate]:
        """Read a queue and its registries, without the keys that are `empty`."""
        yield from self._candidates_of_lists(reader, queue, queued_jobs, empty)
        started = StartedEntries(self._keys, queue, STARTED.key(queue))
        if started.key not in empty:
            yield from started.candidates(reader, queued_jobs.started)
        for registry_kind in BY_JOB_ID:
            key = registry_kind.key(queue)
            if key not in empty:
                yield from RegistryEntries(self._keys, registry_kind, queue, key).candidates(reader)
        if DEFERRED.key(queue) not in empty:
            yield from DeferredJobs(self._keys, queue, DEFERRED.key(queue)).candidates(reader)

    def _candidates_of_lists(
        self, reader: ChunkReader, queue: str, queued_jobs: QueuedJobs, empty: Collection[str] = ()
    ) -> Iterator[Candidate]:
        """Read a queue, and its intermediate queue, without the keys that are `empty`."""
        for entries in (QueueEntries(self._keys, queue), IntermediateEntries(self._keys, queue)):
            if entries.key not in empty:
                yield from entries.candidates(reader, queued_jobs)

    def _candidates_of_keys(self, reader: ChunkReader, queued_jobs: QueuedJobs) -> Iterator[Candidate]:
        """Scan the keys, and read the jobs and what belongs to no queue."""
        orphans, executions = self._orphans(reader, queued_jobs), Executions(self._keys)
        prefixes = _prefixes()
        common = commonprefix([self._keys.prefix, *(prefix for _, prefix in prefixes)])  # noqa: RUF071
        for keys in reader.keys(glob_of(common)):
            names = self._sort(keys, prefixes)
            yield from orphans.among(reader, names['job'])
            reader.note(jobs=len(names['job']))
            if self._queues is not None:
                continue
            self._found_queues.update(names['queue'])
            yield from executions.of_jobs(reader, names['executions'])
            yield from executions.by_names(reader, names['execution'])
            for kind, key_of in (('dependents', self._keys.dependents), ('dependencies', self._keys.dependencies)):
                yield from stale_set_candidates(reader, self._keys, {job_id: key_of(job_id) for job_id in names[kind]})

    def _orphans(self, reader: ChunkReader, queued_jobs: QueuedJobs, is_first_scan: bool = True) -> Orphans:
        is_all = self._queues is None

        def is_selected(status: str, origin: str) -> bool:
            # Further scans are for what is compared with the jobs in the queues.
            if origin in reader.errors or (status not in ('queued', 'started') and not is_first_scan):
                return False
            if is_all and status != 'created':
                self._found_queues.add(origin)
            return is_all or origin in (self._queues or ())

        return Orphans(
            self._keys,
            is_selected,
            queued_jobs,
            with_unknown_status=is_all and is_first_scan,
            with_hashes=is_first_scan,
        )

    def _sort(self, keys: Iterable[str], prefixes: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """Return the names (of jobs, executions, queues) in the keys, by the type of key."""
        names: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            kind, prefix = next(((kind, prefix) for kind, prefix in prefixes if key.startswith(prefix)), ('', ''))
            if kind == '' and key.startswith(self._keys.prefix):
                kind, name = self._keys.parse(key)
                names[kind].append(name)
            elif kind != '' and not rq_keys.is_beside_queue(key):
                names[kind].append(key[len(prefix) :])
        return names


def _prefixes() -> list[tuple[str, str]]:
    """Return the types of keys that have the jobs of a queue, or executions, with their prefixes."""
    return [
        ('executions', rq_keys.executions_key('')),
        ('execution', rq_keys.EXECUTION_PREFIX),
        ('queue', rq_keys.queue_prefix()),
        *(('queue', registry_kind.key('')) for registry_kind in REGISTRY_KINDS),
    ]


def _listed(reader: ChunkReader) -> list[str]:
    """Return the names in RQ's set of queues."""
    (members,) = reader.values([(VALUE, 'SMEMBERS', rq_keys.queues_key())])
    prefix = rq_keys.queue_prefix()
    return sorted(key[len(prefix) :] for key in map(text_or_none, members) if key and key.startswith(prefix))


def _count(reader: ChunkReader, queues: Iterable[str]) -> tuple[int, set[str]]:
    """Return how many jobs are queued in these queues, and which of their keys are empty; set the progress's total."""
    lists: list[Command] = [(INTEGER, 'LLEN', rq_keys.queue_key(queue)) for queue in queues]
    others: list[Command] = [(INTEGER, 'LLEN', rq_keys.intermediate_key(queue)) for queue in queues]
    others += [(INTEGER, 'ZCARD', registry_kind.key(queue)) for queue in queues for registry_kind in REGISTRY_KINDS]
    commands: list[Command] = [*lists, *others, (INTEGER, 'DBSIZE')]
    counts = reader.replies(commands)
    reader.total = sum(count for count in counts if isinstance(count, int))
    queued = sum(count for count in counts[: len(lists)] if isinstance(count, int))
    return queued, {command[2] for command, count in zip(commands[:-1], counts[:-1], strict=True) if count == 0}


@dataclass(frozen=True)
class UnlistedQueue(Candidate):
    """A queue that may not be in RQ's set of queues."""

    queue: str

    def commands(self) -> list[Command]:
        """Return the commands that read the evidence."""
        return [(INTEGER, 'SISMEMBER', rq_keys.queues_key(), rq_keys.queue_key(self.queue))]

    def diagnose(self, evidence: tuple[Any, ...]) -> Problem | None:
        """Return the problem that the evidence shows, or None."""
        if evidence != (0,):
            return None
        key, queues = rq_keys.queue_key(self.queue), rq_keys.queues_key()
        detail = f'there are jobs of the queue {self.queue!r}, but {key} is not in {queues}: RQ does not list it'
        repair_step = repair_steps.list_queue(key)
        return Problem(
            ProblemKind.UNKNOWN_QUEUE,
            None,
            queues,
            detail,
            'add the queue to that set',
            repair_step=repair_step,
        )
