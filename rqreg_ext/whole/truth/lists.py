"""Reading a list in pieces while others push to it and pop from it: what stays in it is not missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..._exchange import VALUE
from .reader import Reader, text_or_none

# The ids by which the place of a piece is found again, and how far a list may have moved meanwhile.
_ANCHOR = 8
_OVERLAP = 200
# How often the place may be lost before the rest is read by index alone.
_MOST_RETURNS = 8


@dataclass(frozen=True)
class Occurrences:
    """How often something is in a list, and at which index it was seen first, which is no part of what is compared."""

    count: int = 0
    index: int = field(default=0, compare=False)


NOWHERE = Occurrences()


class ListWalk:
    """A walk through a list from its front to its back.

    Pops move the rest of a list, so that the next index is not the next id. Each piece begins a little earlier than the
    one before it ended, and the ids read last are looked for in it. Where they are gone, all in front of them is gone
    too, since jobs are taken from the front: then the walk goes on at the front.

    is_exact: whether nothing can have been read twice.
    """

    def __init__(self, reader: Reader, key: str) -> None:
        self._reader = reader
        self._key = key
        self.is_exact = True

    def pieces(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the index of each piece's first id, and the ids; None for what is no text is left out."""
        index, anchor, returns = 0, [], 0  # type: int, list[str | None], int
        while True:
            start, stop = max(0, index - _OVERLAP) if anchor else index, index + self._reader.chunk_size
            read = self._read(start, stop)
            fresh = _behind(read, anchor, index - start) if anchor else 0
            if fresh is None:
                self.is_exact = False
                anchor, returns = [], returns + 1
                index = 0 if returns <= _MOST_RETURNS else index
                continue
            piece = read[fresh:]
            yield start + fresh, [job_id for job_id in piece if job_id is not None]
            if len(read) < stop - start:
                return
            index = stop
            anchor = [*anchor, *piece][-_ANCHOR:]

    def _read(self, start: int, stop: int) -> list[str | None]:
        (ids,) = self._reader.values([(VALUE, 'LRANGE', self._key, start, stop - 1)])
        return [text_or_none(job_id) for job_id in ids]


def _behind(read: list[str | None], anchor: list[str | None], expected: int) -> int | None:
    """Return the index behind the anchor that is nearest to where it is expected; None where it is not."""
    size = len(anchor)
    if read[expected - size : expected] == anchor:
        return expected
    places = [place + size for place in range(len(read) - size + 1) if read[place : place + size] == anchor]
    return min(places, key=lambda place: abs(place - expected), default=None)


def find_in_list(reader: Reader, key: str, job_ids: set[str]) -> dict[str, Occurrences]:
    """Return where in the list these jobs are; those that are not there have no entry.

    A job is said to be there twice only where it cannot be that it was read twice.
    """
    found: dict[str, Occurrences] = {}
    walk = ListWalk(reader, key)
    for start, piece in walk.pieces():
        for index, job_id in enumerate(piece, start):
            if job_id in job_ids:
                before = found.get(job_id, Occurrences(0, index))
                found[job_id] = Occurrences(before.count + 1, before.index)
    if walk.is_exact:
        return found
    return {job_id: Occurrences(1, where.index) for job_id, where in found.items()}
