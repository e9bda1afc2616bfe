"""How many jobs one run of a script gets: Redis serves no other client while a script runs."""

from __future__ import annotations

# After this time a script starts no further job.
SCRIPT_MICROSECONDS = 2000
# How many ids are passed to a script: the first time, at most, and at most if the server's scripts have no clock.
FIRST_CHUNK, _LARGEST_CHUNK, _LARGEST_WITHOUT_CLOCK = 100, 2000, 200


class ChunkSizer:
    """How many ids to pass to a script, so that it processes most of them within SCRIPT_MICROSECONDS."""

    def __init__(self, chunk_size: int | None) -> None:
        self._most = _LARGEST_CHUNK if chunk_size is None else min(chunk_size, _LARGEST_CHUNK)
        self.size = min(FIRST_CHUNK, self._most)

    def adjust(self, processed: int, microseconds: int) -> None:
        """Adjust the size to the time that a script took; 0 microseconds if its server has no clock for scripts."""
        most = self._most if microseconds else min(self._most, _LARGEST_WITHOUT_CLOCK)
        self.size = max(1, min(most, processed * SCRIPT_MICROSECONDS // max(microseconds, 1), 2 * self.size))
