"""Which jobs queues were seen to hold, in bounded memory."""

from __future__ import annotations

# About 70 bytes each.
MOST_HELD = 500_000


class Held:
    """Job ids, of which one slice is remembered at a time: there are as many walks through the queues as slices.

    started: those in registries of started jobs, of which there are few.
    """

    def __init__(self, expected: int = 0) -> None:
        self.started: set[str] = set()
        self.slices = -(-expected // MOST_HELD) or 1
        self.slice = 0
        self._hashes: set[int] = set()

    def begin(self, number: int) -> None:
        """Forget the slice before."""
        self.slice = number
        self._hashes.clear()

    def covers(self, job_id: str) -> bool:
        """Tell whether this is a job of the slice that is remembered."""
        return self.slices == 1 or hash(job_id) % self.slices == self.slice

    def add(self, job_id: str) -> bool:
        """Remember a job; tell whether it was remembered already."""
        if not self.covers(job_id):
            return False
        size = len(self._hashes)
        self._hashes.add(hash(job_id))
        return len(self._hashes) == size

    def __contains__(self, job_id: str) -> bool:
        return job_id in self.started or hash(job_id) in self._hashes
