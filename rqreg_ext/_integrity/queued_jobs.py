"""Sets of the jobs that were read in queues and registries, in limited memory."""

from __future__ import annotations

from collections.abc import Sequence

# How many ids are remembered at a time, at about 70 bytes each.
MOST_REMEMBERED = 500_000


class QueuedJobs:
    """Job ids, of which one group is remembered at a time: the queues are read once for each group.

    started: the ids in registries of started jobs, all of which are remembered.
    """

    def __init__(self, expected: int = 0) -> None:
        self.started: set[str] = set()
        self.groups = -(-expected // MOST_REMEMBERED) or 1
        self.group = 0
        self._hashes: set[int] = set()

    def begin(self, number: int) -> None:
        """Forget all ids, and remember those of this group from now on."""
        self.group = number
        self._hashes.clear()

    def covers(self, job_id: str) -> bool:
        """Return whether the job belongs to the current group."""
        return self.groups == 1 or hash(job_id) % self.groups == self.group

    def add(self, job_id: str) -> bool:
        """Remember a job. Return whether it was remembered already."""
        if not self.covers(job_id):
            return False
        size = len(self._hashes)
        self._hashes.add(hash(job_id))
        return len(self._hashes) == size

    def __contains__(self, job_id: str) -> bool:
        return job_id in self.started or hash(job_id) in self._hashes


class KnownJobs:
    """Jobs that were read in a registry, and need not be looked for there again: as many as are remembered."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add_all(self, job_ids: Sequence[str]) -> None:
        """Remember jobs."""
        if len(self._hashes) < MOST_REMEMBERED:
            self._hashes.update(map(hash, job_ids))

    def without(self, job_ids: Sequence[str]) -> list[str]:
        """Return the other jobs."""
        return [job_id for job_id in job_ids if hash(job_id) not in self._hashes]
