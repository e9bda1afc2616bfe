"""A relay before a server that ends, or falls silent, after some bytes of replies, and takes no more connections."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType


class CuttingRelay:
    """A context manager.

    Attributes:
        passed: How many bytes of replies have been passed.
        is_cut: Set once no more are.
    """

    def __init__(self, port: int, after: int | None = None, silent: bool = False) -> None:
        self.passed = 0
        self.is_cut = threading.Event()
        self._server_port = port
        self._after = after
        self._silent = silent
        self._listening = socket.create_server(('127.0.0.1', 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        """The URL of the server behind the relay."""
        return f'redis://127.0.0.1:{self._listening.getsockname()[1]}'

    def __enter__(self) -> CuttingRelay:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(('127.0.0.1', self._server_port))
                self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(4096)
                    if not data:
                        client.close()
                        server.close()
                        return
                    if ready is client:
                        server.sendall(data)
                        continue
                    with self._lock:
                        left = len(data) if self._after is None else self._after - self.passed
                        client.sendall(data[: max(left, 0)])
                        self.passed += min(len(data), max(left, 0))
                    if left < len(data):
                        self._cut()
                        return

    def _cut(self) -> None:
        # First, as who hears that the connection is closed may ask at once.
        self.is_cut.set()
        if not self._silent:
            self._close()

    def _close(self) -> None:
        # Closing alone does not end a thread that accepts.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
