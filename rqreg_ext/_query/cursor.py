"""Iteration over a sorted set, in constant memory, while other clients change it.

Every entry that keeps its score is returned exactly once. Only read commands are used, so that it works on replicas,
and for users who may not run scripts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._fastpath.exchange import ENTRIES, INTEGER, TEXTS, VALUE, Command, ask
from .._fastpath.server_errors import CommandDeniedError, raising_denied
from .chunks import chunks_of

# (member, score), as a range WITHSCORES returns them.
Entry = tuple[str, float]

# How many ranks are probed in one round trip when a position among entries of equal score is searched.
_PROBES = 31


class Cursor:
    """A position in a sorted set: the score and member of the last entry that was read.

    The position is not a rank, because the rank of an entry changes when entries before it are added or removed. The
    rank is only a hint where to read the next chunk. Each read begins one entry before the hint. If that entry is not
    past the position, no entry was skipped; if it is, entries were removed, and the rank is searched for.

    The iteration ends at the entry that was last when it began. If the user may not run a needed command, the
    remaining entries are read at once by ZRANGE, the command by which RQ reads a registry.
    """

    def __init__(
        self,
        connection: Any,
        key: str,
        chunk_size: int,
        desc: bool = False,
        min_score: float | None = None,
        max_score: float | None = None,
    ) -> None:
        self._connection = connection
        self._key = key
        self._chunk_size = chunk_size
        self._desc = desc
        self._min = '-inf' if min_score is None else repr(min_score)
        self._max = '+inf' if max_score is None else repr(max_score)
        self._range, self._rank_of = ('ZREVRANGE', 'ZREVRANK') if desc else ('ZRANGE', 'ZRANK')
        self._rank = 0
        # Whether entries before the position were removed between the last two chunks. Then that is likely to go on,
        # and the rank is searched for before the next read.
        self._rank_shifts = False
        # Whether all entries before the position had been removed when the rank was last searched for.
        self._are_all_removed = False
        self._has_begun = False
        self._position = self._end = ('', 0.0)

    def chunks(self) -> Iterator[list[Entry]]:
        """Yield the entries in chunks.

        One round trip per chunk, and a few more if entries that were read have been removed. Raises
        redis.exceptions.RedisError, and UnicodeDecodeError for a member that is not UTF-8.
        """
        return self._until_denied(only_members=False)

    def member_chunks(self) -> Iterator[list[str]]:
        """Yield the members in chunks, like chunks(). It is faster: formatting the scores takes the server longest."""
        return self._until_denied(only_members=True)

    def _until_denied(self, only_members: bool) -> Iterator[list[Any]]:
        try:
            yield from self._chunks(only_members)
        except CommandDeniedError:
            for entries in self._remaining():
                yield _members_of(entries) if only_members else entries

    def _chunks(self, only_members: bool) -> Iterator[list[Any]]:
        entries, is_last = self._begin()
        while True:
            if entries:
                self._position = entries[-1]
                yield _members_of(entries) if only_members else entries
            if is_last:
                return
            self._correct_rank()
            while only_members and (members := self._read_members()):
                yield members
                self._correct_rank()
            entries, is_last = self._read_entries()

    def _remaining(self) -> Iterator[list[Entry]]:
        """Read all entries at once, and yield those that were not yielded yet."""
        (entries,) = ask(self._connection, [(ENTRIES, 'ZRANGE', self._key, 0, -1, 'WITHSCORES')])
        if self._desc:
            entries.reverse()
        low, high = float(self._min), float(self._max)
        entries = [entry for entry in entries if low <= entry[1] <= high]
        if self._has_begun:
            entries = [entry for entry in self._after_position(entries) if not self._is_past(entry, self._end)]
        yield from chunks_of(entries, self._chunk_size)

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        with raising_denied():
            return ask(self._connection, commands)

    def _correct_rank(self) -> None:
        """Search for the rank of the position, if entries before it are being removed."""
        if self._rank_shifts:
            # Whoever removes all that was read goes on with that, mostly: the next read shows whether it is so.
            rank = 0 if self._are_all_removed else self._find_rank()
            self._are_all_removed = rank == 0
            self._rank_shifts = rank != self._rank
            self._rank = rank

    def _read_members(self) -> list[str]:
        """Read the members of the next chunk, and only the scores at its ends; nothing if entries have moved."""
        # If everything that was read has been removed, there is no entry before the next chunk.
        is_at_start = self._rank == 0
        first, last = max(0, self._rank - 1), self._rank + self._chunk_size - 1
        ends = [(ENTRIES, self._range, self._key, rank, rank, 'WITHSCORES') for rank in (first, last)]
        # The ends are read before and after the members, because other clients' commands may run in between.
        *before, members, first_entries, last_entries = self._ask(
            [*ends, (TEXTS, self._range, self._key, first, last), *ends]
        )
        if before != [first_entries, last_entries] or not first_entries or not last_entries:
            return []
        if not self._is_past(self._end, last_entries[0]):
            return []
        if not (self._is_past(first_entries[0], self._position) if is_at_start else first_entries[0] == self._position):
            return []
        if members[:1] + members[-1:] != [first_entries[0][0], last_entries[0][0]]:
            return []
        self._position = last_entries[0]
        self._rank += self._chunk_size
        if not is_at_start:
            del members[0]
        return members  # type: ignore[no-any-return]

    def _begin(self) -> tuple[list[Entry], bool]:
        """Read the first chunk, and the entry at which the iteration will end; return it as _read_entries() does."""
        ascending = ('ZRANGEBYSCORE', self._key, self._min, self._max, 'WITHSCORES', 'LIMIT', 0)
        descending = ('ZREVRANGEBYSCORE', self._key, self._max, self._min, 'WITHSCORES', 'LIMIT', 0)
        forwards, backwards = (descending, ascending) if self._desc else (ascending, descending)
        outside = (f'({self._max}', '+inf') if self._desc else ('-inf', f'({self._min}')
        entries, last, rank = self._ask(
            [
                (ENTRIES, *forwards, self._chunk_size),
                (ENTRIES, *backwards, 1),
                (INTEGER, 'ZCOUNT', self._key, *outside),
            ]
        )
        if not last:
            return [], True
        self._rank = rank + len(entries)
        self._end = last[0]
        self._has_begun = True
        return self._up_to_end(entries, len(entries) < self._chunk_size)

    def _read_entries(self) -> tuple[list[Entry], bool]:
        """Read the next chunk; return it, and whether it is the last one."""
        failures = 0
        while True:
            # If entries keep being removed while we read, begin the read earlier.
            start = max(0, self._rank - (1 if failures < 2 else 32 << failures))
            requested = self._rank - start + self._chunk_size
            (entries,) = self._ask([(ENTRIES, self._range, self._key, start, start + requested - 1, 'WITHSCORES')])
            if start > 0 and (not entries or self._is_past(entries[0], self._position)):
                failures += 1
                self._rank_shifts = True
                self._rank = self._find_rank()
                continue
            self._are_all_removed &= not entries or self._is_past(entries[0], self._position)
            self._rank = start + len(entries)
            is_last = len(entries) < requested
            unread = self._after_position(entries)
            if unread or is_last:
                return self._up_to_end(unread, is_last)
            # More entries were added before the position than a chunk holds.
            self._rank = max(self._rank, self._find_rank())

    def _find_rank(self) -> int:
        """Return the number of entries up to the position; an estimate if other clients change them at the time."""
        member, score = self._position
        exclusive, inclusive = (f'({score!r}', f'{score!r}')
        before, up_to_equals = (
            ((exclusive, '+inf'), (inclusive, '+inf')) if self._desc else (('-inf', exclusive), ('-inf', inclusive))
        )
        rank, low, high = self._ask(
            [
                (VALUE, self._rank_of, self._key, member),
                (INTEGER, 'ZCOUNT', self._key, *before),
                (INTEGER, 'ZCOUNT', self._key, *up_to_equals),
            ]
        )
        # The entry may have another score by now.
        if rank is not None and low <= rank < high:
            return int(rank) + 1
        return self._find_rank_between(low, high)

    def _find_rank_between(self, low: int, high: int) -> int:
        """Search for the rank of the position among entries of equal score, of which there may be any number."""
        while low < high:
            step = (high - low) // (_PROBES + 1) + 1
            ranks = range(low + step - 1, high, step)
            probes = self._ask([(ENTRIES, self._range, self._key, rank, rank, 'WITHSCORES') for rank in ranks])
            for rank, entries in zip(ranks, probes, strict=True):
                if not entries or self._is_past(entries[0], self._position):
                    high = rank
                    break
                low = rank + 1
        return low

    def _is_past(self, entry: Entry, other: Entry) -> bool:
        """Return whether an entry comes after the other in the iteration."""
        if self._desc:
            entry, other = other, entry
        # Redis orders by score, then by the bytes of the member. For UTF-8 that is the order of the code points.
        return (entry[1], entry[0]) > (other[1], other[0])

    def _after_position(self, entries: list[Entry]) -> list[Entry]:
        already_read = 0
        while already_read < len(entries) and not self._is_past(entries[already_read], self._position):
            already_read += 1
        return entries[already_read:]

    def _up_to_end(self, entries: list[Entry], is_last: bool) -> tuple[list[Entry], bool]:
        while entries and not self._is_past(self._end, entries[-1]):
            is_last = True
            if entries[-1] == self._end:
                break
            entries.pop()
        return entries, is_last


def _members_of(entries: list[Entry]) -> list[str]:
    return [member for member, _ in entries]
