"""What a call sends and receives, byte for byte: a relay that a client connects to instead of the server.

So the bare round trip is always of the bytes that rqreg_ext really sends, and no list of them has to be kept.
"""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

BLOCK = 1 << 20


@dataclass
class Exchange:
    """One round trip: what is sent in one go, and how many bytes come back."""

    request: bytes = b''
    reply_length: int = 0


@dataclass
class Recording:
    """The round trips of calls, by their arguments."""

    calls: dict[Any, list[Exchange]] = field(default_factory=dict)

    def add(self, argument: Any, exchanges: list[Exchange]) -> None:
        """Keep the round trips of the call that was given this argument; a list stands for itself alone."""
        self.calls[argument if isinstance(argument, str) else None] = exchanges

    @property
    def exchanges(self) -> list[Exchange]:
        """The round trips of the first call."""
        return next(iter(self.calls.values()), [])

    def of(self, argument: Any) -> list[tuple[bytes, int]]:
        """Return what each round trip of a call sends, and how many bytes it receives; ids are all of one length."""
        if not isinstance(argument, str):
            return [(exchange.request, exchange.reply_length) for exchange in self.exchanges]
        recorded = argument if argument in self.calls else next(iter(self.calls))
        old, new = recorded.encode(), argument.encode()
        return [(exchange.request.replace(old, new), exchange.reply_length) for exchange in self.calls[recorded]]


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
