"""Reads from Redis in chunks, so that no command blocks the server for long, and memory stays small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from .._fastpath.exchange import VALUE, Command, ask, exchange
from .._fastpath.server_errors import concerns_one_queue, concerns_whole_server
from .._query.chunks import chunks_of
from .._query.cursor import Cursor, Entry

# How many commands are sent in one write.
_MOST_COMMANDS = 5000
# COUNT of SCAN.
_SCAN_COUNT = 1000

Progress = Callable[[int, int], object]
Item = TypeVar('Item')


class Stopped(Exception):
    """The progress function returned False."""


class ChunkReader:
    """Reads over a connection, and counts what was read.

    `progress` is called with the number of entries and jobs read, and their estimated total. If it returns False,
    Stopped is raised. `errors` has the errors of what could not be read, by the name of the queue, or by a key that
    belongs to no queue.
    """

    def __init__(self, connection: Any, chunk_size: int = 1000, progress: Progress | None = None) -> None:
        self.connection = connection
        self.chunk_size = chunk_size
        self.entries = 0
        self.jobs = 0
        self.total = 0
        self.errors: dict[str, Exception] = {}
        self._progress = progress

    def note(self, entries: int = 0, jobs: int = 0) -> None:
        """Count what was read, and call `progress`. Raises Stopped."""
        self.entries += entries
        self.jobs += jobs
        done = self.entries + self.jobs
        # The total is an estimate from DBSIZE and the lengths: jobs may be added while we read.
        self.total = max(done, self.total)
        if self._progress is not None and self._progress(done, self.total) is False:
            raise Stopped

    def note_end(self) -> None:
        """Call `progress` for the last time: all is read."""
        self.total = self.entries + self.jobs
        self.note()

    def replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies. An error about one key is an exception in place of the reply; others are raised."""
        answers: list[Any] = []
        for chunk in chunks_of(commands, _MOST_COMMANDS):
            answers += exchange(self.connection, chunk)
        for answer in answers:
            if isinstance(answer, Exception) and concerns_whole_server(answer):
                raise answer
        return answers

    def values(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies. Raises the first error of the server."""
        answers: list[Any] = []
        for chunk in chunks_of(commands, _MOST_COMMANDS):
            answers += ask(self.connection, chunk)
        return answers

    def readable(self, name: str, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items until the server answers with an error about one queue; add that to `errors[name]`.

        Raises other errors.
        """
        try:
            yield from items
        except Exception as error:
            self.note_error(name, error)

    def note_error(self, name: str, error: Exception) -> None:
        """Add an error about one queue to `errors[name]`. Raises other errors."""
        if not concerns_one_queue(error):
            raise error
        self.errors.setdefault(name, error)

    def entries_of(self, key: str) -> Iterator[list[Entry]]:
        """Yield the entries of a sorted set in chunks. An entry that stays in it is yielded once."""
        return Cursor(self.connection, key, self.chunk_size).chunks()

    def keys(self, pattern: str) -> Iterator[list[str]]:
        """Yield the keys that match in chunks, as SCAN does: a key that exists throughout is yielded at least once."""
        cursor = '0'
        while True:
            (reply,) = self.values([(VALUE, 'SCAN', cursor, 'MATCH', pattern, 'COUNT', _SCAN_COUNT)])
            yield [key for key in map(text_or_none, reply[1]) if key is not None]
            cursor = text(reply[0])
            if cursor == '0':
                return


def text(value: bytes | str) -> str:
    """Return a reply as str: clients return bytes, or str with decode_responses."""
    return value if isinstance(value, str) else value.decode()


def text_or_none(value: bytes | str | None) -> str | None:
    """Return a reply as str; None for no reply, and for bytes that are not UTF-8."""
    try:
        return None if value is None else text(value)
    except UnicodeDecodeError:
        return None


def glob_of(prefix: str) -> str:
    """Return the glob pattern of keys with this prefix."""
    return ''.join(f'\\{letter}' if letter in '*?[]\\' else letter for letter in prefix) + '*'
