"""A proxy before a server that, when asked to, reads what a client sends a little at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

PORTION = 1 << 15
PAUSE = 0.02


class SlowReader:
    """The proxy, on `port` of the loopback interface; a context manager. `taken` is how much it took while slow."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PORTION)
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen()
        self.port: int = self.listener.getsockname()[1]
        self.slow = threading.Event()
        self.taken = 0
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> SlowReader:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for end in [self.listener, *self._sockets]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(('127.0.0.1', self.server_port))
                self._sockets += [client, server]
                threading.Thread(target=self._pass_commands, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass_replies, args=(server, client), daemon=True).start()

    def _pass_commands(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := client.recv(PORTION):
                if self.slow.is_set():
                    self.taken += len(octets)
                    time.sleep(PAUSE)
                server.sendall(octets)

    @staticmethod
    def _pass_replies(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := server.recv(PORTION):
                client.sendall(octets)
