"""A terminal that can be looked at: a shell in tmux."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from system_packages import ensure_programs

SECONDS = 60.0
PROMPT = 'shell>'


def needs_tmux() -> None:
    """Skip the test where there is no tmux, and none can be installed."""
    if ensure_programs(['tmux'], print):
        pytest.skip('tmux is not installed, and may not be: on Debian, apt-get install tmux')


class Window:
    """A window of tmux, in which a shell runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tmux(self, *words: str) -> str:
        """Run a command of tmux, and return what it prints."""
        command = ['tmux', '-u', '-S', str(self._socket), '-f', '/dev/null', *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout

    @property
    def screen(self) -> str:
        """What is on the screen."""
        return self.tmux('capture-pane', '-p')

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        return self.screen.rstrip('\n').split('\n')

    def styled(self) -> str:
        """Return what is on the screen, with escape sequences for styles."""
        return self.tmux('capture-pane', '-p', '-e')

    def flag(self, name: str) -> str:
        """Return the value of a variable of the window."""
        return self.tmux('display-message', '-p', f'#{{{name}}}').strip()

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self.tmux('send-keys', *keys)

    def type(self, text: str) -> None:
        """Type a text."""
        self.tmux('send-keys', '-l', text)

    def run(self, command: str) -> None:
        """Have the shell run a command."""
        self.type(command)
        self.press('Enter')

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self.tmux('resize-window', '-x', str(columns), '-y', str(lines))

    def wait_for(self, *patterns: str, gone: str = '') -> str:
        """Wait until the screen matches all patterns, and has not the text `gone`; return it."""
        deadline = time.monotonic() + SECONDS
        while True:
            screen = self.screen
            if all(re.search(pattern, screen) for pattern in patterns) and not (gone and gone in screen):
                return screen
            assert time.monotonic() < deadline, f'{patterns} not on the screen:\n{screen}'
            time.sleep(0.05)


@contextmanager
def window(folder: Path, environment: Mapping[str, str], columns: int = 80, lines: int = 24) -> Iterator[Window]:
    """A window whose shell has these environment variables."""
    opened = Window(folder / 'tmux')
    shell = shutil.which('bash') or '/bin/sh'
    variables = {**environment, 'LC_ALL': 'C.UTF-8', 'PS1': f'{PROMPT} ', 'TERM': 'screen'}
    words = ['env', '-i', *(f'{name}={value}' for name, value in variables.items())]
    command = shlex.join([*words, shell, '--norc', '--noprofile'])
    opened.tmux('new-session', '-d', '-x', str(columns), '-y', str(lines), command)
    try:
        opened.wait_for(PROMPT)
        yield opened
    finally:
        opened.tmux('kill-server')


def rqreg(*words: str) -> str:
    """Return the command line of `rqreg`."""
    return shlex.join([sys.executable, '-m', 'rqreg_ext.cli', *words])
