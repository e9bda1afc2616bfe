"""Reads Redis in pieces, so that neither the server is held up nor memory grows with what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..._exchange import VALUE, Command, ask, exchange
from ..._rights import is_of_a_key
from ..._server_errors import is_of_whole_server
from ..cursor import Cursor, Entry

# Commands that are sent in one write.
_MOST_COMMANDS = 5000
# Keys that are asked for at once while the key space is scanned.
_SCAN_COUNT = 1000

Progress = Callable[[int, int], object]
Item = TypeVar('Item')


class Stopped(Exception):
    """The progress function said that it is enough."""


class Reader:
    """A connection, and how much was read over it.

    `progress` is called with how many things were looked at and how many there are, and ends the reading by False.
    errors: what the user may not read, by the name of the queue, or by the key of what belongs to none.
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
        """Count what was looked at, and tell of it. Raises Stopped."""
        self.entries += entries
        self.jobs += jobs
        seen = self.entries + self.jobs
        # The scan comes by keys that are no jobs, and not all of them can be counted beforehand.
        self.total = max(seen, self.total)
        if self._progress is not None and self._progress(seen, self.total) is False:
            raise Stopped

    def note_end(self) -> None:
        """Tell that there is no more."""
        self.total = self.entries + self.jobs
        self.note()

    def replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies; an error that is about one key is an exception in its place. Raises any other."""
        answers: list[Any] = []
        for start in range(0, len(commands), _MOST_COMMANDS):
            answers += exchange(self.connection, commands[start : start + _MOST_COMMANDS])
        for answer in answers:
            if isinstance(answer, Exception) and is_of_whole_server(answer):
                raise answer
        return answers

    def values(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies. Raises the first error of the server's."""
        answers: list[Any] = []
        for start in range(0, len(commands), _MOST_COMMANDS):
            answers += ask(self.connection, commands[start : start + _MOST_COMMANDS])
        return answers

    def readable(self, name: str, found: Iterator[Item]) -> Iterator[Item]:
        """Yield what is found as far as the user may read it, and note the error under this name where that ends."""
        try:
            yield from found
        except Exception as error:
            if not is_of_a_key(error):
                raise
            self.errors.setdefault(name, error)

    def entries_of(self, key: str) -> Iterator[list[Entry]]:
        """Yield the entries of a sorted set in pieces: those that stay in it, each once."""
        return Cursor(self.connection, key, self.chunk_size).chunks()

    def keys(self, pattern: str) -> Iterator[list[str]]:
        """Yield the keys that match in pieces: those that are there from beginning to end, some more than once."""
        cursor = '0'
        while True:
            (reply,) = self.values([(VALUE, 'SCAN', cursor, 'MATCH', pattern, 'COUNT', _SCAN_COUNT)])
            yield [key for key in map(text_or_none, reply[1]) if key is not None]
            cursor = text(reply[0])
            if cursor == '0':
                return


def text(value: bytes | str) -> str:
    """Return what a client gives as bytes or as str, as str."""
    return value if isinstance(value, str) else value.decode()


def text_or_none(value: bytes | str | None) -> str | None:
    """Return it as str; None for nothing, and for what is no text."""
    try:
        return None if value is None else text(value)
    except UnicodeDecodeError:
        return None


def glob_of(prefix: str) -> str:
    """Return the pattern of the keys that begin with this."""
    return ''.join(f'\\{letter}' if letter in '*?[]\\' else letter for letter in prefix) + '*'
