"""A second client, in a process of its own: how long the server lets it wait while another client is served.

`python -m benchmarks.pinger PORT` sends PING again and again, and answers each line on its standard input with what the
time since the line before was like.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from types import TracebackType

from .populations import ROOT

PAUSE_SECONDS = 0.0005


@dataclass(frozen=True)
class Latency:
    """Seconds that PING took: how often it was sent, the median, and the longest."""

    count: int
    median: float
    worst: float


class Pinger:
    """The second client's process; a context manager."""

    def __init__(self, port: int) -> None:
        self.command = [sys.executable, '-m', 'benchmarks.pinger', str(port)]

    def __enter__(self) -> Pinger:
        self._process = subprocess.Popen(
            self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.latency()
        return self

    def latency(self) -> Latency:
        """Return what it was like since this was asked last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write('\n')
        self._process.stdin.flush()
        return Latency(**json.loads(self._process.stdout.readline()))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # The end of its input is its own.
        self._process.communicate()


def _seconds_of_ping(server: socket.socket) -> float:
    start = perf_counter()
    server.sendall(b'PING\r\n')
    reply = b''
    while not reply.endswith(b'\n'):
        reply += server.recv(64)
    return perf_counter() - start


def main(port: int) -> None:
    """Ping until there is no more input."""
    # No pause of our own is to be taken for the server's.
    gc.disable()
    with socket.create_connection(('127.0.0.1', port)) as server:
        seconds = [_seconds_of_ping(server)]
        while True:
            if select.select([sys.stdin], [], [], 0)[0]:
                if not sys.stdin.readline():
                    return
                latency = {'count': len(seconds), 'median': median(seconds), 'worst': max(seconds)}
                print(json.dumps(latency), flush=True)
                seconds = []
            seconds.append(_seconds_of_ping(server))
            sleep(PAUSE_SECONDS)


if __name__ == '__main__':
    main(int(sys.argv[1]))
