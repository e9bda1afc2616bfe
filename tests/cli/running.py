"""The command as a process: with pipes, and at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from typing import Any, NamedTuple

SECONDS = 60.0
# What would change what the command prints, or where it connects to.
_UNSET = (
    *('COLUMNS', 'NO_COLOR', 'RQREG_LOG', 'RQREG_REASON', 'SUDO_USER'),
    *('RQ_REDIS_URL', 'RQ_CONFIG', 'RQ_JOB_CLASS', 'RQ_CONNECTION_CLASS', 'RQ_KEY_PREFIX'),
)


class Ended(NamedTuple):
    """How the command ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stdout."""
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        """The JSON value on stdout."""
        return json.loads(self.out)

    @property
    def values(self) -> list[Any]:
        """The JSON value of each line on stdout."""
        return [json.loads(line) for line in self.lines]


class Command:
    """`rqreg` on a Redis."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, given: str = '', **variables: str) -> Ended:
        """Run the command with pipes, `given` on its stdin, and these environment variables."""
        ended = subprocess.run(
            words(*arguments),
            input=given,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command with pipes. Python restores what a shell in the background has SIGINT ignored for."""
        return subprocess.Popen(
            words(*arguments),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def at_terminal(self, *arguments: str, **variables: str) -> Terminal:
        """Start the command at a terminal of 80 columns."""
        return Terminal(words(*arguments), self.environment(**{'TERM': 'xterm', **variables}))

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables of the process."""
        kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
        return {**kept, 'RQ_REDIS_URL': self.url, **variables}


def words(*arguments: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, '-m', 'rqreg_ext.cli', *arguments]


class Terminal:
    """A command that runs at a terminal.

    Attributes:
        text: What it has written until now.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.text = ''
        self._screen, tty = pty.openpty()
        fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
        self._process = subprocess.Popen(
            command, env=environment, stdin=tty, stdout=tty, stderr=tty, start_new_session=True, preexec_fn=_take_over
        )
        os.close(tty)

    def wait_for(self, text: str, start: int = 0) -> None:
        """Wait until the text was written, behind this number of characters."""
        deadline = time.monotonic() + SECONDS
        while text not in self.text[start:]:
            assert time.monotonic() < deadline, self.text
            if not self._read(1.0):
                assert text in self.text[start:], self.text

    def type(self, keys: str) -> None:
        """Type something, '\\x03' for Ctrl-C."""
        os.write(self._screen, keys.encode())

    def hang_up(self) -> int:
        """Close the terminal, which sends SIGHUP, and return the exit status of the command."""
        os.close(self._screen)
        return self._process.wait(SECONDS)

    def end(self) -> int:
        """Wait for the end of the command, and return its exit status."""
        while self._read(SECONDS):
            pass
        os.close(self._screen)
        return self._process.wait(SECONDS)

    def _read(self, seconds: float) -> bool:
        """Read what was written; return whether there may be more."""
        if not select.select([self._screen], [], [], seconds)[0]:
            return seconds < SECONDS
        try:
            data = os.read(self._screen, 65536)
        except OSError:
            return False
        self.text += data.decode(errors='replace').replace('\r\n', '\n')
        return bool(data)


def _take_over() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
