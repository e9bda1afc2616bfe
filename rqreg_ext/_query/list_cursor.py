"""Iteration over a list, such as a queue, while other clients change it.

Workers take jobs from the head, and jobs are added at both ends or removed anywhere. Only LLEN and LRANGE are used,
and only LRANGE by a user without the right to LLEN.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .._fastpath.exchange import INTEGER, TEXTS, VALUE, ask, exchange, without_errors
from .._fastpath.server_errors import is_denied

# How many entries that were already read are read again with the next ones, to see by how much these have moved. If
# they have moved farther, _WIDENED times as many are read again.
_OVERLAP, _WIDENED = 128, 8


class ListPage(NamedTuple):
    """Some entries of the list, and the place of each when it was read, counted from the tail: 1 is the last entry."""

    members: list[str]
    places: Sequence[int]


def count_of(connection: Any, key: str) -> int:
    """Return the number of entries. They are read if the user has no right to LLEN, which RQ sends for no listing."""
    (count,) = exchange(connection, [(INTEGER, 'LLEN', key)])
    if is_denied(count):
        (entries,) = ask(connection, [(VALUE, 'LRANGE', key, 0, -1)])
        return len(entries)
    (length,) = without_errors([count])
    return int(length)


class ListCursor:
    """A position in a list: the entries that were read last.

    Places are counted from the tail, so that what is taken from the head moves no entry. What is added at the tail, or
    removed before it, does. So each read begins with entries that were already read. If the first one was not, entries
    may have been passed over, and more is read again; the hashes of all entries tell then which of them were read.

    The iteration from the head ends before the entries that were added at the tail since it began.

    Args:
        connection: The client.
        key: The key of the list.
        chunk_size: How many entries to read at a time.
        desc: Whether to begin at the tail.
        is_removed: Whether the caller removes what was read during the iteration. Then entries that are added at the
            head may leave as many at the tail unread.
    """

    def __init__(
        self, connection: Any, key: str, chunk_size: int, desc: bool = False, is_removed: bool = False
    ) -> None:
        self._connection = connection
        self._key = key
        self._size = chunk_size
        self._desc = desc
        self._is_removed = is_removed
        # What was read last, in the order of reading.
        self._edge: list[str] = []
        # Eight octets for each entry. What they say is only needed if entries have moved far.
        self._hashes = array('q')
        self._read: set[int] | None = None

    def member_chunks(self) -> Iterator[list[str]]:
        """Yield the entries in chunks.

        One round trip, and one per chunk; a few more if entries have moved far. Raises redis.exceptions.RedisError,
        and UnicodeDecodeError for an entry that is not UTF-8.
        """
        return (page.members for page in self.pages())

    def pages(self) -> Iterator[ListPage]:
        """Yield the entries in chunks, with their places."""
        return self._from_tail() if self._desc else self._from_head()

    def _from_head(self) -> Iterator[ListPage]:
        # How many entries are left to be read, and how many were added at the tail since the iteration began.
        left = count_of(self._connection, self._key)
        added = 0
        while left > added:
            behind = max(left - self._size, added)
            # At the head, fewer entries are returned than asked for.
            overlap = max(len(self._edge), 1)
            found, is_at_head = self._range(left + overlap, behind)
            while not (is_at_head or self._was_read(found[0])):
                overlap = self._widen(overlap)
                found, is_at_head = self._range(left + overlap, behind)
            self._check_first(found[:1])
            known = self._count_of_known(found)
            if known or (is_at_head and self._is_removed):
                # behind + len(found) - known entries are left, and `left` were expected.
                added += max(behind + len(found) - known - left, 0)
            page = self._unread(found, behind + len(found), -1)
            left = behind
            if page.members:
                yield page

    def _from_tail(self) -> Iterator[ListPage]:
        behind = 0
        while True:
            overlap = len(self._edge)
            start = max(behind - overlap, 0)
            found, is_at_head = self._range(behind + self._size, start)
            while start and not (found and self._was_read(found[-1])):
                overlap = self._widen(overlap)
                start = max(behind - overlap, 0)
                found, is_at_head = self._range(behind + self._size, start)
            self._check_first(found[-1:])
            behind = start + len(found)
            found.reverse()
            page = self._unread(found, start + 1, 1)
            if page.members:
                yield page
            if is_at_head:
                return

    def _range(self, first: int, behind: int) -> tuple[list[str], bool]:
        """Return the entries from a place to the head of `behind` others, and whether they begin at the head."""
        (found,) = ask(self._connection, [(TEXTS, 'LRANGE', self._key, -first, -behind - 1)])
        return found, len(found) < first - behind

    def _widen(self, overlap: int) -> int:
        self._know_all()
        return overlap * _WIDENED

    def _check_first(self, first: Sequence[str]) -> None:
        """Know all that was read if what is read now may begin before the edge."""
        if first and len(self._hashes) > len(self._edge) and not self._was_read(first[0]):
            self._know_all()

    def _know_all(self) -> None:
        if self._read is None:
            self._read = set(self._hashes)

    def _was_read(self, entry: str) -> bool:
        return entry in self._edge if self._read is None else hash(entry) in self._read

    def _count_of_known(self, found: Sequence[str]) -> int:
        """Return how many entries there are up to the last one that was read; 0 if none was."""
        if self._read is None:
            known = set(self._edge)
            return next((index for index in range(len(found), 0, -1) if found[index - 1] in known), 0)
        return next((index for index in range(len(found), 0, -1) if hash(found[index - 1]) in self._read), 0)

    def _unread(self, found: list[str], place: int, step: int) -> ListPage:
        """Return those that were not read yet, and note that they are now. `place` is that of the first."""
        overlap = len(self._edge)
        if self._read is None and found[:overlap] == self._edge:
            page = ListPage(found[overlap:], range(place + step * overlap, place + step * len(found), step))
        else:
            page = self._select(found, place, step)
        hashes = list(map(hash, page.members))
        self._hashes.extend(hashes)
        if self._read is not None:
            self._read.update(hashes)
        self._edge = [*self._edge, *page.members][-_OVERLAP:]
        return page

    def _select(self, found: Sequence[str], place: int, step: int) -> ListPage:
        edge = Counter(self._edge)
        members, places = [], []
        for entry in found:
            if self._read is not None:
                is_new = hash(entry) not in self._read
            else:
                is_new = not edge[entry]
                edge[entry] -= not is_new
            if is_new:
                members.append(entry)
                places.append(place)
            place += step
        return ListPage(members, places)
