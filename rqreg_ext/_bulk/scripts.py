"""The scripts that remove, requeue and cancel many jobs, and the base class of all scripts with their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from .._fastpath import guards, releases, requeued_job
from .._fastpath.dispatch import loads_plain_jobs
from .._fastpath.script_arguments import Template, Value, among
from .._fastpath.script_constants import constants

# The most entries of a queue that a script searches for each job: about as expensive as the rest of the job.
SHORT_QUEUE = 128
# Before the id of a job with long data in the arguments of requeue_many.
DATA_IS_COMPRESSED = '='


@cache
def _template(name: str) -> Template:
    """Return the arguments of a script that are the same in all calls."""
    return Template(name, {**among(name, constants), 'short_queue': SHORT_QUEUE})


class Script:
    """A script of src/lua/ that requires many_jobs.inc.lua."""

    # Its file, and whether it removes jobs from their queues.
    name: str
    removes_from_queues: bool

    def may_run(self) -> bool:
        """Return whether RQ would do the same with the jobs of this registry; called for each chunk."""
        return True

    def _own_arguments(self) -> dict[str, Value]:
        """Return the arguments that are neither constants nor those of many_jobs.inc.lua; called for each chunk."""
        return {}

    def arguments(self, registry: Any, microseconds: int, dry_run: bool, known_queue_key: str) -> list[Value]:
        """Return the arguments for a chunk of jobs of a registry, in the order of the script."""
        return _template(self.name).filled(
            {
                'microseconds': microseconds,
                'dry_run': '1' if dry_run else '',
                'registry_name': registry.name,
                'known_queue': known_queue_key,
                **self._own_arguments(),
            }
        )

    def values_before_ids(self) -> Sequence[Value]:
        """Return what follows the arguments(), which were called before, and precedes the job ids."""
        return ()

    def learn_metadata(self, wanted: bytes) -> bool:
        """Find out what the script must know before it can do a job; return whether that was possible."""
        return False


class Deletion(Script):
    """Deletes jobs."""

    name = 'delete_many'
    removes_from_queues = True


class Requeue(Script):
    """Requeues jobs. Only Python can load and store their metadata, which the script gets from here."""

    name = 'requeue_many'
    removes_from_queues = False
    # The most bytes of metadata that are kept for the next chunk, because many jobs may have the same.
    _KEPT = 65536

    def __init__(self, registry: Any, at_front: bool) -> None:
        self._registry = registry
        self._push = 'LPUSH' if at_front else 'RPUSH'
        self._reserialized: dict[bytes, bytes] = {}

    def may_run(self) -> bool:
        """Return whether the registry's job_class leaves what a requeue uses as it is."""
        return loads_plain_jobs(self._registry, guards.requeue_functions)

    def _own_arguments(self) -> dict[str, Value]:
        return {
            'enqueued_at': requeued_job.enqueued_at()[1],
            'push_command': self._push,
            'timestamp': releases.current_timestamp(),
            'metadata_count': len(self._reserialized),
            'to_queue': '',
            'queues_key': '',
        }

    def values_before_ids(self) -> Sequence[Value]:
        """Return the metadata, each as it is stored, and as RQ would store it again."""
        pairs = [text for pair in self._reserialized.items() for text in pair]
        if sum(map(len, pairs)) > self._KEPT:
            self._reserialized.clear()
        return pairs

    def learn_metadata(self, wanted: bytes) -> bool:
        """Load metadata; return whether RQ can."""
        read = requeued_job.read_metadata(self._registry, [b'meta', wanted])
        if read is None:
            return False
        stored, again, _ = read
        self._reserialized[stored] = again
        return True


class Cancellation(Script):
    """Cancels jobs."""

    name = 'cancel_many'
    removes_from_queues = True

    def __init__(self, registry: Any, *, enqueue_dependents: bool, remove_from_dependencies: bool) -> None:
        self._registry = registry
        self._enqueue_dependents = enqueue_dependents
        self._remove_from_dependencies = remove_from_dependencies

    def may_run(self) -> bool:
        """Return whether the registry's job_class leaves what Job.cancel() uses as it is."""
        return loads_plain_jobs(self._registry, guards.cancel_functions)

    def _own_arguments(self) -> dict[str, Value]:
        return {
            'timestamp': releases.current_timestamp(),
            'enqueue_dependents': '1' if self._enqueue_dependents else '',
            'remove_from_dependencies': '1' if self._remove_from_dependencies else '',
        }
