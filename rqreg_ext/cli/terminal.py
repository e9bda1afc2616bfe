"""Messages on stderr, and whether there is a terminal to ask on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import click

from . import statuses

# Of a terminal that does not say.
_WIDTH = 80


def grouped(number: int) -> str:
    """Return a number in groups of three digits, for a sentence."""
    return f'{number:,}'.replace(',', ' ')


def is_utf8(text: str) -> bool:
    """Tell whether all of the text is Unicode. A word of a command line may have other octets."""
    return not any('\ud800' <= character <= '\udfff' for character in text)


def say(message: str) -> None:
    """Write a line to stderr."""
    print(f'rqreg: {message}', file=sys.stderr, flush=True)


def width_of(stream: TextIO) -> int | None:
    """Return how many columns a line may have; None if that does not matter, as in a file."""
    if os.environ.get('COLUMNS', '').isdigit():
        return int(os.environ['COLUMNS']) or None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH if stream.isatty() else None
    except OSError:
        return _WIDTH


def has_colours(stream: TextIO) -> bool:
    """Tell whether to write in colours: to a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def confirm(question: str, yes: bool) -> None:
    """Ask at the terminal, unless `yes`. Ends the command if the answer is not yes, or if there is no terminal."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        say(f'not confirmed: {question} There is no terminal to ask at: give --yes')
        raise click.exceptions.Exit(statuses.NOT_CONFIRMED)
    print(f'{question} [y/N] ', end='', file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
        say('not confirmed, nothing was changed')
        raise click.exceptions.Exit(statuses.NOT_CONFIRMED)


class Progress:
    """How much is done, on stderr if that is a terminal: as a bar if rich is installed; a context manager.

    total: None if only the functions for progress know it.
    """

    def __init__(self, total: int | None, what: str) -> None:
        self._knows_total = total is not None
        self._total = total or 0
        self._what = what
        self._done = 0
        self._before = 0
        self._shown = 0.0
        self._is_shown = sys.stderr.isatty()
        self._line: _Line | _Bar | None = None

    def add_part(self) -> Callable[[int, Any], None]:
        """Return a function for the progress of the next part, which is called with what is done of it."""
        self._before = self._done

        def report(done: int, total: Any) -> None:
            self._done = self._before + done
            if not self._knows_total:
                self._total = total
            self._show()

        return report

    def _show(self) -> None:
        now = time.monotonic()
        if self._is_shown and now - self._shown > 0.1:
            self._shown = now
            self._line = self._line or _line()
            self._line.show(self._done, self._total, self._what)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.end()


def _line() -> _Line | _Bar:
    if os.environ.get('TERM') == 'dumb':
        return _Line()
    try:
        return _Bar()
    except ImportError:
        return _Line()


class _Line:
    def show(self, done: int, total: int, what: str) -> None:
        print(f'\r\x1b[K{_amount(done, total, what)}', end='', file=sys.stderr, flush=True)

    def end(self) -> None:
        print('\r\x1b[K', end='', file=sys.stderr, flush=True)


class _Bar:
    """A bar, and the time that is left."""

    def __init__(self) -> None:
        # Imported here for start-up time: only long commands show a bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
        # Without a thread of its own, and with nothing of it left at the end.
        self._progress = Progress(
            *columns,
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task('')
        self._progress.start()

    def show(self, done: int, total: int, what: str) -> None:
        text = _amount(done, total, what)
        self._progress.update(self._task, description=text, completed=done, total=total, refresh=True)

    def end(self) -> None:
        self._progress.stop()


def _amount(done: int, total: int, what: str) -> str:
    return f'{grouped(done)} of {grouped(total)} {what}'
