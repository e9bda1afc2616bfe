"""Reads a list in chunks while other clients push and pop, without missing ids that stay in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .._fastpath.exchange import VALUE
from .reader import ChunkReader, text_or_none

# How many of the last ids are searched in the next chunk, and by how many ids chunks overlap for that.
_ANCHOR = 8
_OVERLAP = 200
# How often to start again at the front, before the rest is read by index alone.
_MOST_RESTARTS = 8


@dataclass(frozen=True)
class Occurrences:
    """How often a job is in a list, and its first index, which is not compared as it changes with each pop."""

    count: int = 0
    index: int = field(default=0, compare=False)


NOWHERE = Occurrences()


class ListWalk:
    """Reads a list from its front to its end.

    A pop moves all ids that follow, so that the next index is not the next id. Each chunk begins a little before the
    end of the last one, and the last ids read are searched in it. If they are gone, then so is everything in front of
    them, as jobs are popped from the front: reading starts again at the front.

    is_exact: whether no id can have been read twice.
    """

    def __init__(self, reader: ChunkReader, key: str) -> None:
        self._reader = reader
        self._key = key
        self.is_exact = True

    def chunks(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the index of each chunk's first id, and its ids, without those that are not UTF-8."""
        index = restarts = 0
        anchor: list[str | None] = []
        while True:
            start, stop = max(0, index - _OVERLAP) if anchor else index, index + self._reader.chunk_size
            read = self._read(start, stop)
            first_new = _end_of_anchor(read, anchor, index - start) if anchor else 0
            if first_new is None:
                self.is_exact = False
                anchor, restarts = [], restarts + 1
                index = 0 if restarts <= _MOST_RESTARTS else index
                continue
            chunk = read[first_new:]
            yield start + first_new, [job_id for job_id in chunk if job_id is not None]
            if len(read) < stop - start:
                return
            index = stop
            anchor = [*anchor, *chunk][-_ANCHOR:]

    def _read(self, start: int, stop: int) -> list[str | None]:
        (ids,) = self._reader.values([(VALUE, 'LRANGE', self._key, start, stop - 1)])
        return [text_or_none(job_id) for job_id in ids]


def _end_of_anchor(read: list[str | None], anchor: list[str | None], expected: int) -> int | None:
    """Return the index after the anchor, nearest to the expected one; None if the anchor is not in the chunk."""
    size = len(anchor)
    if read[expected - size : expected] == anchor:
        return expected
    ends = [start + size for start in range(len(read) - size + 1) if read[start : start + size] == anchor]
    return min(ends, key=lambda end: abs(end - expected), default=None)


def find_in_list(reader: ChunkReader, key: str, job_ids: set[str]) -> dict[str, Occurrences]:
    """Return how often, and where, the list has each of these jobs, without those that it does not have.

    If an id may have been read twice, every count is 1.
    """
    found: dict[str, Occurrences] = {}
    walk = ListWalk(reader, key)
    for start, chunk in walk.chunks():
        for index, job_id in enumerate(chunk, start):
            if job_id in job_ids:
                known = found.get(job_id, Occurrences(0, index))
                found[job_id] = Occurrences(known.count + 1, known.index)
    if walk.is_exact:
        return found
    return {job_id: Occurrences(1, known.index) for job_id, known in found.items()}
