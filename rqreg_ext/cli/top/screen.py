"""The terminal: its modes, the alternate screen, and how lines get there."""

from __future__ import annotations

import os
import termios
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .columns import Line

# Styles: what they are with colours, and without.
_STYLES = {
    '': ('', ''),
    'bold': ('1', '1'),
    'dim': ('2', '2'),
    'red': ('31', ''),
    'green': ('32', ''),
    'yellow': ('33', ''),
    'title': ('1', '1'),
    'panel': ('36', ''),
    'focus': ('1;36', '1'),
    'selected': ('7', '7'),
    'error': ('1;31', '1;7'),
}
# The alternate screen, no cursor, and no line that goes on in the next one.
_ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J'
_LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l'


def encoded(line: Line, has_colours: bool) -> str:
    """Return a line as it is written to a terminal."""
    parts = []
    for text, style in line:
        code = _STYLES[style][not has_colours]
        parts.append(f'\x1b[{code}m{text}\x1b[m' if code else text)
    return ''.join(parts)


class Screen:
    """The alternate screen of a terminal, whose keys come one by one; a context manager that restores all of it.

    Attributes:
        keyboard: The descriptor that keys are read from.
    """

    def __init__(self, keyboard: int, display: int, encoding: str, has_colours: bool) -> None:
        self.keyboard = keyboard
        self._display = display
        self._encoding = encoding
        self._has_colours = has_colours
        self._shown: list[str] = []
        # The modes before.
        self._modes: list[Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """How many columns and lines there are."""
        try:
            found = os.get_terminal_size(self._display)
        except OSError:
            return 80, 24
        # Some terminals do not know.
        return found.columns or 80, found.lines or 24

    def enter(self) -> None:
        """Take over the terminal."""
        if self._modes is None:
            self._modes = termios.tcgetattr(self.keyboard)
        modes = [*self._modes[:6], [*self._modes[6]]]
        # Ctrl-C, Ctrl-Z and Ctrl-\ remain signals. Ctrl-S must not stop what is drawn.
        modes[0] &= ~termios.IXON
        modes[3] &= ~(termios.ECHO | termios.ICANON)
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.keyboard, termios.TCSANOW, modes)
        self._write(_ENTER)
        self._shown = []

    def leave(self) -> None:
        """Restore the terminal as it was."""
        if self._modes is None:
            return
        modes, self._modes = self._modes, None
        try:
            self._write(_LEAVE)
        finally:
            # What was typed and not read is not for the shell.
            termios.tcsetattr(self.keyboard, termios.TCSAFLUSH, modes)

    def __enter__(self) -> Screen:
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        # If the terminal is gone, there is nothing to restore, and the reason for the end matters more.
        with suppress(OSError, termios.error):
            self.leave()

    def clear(self) -> None:
        """Have the next show() write all lines."""
        self._write('\x1b[0m\x1b[2J')
        self._shown = []

    def show(self, lines: Sequence[Line]) -> None:
        """Write the lines that differ from those on the screen."""
        written = [encoded(line, self._has_colours) for line in lines]
        before = [*self._shown, *[''] * (len(written) - len(self._shown))]
        changed = [
            # What was there is erased first: at the end of a full line, that would take its last character.
            f'\x1b[{number};1H\x1b[K{line}'
            for number, (line, old) in enumerate(zip(written, before, strict=False), 1)
            if line != old
        ]
        self._shown = written
        if changed:
            self._write(''.join(changed))

    def read(self) -> bytes:
        """Return what was typed; b'' if the terminal is gone."""
        try:
            return os.read(self.keyboard, 4096)
        except OSError:
            return b''

    def _write(self, text: str) -> None:
        # What the terminal has no character for takes one cell as well.
        data = text.encode(self._encoding, 'replace')
        while data:
            data = data[os.write(self._display, data) :]
