"""Which script stands for a loop of RQ's calls, and the one place that decides whether it may."""

from __future__ import annotations

from typing import Any

from .. import _installed_rq
from .._clients import decodes
from .._core import Guard
from .._dispatch import sends_unchanged
from .._installed_rq import Entries, Method
from .._route import entries_of, is_plain

# How many entries of a queue a script may go through for each job: about what the rest of the job costs.
SHORT_QUEUE = 128


class Script:
    """A script of src/ over many_jobs.inc.lua."""

    # Its file, and whether it takes jobs out of their queues.
    name: str
    empties_queues: bool

    def _own_arguments(self) -> tuple[str | bytes | int | float, ...]:
        """Return what it is given beside what all of them are; asked for each chunk."""
        raise NotImplementedError

    def learn(self, wanted: bytes) -> bool:
        """Take note of what the script wants to be told before it does a job; return whether it can be told."""
        return False

    def arguments(
        self, registry: Any, microseconds: int, dry_run: bool, known_queue_key: str
    ) -> tuple[str | bytes | int | float, ...]:
        """Return all that it is given before the ids."""
        return (
            microseconds,
            'dry' if dry_run else '',
            registry.name,
            known_queue_key,
            SHORT_QUEUE,
            *_installed_rq.many_jobs_arguments,
            *self._own_arguments(),
        )


class Deletion(Script):
    """What deletes jobs."""

    name = 'delete_many'
    empties_queues = True

    def _own_arguments(self) -> tuple[bytes, ...]:
        return _installed_rq.delete_many_arguments


class Requeue(Script):
    """What requeues jobs. It is told what Python makes of their metadata, as it meets them."""

    name = 'requeue_many'
    empties_queues = False
    # Metadata of so many octets is kept: many jobs may have the same.
    _KEPT = 65536

    def __init__(self, registry: Any, at_front: bool) -> None:
        self._registry = registry
        self._push = 'LPUSH' if at_front else 'RPUSH'
        self._again: dict[bytes, bytes] = {}

    def _own_arguments(self) -> tuple[str | bytes | int | float, ...]:
        pairs = [text for pair in self._again.items() for text in pair]
        if sum(map(len, pairs)) > self._KEPT:
            self._again.clear()
        enqueued_at = _installed_rq.enqueued_at()[1]
        return (*_installed_rq.requeue_arguments[2:], enqueued_at, self._push, len(pairs) // 2, *pairs)

    def learn(self, wanted: bytes) -> bool:
        """Read metadata; return whether RQ can."""
        read = _installed_rq.read_metadata(self._registry, [b'meta', wanted])
        if read is None:
            return False
        stored, again, _ = read
        self._again[stored] = again
        return True


class Cancellation(Script):
    """What cancels jobs."""

    name = 'cancel_many'
    empties_queues = True

    def __init__(self, enqueue_dependents: bool, remove_from_dependencies: bool) -> None:
        self._ties = ('dependents' if enqueue_dependents else '', 'dependencies' if remove_from_dependencies else '')

    def _own_arguments(self) -> tuple[str | int, ...]:
        return (_installed_rq.current_timestamp(), *self._ties)


def knows_what_rq_does(registry: Any, guard: Guard, *methods: Method) -> bool:
    """Tell whether RQ does with this registry's jobs what we know of it.

    It is a release that we know, all that the guard looks at is RQ's own, and so are these methods of the registry; its
    entries are job ids, all on one server; and its client sends what it is given: two round trips to see that where the
    client is wrapped.
    """
    return (
        _installed_rq.is_known
        and guard.holds()
        and is_plain(registry, *methods)
        and entries_of(registry) is Entries.JOBS
        and type(registry.key) is str
        and type(registry.name) is str
        and sends_as_given(registry)
    )


def sends_as_given(registry: Any) -> bool:
    """Tell whether the registry's client sends what it is given."""
    return sends_unchanged(registry.connection, ('ZCARD', registry.key))


def reads_jobs(connection: Any) -> bool:
    """Tell whether RQ can read jobs by this client: not by one that decodes responses, which their data is none for."""
    return not decodes(connection)
