"""Signals sent from outside: a process that sends this one a signal after a delay, whichever thread holds the GIL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import TracebackType


class Sender:
    """Sends SIGINT to this process `after(seconds)`, from a process of its own; a context manager."""

    def __init__(self) -> None:
        command = [sys.executable, '-S', __file__, str(os.getpid())]
        # A session of its own: a Ctrl-C typed at the terminal is not for it.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
        )
        self._await_line()

    def _await_line(self) -> None:
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError('the sender of signals has died')

    def after(self, seconds: float) -> None:
        """Send the signal when that time has passed; returns at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(f'{seconds}\n')

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Send SIGINT to the process of the first argument, after each number of seconds read."""
    print('ready', flush=True)
    for line in sys.stdin:
        time.sleep(float(line))
        os.kill(int(sys.argv[1]), signal.SIGINT)


if __name__ == '__main__':
    main()
