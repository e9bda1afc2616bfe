"""A relay before a real server that answers scripts with an error, and passes all other commands."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import BinaryIO

_SCRIPT = re.compile(rb'\*\d+\r\n\$\d+\r\nEVAL(SHA)?\r\n', re.IGNORECASE)


class RefusingScripts:
    """The relay, on `port` of the loopback interface; a context manager.

    line: the error with which every EVAL and EVALSHA is answered; None to pass them.
    reply: the same, where it is not an error.
    refused: how many were answered so.
    """

    def __init__(self, server_port: int, line: str | None = None) -> None:
        self.line = line
        self.reply: str | None = None
        self.refused = 0
        self._server_port = server_port
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> RefusingScripts:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # A thread that waits in accept() is not woken by close().
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(('127.0.0.1', self._server_port))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [client, server]
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        commands, replies = client.makefile('rb'), server.makefile('rb')
        with contextlib.suppress(OSError, ValueError):
            while command := _value(commands):
                answer = self.reply if self.line is None else f'-{self.line}'
                if answer is not None and _SCRIPT.match(command):
                    self.refused += 1
                    client.sendall(f'{answer}\r\n'.encode())
                else:
                    server.sendall(command)
                    client.sendall(_value(replies))
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _value(stream: BinaryIO) -> bytes:
    """Read one value of the protocol, with all that is in it; nothing at the end."""
    line: bytes = stream.readline()
    kind = line[:1]
    if kind and kind in b'$=!' and int(line[1:]) >= 0:
        return line + stream.read(int(line[1:]) + 2)
    if kind and kind in b'*~>%' and int(line[1:]) > 0:
        return line + b''.join(_value(stream) for _ in range(int(line[1:]) * (2 if kind == b'%' else 1)))
    return line
