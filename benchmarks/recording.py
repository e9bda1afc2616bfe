"""What a call sends and receives, byte for byte: a relay that a client connects to instead of the server.

So the bare round trip is always of the bytes that rqreg_ext really sends, and nobody has to keep a list of them.
"""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType

BLOCK = 1 << 20


@dataclass
class Exchange:
    """One round trip: what is sent in one go, and how many bytes come back."""

    request: bytes = b''
    reply_length: int = 0


@dataclass
class Recording:
    """The round trips of one call that was given `argument`."""

    argument: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)

    def requests_for(self, argument: str | None) -> list[bytes]:
        """Return what the call would send for another argument; job ids are all of one length."""
        requests = [exchange.request for exchange in self.exchanges]
        if self.argument is None or argument is None:
            return requests
        return [request.replace(self.argument.encode(), argument.encode()) for request in requests]


class Relay:
    """A context manager: a port of its own, from which everything goes on to the server's and is noted."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.exchanges: list[Exchange] = []
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop, self._stopped = socket.socketpair()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(('127.0.0.1', self.server_port))
        self._clients.add(client)
        self._peers |= {client: server, server: client}
        for end in (client, server):
            selector.register(end, selectors.EVENT_READ)

    def _note(self, is_request: bool, data: bytes) -> None:
        if not is_request:
            self.exchanges[-1].reply_length += len(data)
            return
        if not self.exchanges or self.exchanges[-1].reply_length:
            self.exchanges.append(Exchange())
        self.exchanges[-1].request += data

    def _pass_on(self, end: socket.socket, selector: selectors.BaseSelector) -> None:
        data = end.recv(BLOCK)
        if data:
            self._note(end in self._clients, data)
            self._peers[end].sendall(data)
            return
        for closed in (end, self._peers[end]):
            selector.unregister(closed)
            closed.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for waiting in (self._listener, self._stopped):
                selector.register(waiting, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopped:
                        return
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fileobj in self._peers:
                        self._pass_on(key.fileobj, selector)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.send(b'.')
        self._thread.join()
        for end in (self._stop, self._stopped, self._listener, *self._peers):
            end.close()
