"""Cursors over a sorted set that other clients change between any two of our commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from depth import IS_DEEP
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rqreg_ext._fastpath.exchange import Command, ask
from rqreg_ext._query import cursor
from rqreg_ext._query.cursor import Cursor, Entry

if TYPE_CHECKING:
    import redis

KEY = 'walked'
# Few of them, so that changes often concern entries near the cursor. The order of some by bytes is not that by UTF-16.
MEMBERS = [*'abcdefgh', '', 'é', '\uffff', '𝄞', 'a:b', 'ab']
SCORES = [float('-inf'), -1.5, 0.0, 1.0, 2.0, 1700000000.0, 1e300, float('inf')]
# A command of another client.
Change = tuple[str, ...]

ENTRIES = st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(SCORES))
CHANGES = st.one_of(
    st.builds(
        lambda member, score: ('ZADD', KEY, repr(score), member), st.sampled_from(MEMBERS), st.sampled_from(SCORES)
    ),
    st.builds(lambda members: ('ZREM', KEY, *members), st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=5)),
    st.just(('ZREMRANGEBYRANK', KEY, '0', '2')),
    st.just(('DEL', KEY)),
    st.just(('PING',)),
)
BOUND = st.one_of(st.none(), st.sampled_from(SCORES))


class OtherClients:
    """Changes the set before each of our commands, and records which entries were there, and which stayed."""

    def __init__(self, connection: redis.Redis, changes: Sequence[Change]) -> None:
        self._connection = connection
        self._changes = iter(changes)
        self.seen = set(self._now())
        self.stayed = set(self.seen)

    def _now(self) -> list[Entry]:
        return [(member.decode(), score) for member, score in self._connection.zrange(KEY, 0, -1, withscores=True)]

    def change(self) -> None:
        """Make the next change."""
        change = next(self._changes, None)
        if change is not None:
            self._connection.execute_command(*change)
            now = set(self._now())
            self.stayed &= now
            self.seen |= now

    def ask(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        """Replace rqreg_ext._fastpath.exchange.ask(), with a change before each command."""
        replies = []
        for command in commands:
            self.change()
            replies += ask(connection, [command])
        return replies


def in_order(entries: list[Entry], desc: bool) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry[1], entry[0].encode()), reverse=desc)


def within(entries: set[Entry], low: float | None, high: float | None) -> set[Entry]:
    return {
        (member, score)
        for member, score in entries
        if (low is None or score >= low) and (high is None or score <= high)
    }


@pytest.fixture
def others(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OtherClients]:
    """Return a function that fills the set, and has other clients change it during the test."""

    def populate(entries: dict[str, float], changes: Sequence[Change]) -> OtherClients:
        connection.flushdb()
        if entries:
            connection.zadd(KEY, entries)
        them = OtherClients(connection, changes)
        monkeypatch.setattr(cursor, 'ask', them.ask)
        return them

    return populate


EXAMPLES = settings(
    max_examples=3000 if IS_DEEP else 300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WALK = {
    'entries': ENTRIES,
    'changes': st.lists(CHANGES, max_size=40),
    'chunk_size': st.integers(1, 5),
    'desc': st.booleans(),
    'low': BOUND,
    'high': BOUND,
}


@EXAMPLES
@given(**WALK)
def test_cursor_yields_each_unchanged_entry_once(
    connection: redis.Redis,
    others: Callable[..., OtherClients],
    entries: dict[str, float],
    changes: list[Change],
    chunk_size: int,
    desc: bool,
    low: float | None,
    high: float | None,
) -> None:
    them = others(entries, changes)
    chunks = list(Cursor(connection, KEY, chunk_size, desc, low, high).chunks())
    walked = [entry for chunk in chunks for entry in chunk]
    assert within(them.stayed, low, high) <= set(walked) <= within(them.seen, low, high)
    assert walked == in_order(walked, desc)
    assert len(set(walked)) == len(walked)
    assert all(chunks)


# After "b" to "d" were read, and before the ends are read again, "d" gets a score after that of "e", and "a" is
# removed, so that "d" has the same rank as before.
LAST_MOVED = [*6 * [('PING',)], ('ZADD', KEY, '5.5', 'd'), ('ZREM', KEY, 'a')]


@EXAMPLES
@given(**WALK)
@example({member: float(n) for n, member in enumerate('abcdefgh', 1)}, LAST_MOVED, 2, False, None, None)
def test_cursor_yields_each_unchanged_member_once(
    connection: redis.Redis,
    others: Callable[..., OtherClients],
    entries: dict[str, float],
    changes: list[Change],
    chunk_size: int,
    desc: bool,
    low: float | None,
    high: float | None,
) -> None:
    them = others(entries, changes)
    chunks = Cursor(connection, KEY, chunk_size, desc, low, high).member_chunks()
    walked = [member for chunk in chunks for member in chunk]
    stayed = [member for member, _ in in_order(list(within(them.stayed, low, high)), desc)]
    assert [member for member in walked if member in stayed] == stayed
    assert set(walked) <= {member for member, _ in within(them.seen, low, high)}


class Trips:
    """Counts the round trips, and keeps the length of the longest reply."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.most = 0
        monkeypatch.setattr(cursor, 'ask', self._ask)

    def _ask(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        self.count += 1
        replies = ask(connection, commands)
        self.most = max([self.most, *(len(reply) for reply in replies if isinstance(reply, list))])
        return replies


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Trips:
    return Trips(monkeypatch)


def fill(connection: redis.Redis, count: int, score: Callable[[int], float]) -> list[str]:
    members = [f'{number:06}' for number in range(count)]
    for start in range(0, count, 10000):
        connection.zadd(KEY, {member: score(int(member)) for member in members[start : start + 10000]})
    return members


def walk(connection: redis.Redis, chunk_size: int, desc: bool) -> Iterator[Entry]:
    return (entry for chunk in Cursor(connection, KEY, chunk_size, desc).chunks() for entry in chunk)


@pytest.mark.parametrize('desc', [False, True])
def test_cursor_needs_one_round_trip_per_chunk(connection: redis.Redis, trips: Trips, desc: bool) -> None:
    fill(connection, 950, float)
    assert len(list(walk(connection, 100, desc))) == 950
    assert trips.count == 10
    trips.count = 0
    assert len(list(walk(connection, 951, desc))) == 950
    assert trips.count == 1


def test_cursor_of_missing_key_yields_nothing(connection: redis.Redis, trips: Trips) -> None:
    assert list(walk(connection, 10, False)) == []
    assert trips.count == 1


@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize('score', [lambda number: 7.0, lambda number: float('inf')], ids=['equal', 'never'])
def test_cursor_finds_position_among_equal_scores(
    connection: redis.Redis, trips: Trips, score: Callable[[int], float], desc: bool
) -> None:
    members = fill(connection, 100_000, score)
    if desc:
        members.reverse()
    entries = walk(connection, 1000, desc)
    walked = [next(entries)[0] for _ in range(60_000)]
    trips.count = 0
    # Two of three entries before the position, and the entry at the position.
    gone = [member for number, member in enumerate(members[:60_000]) if number % 3 or number == 59_999]
    connection.zrem(KEY, *gone)
    walked.append(next(entries)[0])
    # A read that fails, the counts, four probes of 31 ranks each, and the read.
    assert trips.count <= 7
    walked += [member for member, _ in entries]
    assert walked == members
    assert trips.most <= 1001


@pytest.mark.parametrize('desc', [False, True])
@pytest.mark.parametrize('size', [1, 100])
def test_cursor_when_each_entry_is_removed_after_it_is_read(
    connection: redis.Redis, trips: Trips, size: int, desc: bool
) -> None:
    members = fill(connection, 1000, float)
    for member, _ in walk(connection, size, desc):
        assert connection.zrem(KEY, member) == 1
    assert connection.exists(KEY) == 0
    assert members
    # One for each chunk, and a few when it is first seen that entries are removed.
    assert trips.count <= 1000 // size + 4


def test_cursor_while_entries_keep_being_removed(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    members = fill(connection, 5000, float)
    entries = walk(connection, 1000, False)
    walked = [next(entries)[0] for _ in range(4000)]
    count = 0

    def removing(connection: redis.Redis, commands: Sequence[Command]) -> list[Any]:
        nonlocal count
        count += 1
        connection.zremrangebyrank(KEY, 0, 9)
        return ask(connection, commands)

    monkeypatch.setattr(cursor, 'ask', removing)
    walked += [member for member, _ in entries]
    assert walked == members
    # Not only after everything before the position was removed.
    assert count < 20


def test_cursor_when_more_than_a_chunk_is_added_before_it(connection: redis.Redis, trips: Trips) -> None:
    members = fill(connection, 300, float)
    entries = walk(connection, 100, False)
    walked = [next(entries)[0] for _ in range(100)]
    connection.zadd(KEY, {f'new-{number}': -1 for number in range(50_000)})
    walked += [member for member, _ in entries]
    assert walked == members
    assert trips.count <= 7


def test_cursor_ignores_entries_added_after_the_last_one(connection: redis.Redis) -> None:
    members = fill(connection, 50, float)
    walked = []
    for number, (member, _) in enumerate(walk(connection, 3, False)):
        connection.zadd(KEY, {f'later-{number}': 1000 + number})
        walked.append(member)
    assert walked == members
