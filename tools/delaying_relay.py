"""Network delay between clients and a server on the loopback interface, by a process of its own.

What comes is passed on so much later, each way, in its order: the delay of a distance, which takes nothing from the
throughput.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType

BLOCK = 1 << 16


class DelayingRelay:
    """A TCP endpoint on `port` of the loopback interface, before a server's port; a context manager.

    milliseconds: how long everything takes, each way; a round trip takes twice that.
    """

    def __init__(self, server_port: int, milliseconds: float) -> None:
        command = [sys.executable, '-S', __file__, str(server_port), str(milliseconds)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> DelayingRelay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()


def _relay(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """Pass on what comes until the source ends."""
    blocks: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_send, args=(blocks, target), daemon=True).start()
    octets = b'.'
    while octets:
        try:
            octets = source.recv(BLOCK)
        except OSError:
            octets = b''
        blocks.put((time.monotonic() + seconds, octets))


def _send(blocks: queue.SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
    """Send each block when its time has come; nothing stands for the end."""
    with contextlib.suppress(OSError):
        while True:
            due, octets = blocks.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not octets:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(octets)


def _serve(listener: socket.socket, server_port: int, seconds: float) -> None:
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(('127.0.0.1', server_port))
        except OSError:
            client.close()
            continue
        for source, target in ((client, server), (server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_relay, args=(source, target, seconds), daemon=True).start()


def main() -> None:
    """Serve until killed, or until standard input ends. Arguments: the server's port, milliseconds each way."""
    server_port, milliseconds = sys.argv[1:]
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    seconds = float(milliseconds) / 1000
    threading.Thread(target=_serve, args=(listener, int(server_port), seconds), daemon=True).start()
    sys.stdin.read()


if __name__ == '__main__':
    main()
