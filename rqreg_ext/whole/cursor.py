"""A walk through a sorted set that others change: complete for the entries that stay, and in constant memory.

Plain reads only, so that it works on replicas, and for users without EVAL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._exchange import ENTRIES, INTEGER, TEXTS, VALUE, Command, ask
from .._rights import is_denied

# (member, score), as a range WITHSCORES has them.
Entry = tuple[str, float]

# Ranks that are looked at in one round trip while a place among entries of equal scores is searched.
_PROBES = 31


class _Denied(Exception):
    """The user may not do a command of the walk."""


class Cursor:
    """A place in the order of a sorted set: that of the last entry read.

    It is the entry itself, score and member: a rank means another entry as soon as one in front of it comes or goes.
    The rank is kept as a hint of where to read on. What is read there begins with the entry in front of it: where that
    is not ahead of the cursor, nothing is left out; where it is, entries have gone, and the rank is found anew.
    The walk ends at the entry that is the last one when it begins, so it ends.
    A user who may do no more than ZRANGE, with which RQ reads a registry, gets what is left of it in one read.
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
        # Whether entries in front of the cursor went between the last chunks: the rank is found first then.
        self._shifts = False
        self._has_begun = False
        self._place = self._end = ('', 0.0)

    def chunks(self) -> Iterator[list[Entry]]:
        """Read to the end: one round trip for each chunk, and a few more where entries in front of it have gone.

        Raises redis.exceptions.RedisError; UnicodeDecodeError for a member that is no UTF-8.
        """
        try:
            yield from self._chunks()
        except _Denied:
            yield from self._rest()

    def _chunks(self) -> Iterator[list[Entry]]:
        entries, is_last = self._begin()
        while True:
            if entries:
                self._place = entries[-1]
                yield entries
            if is_last:
                return
            self._catch_up()
            entries, is_last = self._read_on()

    def member_chunks(self) -> Iterator[list[str]]:
        """Read to the end as chunks() does, members only: the server takes most of its time to write out scores."""
        try:
            yield from self._member_chunks()
        except _Denied:
            for entries in self._rest():
                yield [member for member, _ in entries]

    def _member_chunks(self) -> Iterator[list[str]]:
        entries, is_last = self._begin()
        while True:
            if entries:
                self._place = entries[-1]
                yield [member for member, _ in entries]
            if is_last:
                return
            self._catch_up()
            while members := self._read_members():
                yield members
                self._catch_up()
            entries, is_last = self._read_on()

    def _rest(self) -> Iterator[list[Entry]]:
        """Read all entries at once, and yield those that the walk has not come to yet."""
        (entries,) = ask(self._connection, [(ENTRIES, 'ZRANGE', self._key, 0, -1, 'WITHSCORES')])
        if self._desc:
            entries.reverse()
        low, high = float(self._min), float(self._max)
        entries = [entry for entry in entries if low <= entry[1] <= high]
        if self._has_begun:
            entries = [entry for entry in self._without_passed(entries) if not self._is_behind(entry, self._end)]
        for start in range(0, len(entries), self._chunk_size):
            yield entries[start : start + self._chunk_size]

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return ask(self._connection, commands)
        except Exception as error:
            if is_denied(error):
                raise _Denied from error
            raise

    def _catch_up(self) -> None:
        """Find the rank first, where entries in front of the cursor keep going."""
        if self._shifts:
            rank = self._find_rank()
            self._shifts = rank != self._rank
            self._rank = rank

    def _read_members(self) -> list[str]:
        """Read the next chunk where that takes no scores but those of its ends; empty where it does."""
        # Where all that was read is gone, nothing is in front of what is read now.
        is_at_start = self._rank == 0
        first, last = max(0, self._rank - 1), self._rank + self._chunk_size - 1
        ends = [(ENTRIES, self._range, self._key, rank, rank, 'WITHSCORES') for rank in (first, last)]
        # Looked at before and after, for others may have their turn in between.
        *before, members, begins, stops = self._ask([*ends, (TEXTS, self._range, self._key, first, last), *ends])
        if before != [begins, stops] or not begins or not stops or not self._is_behind(self._end, stops[0]):
            return []
        if not (self._is_behind(begins[0], self._place) if is_at_start else begins[0] == self._place):
            return []
        if members[:1] + members[-1:] != [begins[0][0], stops[0][0]]:
            return []
        self._place = stops[0]
        self._rank += self._chunk_size
        if not is_at_start:
            del members[0]
        return members  # type: ignore[no-any-return]

    def _begin(self) -> tuple[list[Entry], bool]:
        """Read the first chunk, and where the walk will end."""
        up = ('ZRANGEBYSCORE', self._key, self._min, self._max, 'WITHSCORES', 'LIMIT', 0)
        down = ('ZREVRANGEBYSCORE', self._key, self._max, self._min, 'WITHSCORES', 'LIMIT', 0)
        forth, back = (down, up) if self._desc else (up, down)
        outside = (f'({self._max}', '+inf') if self._desc else ('-inf', f'({self._min}')
        entries, last, rank = self._ask(
            [(ENTRIES, *forth, self._chunk_size), (ENTRIES, *back, 1), (INTEGER, 'ZCOUNT', self._key, *outside)]
        )
        if not last:
            return [], True
        self._rank = rank + len(entries)
        self._end = last[0]
        self._has_begun = True
        return self._up_to_end(entries, len(entries) < self._chunk_size)

    def _read_on(self) -> tuple[list[Entry], bool]:
        """Read the next chunk, and whether it is the last one."""
        failures = 0
        while True:
            # Where entries keep going while we look, reading begins earlier.
            start = max(0, self._rank - (1 if failures < 2 else 1 << failures + 5))
            wanted = self._rank - start + self._chunk_size
            (entries,) = self._ask([(ENTRIES, self._range, self._key, start, start + wanted - 1, 'WITHSCORES')])
            if start > 0 and (not entries or self._is_behind(entries[0], self._place)):
                failures += 1
                self._shifts = True
                self._rank = self._find_rank()
                continue
            self._rank = start + len(entries)
            is_last = len(entries) < wanted
            unread = self._without_passed(entries)
            if unread or is_last:
                return self._up_to_end(unread, is_last)
            # More came in front of the cursor than a chunk holds.
            self._rank = max(self._rank, self._find_rank())

    def _find_rank(self) -> int:
        """Return how many entries are not ahead of the cursor; a guess, where others change them meanwhile."""
        member, score = self._place
        beyond, from_it = (f'({score!r}', f'{score!r}')
        before, with_equals = (
            ((beyond, '+inf'), (from_it, '+inf')) if self._desc else (('-inf', beyond), ('-inf', from_it))
        )
        rank, low, high = self._ask(
            [
                (VALUE, self._rank_of, self._key, member),
                (INTEGER, 'ZCOUNT', self._key, *before),
                (INTEGER, 'ZCOUNT', self._key, *with_equals),
            ]
        )
        # The entry may have another score by now.
        if rank is not None and low <= rank < high:
            return int(rank) + 1
        return self._find_rank_between(low, high)

    def _find_rank_between(self, low: int, high: int) -> int:
        """Find it among entries of one score, of which there may be any number."""
        while low < high:
            step = (high - low) // (_PROBES + 1) + 1
            ranks = range(low + step - 1, high, step)
            probes = self._ask([(ENTRIES, self._range, self._key, rank, rank, 'WITHSCORES') for rank in ranks])
            for rank, entries in zip(ranks, probes, strict=True):
                if not entries or self._is_behind(entries[0], self._place):
                    high = rank
                    break
                low = rank + 1
        return low

    def _is_behind(self, entry: Entry, other: Entry) -> bool:
        """Tell whether the walk comes to an entry later than to the other."""
        if self._desc:
            entry, other = other, entry
        # As Redis orders them: by score, then by the members' bytes, whose order is that of their code points.
        return (entry[1], entry[0]) > (other[1], other[0])

    def _without_passed(self, entries: list[Entry]) -> list[Entry]:
        passed = 0
        while passed < len(entries) and not self._is_behind(entries[passed], self._place):
            passed += 1
        return entries[passed:]

    def _up_to_end(self, entries: list[Entry], is_last: bool) -> tuple[list[Entry], bool]:
        while entries and not self._is_behind(self._end, entries[-1]):
            is_last = True
            if entries[-1] == self._end:
                break
            entries.pop()
        return entries, is_last
