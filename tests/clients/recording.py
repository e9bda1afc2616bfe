"""A TCP proxy before a server that records what clients write.

It can end a connection instead of passing a reply, or answer a command itself, as a server would that is not a Redis.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from types import TracebackType

BLOCK = 1 << 16


@dataclass(frozen=True)
class Write:
    """What one client had written when the proxy looked: the commands, by name, in one block of bytes."""

    connection: int
    commands: list[str]
    octets: bytes


def command_names(octets: bytes) -> list[str]:
    """Return the names of the commands in a block of complete commands."""
    names = []
    position = 0
    while position < len(octets):
        items, position = _read_length(octets, position, b'*')
        for number in range(items):
            length, start = _read_length(octets, position, b'$')
            position = start + length + 2
            if position > len(octets):
                raise IncompleteCommandError(f'it ends within an argument, after {len(octets)} bytes')
            if number == 0:
                names.append(octets[start : start + length].decode().upper())
    return names


class IncompleteCommandError(ValueError):
    """The block of bytes ends within a command."""


def _read_length(octets: bytes, position: int, mark: bytes) -> tuple[int, int]:
    end = octets.find(b'\r\n', position)
    if end < 0:
        raise IncompleteCommandError(f'it ends within a command, after {len(octets)} bytes')
    if octets[position : position + 1] != mark:
        raise ValueError(f'{octets[position:end]!r} begins no {mark!r}')
    return int(octets[position + 1 : end]), end + 2


def _read_commands(client: socket.socket) -> bytes:
    """Return complete commands: what is there, and what follows until the last one is complete; b'' at the end."""
    octets = b''
    while block := client.recv(BLOCK):
        octets += block
        try:
            command_names(octets)
        except IncompleteCommandError:
            continue
        break
    return octets


class Recorder:
    """The proxy, on `port` of the loopback interface; a context manager.

    `writes` is what came so far. Each write is recorded before the server has it, so when a call is over, all of its
    writes are there.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.writes: list[Write] = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port: int = self.listener.getsockname()[1]
        self._opened = 0
        self._sockets: list[socket.socket] = []
        self._to_cut: list[str] = []
        self._cut: set[int] = set()
        self._answers: dict[str, bytes] = {}
        self._problems: list[Exception] = []

    @property
    def commands(self) -> list[str]:
        """The names of all commands recorded, in order."""
        return [name for write in self.writes for name in write.commands]

    @property
    def blocks(self) -> list[list[str]]:
        """The names of the commands of each write."""
        return [write.commands for write in self.writes]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.writes.clear()

    def cut(self, command: str, times: int = 1) -> None:
        """Let the server run this command, but the first times close the connection instead of passing its reply."""
        self._to_cut = [command] * times

    def answer(self, command: str, octets: bytes) -> None:
        """Keep what is written with this command from the server, and answer it so; with no octets no more."""
        self._answers = {command: octets} if octets else {}

    def __enter__(self) -> Recorder:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # A thread that waits in accept() is not woken by close().
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self._sockets:
            _hang_up(end)
        if error is None and self._problems:
            raise self._problems[0]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(('127.0.0.1', self.server_port))
            except OSError:
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            self._opened += 1
            threading.Thread(target=self._pass_writes, args=(client, server, self._opened), daemon=True).start()

    def _pass_writes(self, client: socket.socket, server: socket.socket, number: int) -> None:
        threading.Thread(target=self._pass_replies, args=(server, client, number), daemon=True).start()
        try:
            while octets := _read_commands(client):
                names = command_names(octets)
                self.writes.append(Write(number, names, octets))
                if self._to_cut and self._to_cut[0] in names:
                    self._to_cut.pop()
                    self._cut.add(number)
                answers = [self._answers[name] for name in names if name in self._answers]
                if answers:
                    client.sendall(answers[0])
                else:
                    server.sendall(octets)
        except OSError:
            pass
        except ValueError as problem:
            self._problems.append(problem)
        finally:
            _hang_up(server)
            _hang_up(client)

    def _pass_replies(self, server: socket.socket, client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            # The reply to a command that is cut off is awaited: then the server has surely run it.
            while (octets := server.recv(BLOCK)) and number not in self._cut:
                client.sendall(octets)
        _hang_up(client)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
