"""Where jobs are in their queue, for scripts that remove them from it: these search a short queue only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rq import Queue
from rq.job import Job

from .._fastpath.exchange import VALUE, ask
from .._fastpath.server_errors import is_denied
from .._query.queue_search import find_in_queue, length_of
from .scripts import SHORT_QUEUE

# With `rate`, the queue of a portion is searched again after this number of seconds.
SEARCH_IS_VALID = 10.0


class LongQueueSearch:
    """Finds which jobs are in a long queue, and near which end.

    Attributes:
        length: How many jobs the registry's own queue had when it was measured.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self._connection = registry.connection
        self.length = 0
        # The jobs of a portion, and when and where they were found in the registry's own queue.
        self._portion: Sequence[str] = ()
        self._found: tuple[float, dict[str, str] | None] | None = None

    @property
    def own_key(self) -> str:
        """The key of the registry's own queue."""
        return self.key_of(self._registry.name)

    @property
    def is_long(self) -> bool:
        """Whether the registry's own queue is too long for a script to search it."""
        return self.length > SHORT_QUEUE

    @staticmethod
    def key_of(name: str) -> str:
        """Return the key of a queue."""
        return f'{Queue.redis_queue_namespace_prefix}{name}'

    def measure(self) -> None:
        """Note how many jobs the registry's own queue has. One round trip."""
        self.length = length_of(self._connection, self.own_key)

    def begin(self, portion: Sequence[str]) -> None:
        """Forget what was found of other jobs: these are the next that in_own_queue() is asked for."""
        self._portion, self._found = portion, None

    def in_own_queue(self, job_ids: list[str], is_paced: bool) -> dict[str, str] | None:
        """Return what in_queue() does for the registry's own queue.

        is_paced: Whether only some jobs of a portion are processed at a time. Then all of it are looked for at once.
        """
        if not is_paced:
            return self.in_queue(self.own_key, job_ids)
        if self._found is None or time.monotonic() > self._found[0] + SEARCH_IS_VALID:
            self._found = time.monotonic(), self.in_queue(self.own_key, self._portion)
        return self._found[1]

    def in_queue(self, queue_key: str, job_ids: Sequence[str]) -> dict[str, str] | None:
        """Return which jobs are in a long queue, and near which end; None if the user has no right to read it."""
        try:
            return find_in_queue(self._connection, queue_key, job_ids)
        except Exception as error:
            if not is_denied(error):
                raise
            return None

    def by_origin(self, job_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids by the name of the queue that each job was created for. One round trip."""
        commands = [(VALUE, 'HGET', Job.key_for(job_id), 'origin') for job_id in job_ids]
        grouped: dict[str, list[str]] = {}
        for job_id, origin in zip(job_ids, ask(self._connection, commands) if commands else [], strict=True):
            grouped.setdefault((origin or b'').decode(), []).append(job_id)
        return grouped
