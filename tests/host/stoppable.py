"""A private Redis that can be stopped (SIGSTOP) and continued, to act as a server that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from private_redis import PrivateRedis

from .patience import PATIENCE

# In a process of its own: it must act even when a call that waits for the server holds the GIL of this one.
RESCUE = 'import os, signal, sys, time; time.sleep(float(sys.argv[1])); os.kill(int(sys.argv[2]), signal.SIGCONT)'


class StoppableRedis(PrivateRedis):
    """A PrivateRedis that can be `stopped`: the kernel still accepts connections for it, and nothing is answered."""

    def halt(self) -> None:
        """Stop the server, and return when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Let the server run again, and return when it does."""
        os.kill(self.pid, signal.SIGCONT)
        os.waitid(os.P_PID, self.pid, os.WCONTINUED)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server for the length of the block; an error if something had to rescue the block from it."""
        self.halt()
        try:
            yield
        finally:
            rescued = os.waitid(os.P_PID, self.pid, os.WCONTINUED | os.WNOHANG)
            if rescued is None:
                self.go_on()
        if rescued is not None:
            raise RuntimeError('something waited for the stopped server until the rescuer let it go on')

    @contextmanager
    def rescued(self) -> Iterator[None]:
        """Let a stopped server go on when patience ends: then a call that should not wait for it comes back, wrong."""
        rescuer = subprocess.Popen([sys.executable, '-S', '-c', RESCUE, str(PATIENCE), str(self.pid)])
        try:
            yield
        finally:
            rescuer.kill()
            rescuer.wait()
