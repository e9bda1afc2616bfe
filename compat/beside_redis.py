"""Run a command with a private Redis server on port 6379, inside namespaces of its own (see network.py).

python beside_redis.py [--certificate FILE] [--beat FILE] -- COMMAND...
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tools'))

from private_redis import PrivateRedis
from tls_proxy import TlsProxy

PORT = 6379
TLS_PORT = 9736
# RQ's longest test that comes to its end takes 66 seconds. One that goes on is interrupted again.
LIMIT_SECONDS = 150.0
LOOK_SECONDS = 5.0
# As in plugin/too_long.py. RQ uses SIGRTMIN.
INTERRUPTION = signal.SIGRTMAX


@contextlib.contextmanager
def watching(beat: Path) -> Iterator[None]:
    """Interrupt tests that began more than LIMIT_SECONDS ago, by the word of plugin/too_long.py in this file."""

    def look(*_: object) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid, began = beat.read_text(encoding='ascii').split()
            if time.monotonic() - float(began) > LIMIT_SECONDS:
                os.kill(int(pid), INTERRUPTION)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        yield
    finally:
        # The interpreter, at its end, would not survive it.
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(command: list[str]) -> int:
    """Run the command, and return its exit status as a shell does.

    This is the first process of its namespace, so orphans are its children: RQ's tests ask whether a process that was
    killed is gone, which takes a parent that waits for it. What is left at the end ends with this process.
    """
    process = subprocess.Popen(command, start_new_session=True)
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main() -> None:
    """Start the server, run the command, and end with its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--certificate', help='certificate and key in one file: also serve TLS, on port 9736')
    parser.add_argument('--beat', type=Path, help='interrupt tests that take too long, by what pytest writes here')
    parser.add_argument('command', nargs='+')
    arguments = parser.parse_args()
    server = PrivateRedis()
    server.port = PORT
    with contextlib.ExitStack() as servers:
        servers.enter_context(server)
        if arguments.certificate:
            servers.enter_context(TlsProxy(PORT, arguments.certificate, arguments.certificate, port=TLS_PORT))
        if arguments.beat:
            servers.enter_context(watching(arguments.beat))
        status = run(arguments.command)
    sys.exit(status)


if __name__ == '__main__':
    main()
