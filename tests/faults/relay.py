"""A relay between clients and a real server that causes the faults that a test arms.

It listens on TCP, or on a unix socket where a path is given. One fault is armed at a time and strikes once: the next
replies (`Cut`, `Insertion`, `Lie`, `Hold`, `Drip`) or commands (`Refusal`) of whichever connection sends first.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import socket
import struct
import sys
import termios
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from clients.recording import command_names
from host.patience import PATIENCE

BLOCK = 1 << 16
# Time for the other side to read one byte before the next is sent, where the system cannot tell that it has.
PAUSE = 0.0005


class End(enum.Enum):
    """How the relay ends a connection."""

    CLOSE = 'close'
    RESET = 'reset'
    """RST instead of FIN."""
    HALF = 'half'
    """Nothing more will be sent, but what comes is still read."""
    SILENCE = 'silence'
    """The connection stays open, and nothing moves."""


@dataclass(frozen=True)
class Cut:
    """Pass this many bytes of the replies, and then close the connection."""

    after: int
    end: End = End.CLOSE


@dataclass(frozen=True)
class Refusal:
    """Pass this many bytes of the commands, and then close the client's connection."""

    after: int
    end: End = End.CLOSE


@dataclass(frozen=True)
class Insertion:
    """Insert bytes into the replies, after this many bytes of them."""

    after: int
    octets: bytes


@dataclass(frozen=True)
class Lie:
    """Send these bytes instead of the replies, and then optionally close the connection."""

    octets: bytes
    end: End | None = End.CLOSE


@dataclass(frozen=True)
class Hold:
    """Keep the replies back until the client sends another command on the same connection: they come first then."""


@dataclass(frozen=True)
class Drip:
    """Pass the replies one byte at a time, until another fault is armed."""


Fault = Cut | Refusal | Insertion | Lie | Hold | Drip


class Relay:
    """The relay; a context manager. `commands` counts the commands that clients sent, by name."""

    def __init__(self, server_port: int, unix_path: str | None = None) -> None:
        self.server_port = server_port
        self.unix_path = unix_path
        self.commands: Counter[str] = Counter()
        self.replied = 0
        self.requested = 0
        self._fault: Fault | None = None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._held: dict[socket.socket, bytes] = {}
        self._drained: dict[socket.socket, threading.Event] = {}
        self._ended: set[socket.socket] = set()
        self._is_closed = False
        self._has_struck = threading.Event()
        if unix_path is None:
            self._listener = socket.create_server(('127.0.0.1', 0))
            self.port: int = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(unix_path)
            self._listener.listen()

    @property
    def address(self) -> dict[str, object]:
        """Where it listens, as arguments of a redis-py client."""
        if self.unix_path is not None:
            return {'unix_socket_path': self.unix_path}
        return {'host': '127.0.0.1', 'port': self.port}

    def arm(self, fault: Fault | None) -> None:
        """Arm this fault, and count bytes from now on."""
        with self._lock:
            self._fault = fault
            self.commands.clear()
            self._has_struck.clear()
            self.replied = self.requested = 0

    def wait_until_struck(self) -> None:
        """Wait until the fault has happened, and its effect on the connection is complete."""
        if not self._has_struck.wait(PATIENCE):
            raise AssertionError(f'{self._fault} has not struck')

    @property
    def is_armed(self) -> bool:
        """Whether the fault has not happened yet."""
        return self._fault is not None

    def drop(self, end: End = End.CLOSE) -> None:
        """End every connection now."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            _end(each, end)

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_closed = True
        # A thread that waits in accept() is not woken by close().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(('127.0.0.1', self.server_port))
            except OSError:
                client.close()
                continue
            for each in (client, server):
                if each.family != socket.AF_UNIX:
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets += [client, server]
            threading.Thread(target=self._pass_commands, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pass_replies, args=(server, client), daemon=True).start()

    def _pass_commands(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := client.recv(BLOCK):
                with self._lock:
                    held = self._held.pop(client, b'')
                client.sendall(held)
                with self._lock:
                    fault = self._fault if isinstance(self._fault, Refusal) else None
                    passed = self.requested
                    self.requested += len(octets)
                    # Encrypted or incomplete commands have no names.
                    with contextlib.suppress(ValueError):
                        self.commands.update(command_names(octets))
                    if fault and passed + len(octets) > fault.after:
                        self._fault = None
                    else:
                        fault = None
                if fault:
                    server.sendall(octets[: fault.after - passed])
                    self._let_it_finish(client, server)
                    self._end_both(client, server, fault.end)
                    return
                server.sendall(octets)
        self._end_unless_ended(server)
        self._end_unless_ended(client)

    def _pass_replies(self, server: socket.socket, client: socket.socket) -> None:
        # ValueError: the other thread has closed the socket.
        with contextlib.suppress(OSError, ValueError):
            while octets := server.recv(BLOCK):
                with self._lock:
                    if client in self._held:
                        # The server may write a reply in pieces.
                        self._held[client] += octets
                        continue
                    fault = self._fault
                    passed = self.replied
                    self.replied += len(octets)
                    strikes = isinstance(fault, Lie | Hold) or (
                        isinstance(fault, Cut | Insertion) and passed + len(octets) > fault.after
                    )
                    if strikes:
                        self._fault = None
                    if isinstance(fault, Hold):
                        self._held[client] = octets
                if isinstance(fault, Drip):
                    _drip(client, octets)
                elif strikes and isinstance(fault, Cut):
                    client.sendall(octets[: fault.after - passed])
                    self._end_both(client, server, fault.end)
                    return
                elif isinstance(fault, Hold):
                    self._has_struck.set()
                elif isinstance(fault, Lie):
                    client.sendall(fault.octets)
                    if fault.end is not None:
                        self._end_both(client, server, fault.end)
                        return
                    self._has_struck.set()
                elif strikes and isinstance(fault, Insertion):
                    at = fault.after - passed
                    client.sendall(octets[:at] + fault.octets + octets[at:])
                    self._has_struck.set()
                else:
                    client.sendall(octets)
        self._end_unless_ended(client)
        with self._lock:
            drained = self._drained.pop(server, None)
        if drained is not None:
            drained.set()

    def _let_it_finish(self, client: socket.socket, server: socket.socket) -> None:
        """Return when the server has run what it got, which it says by hanging up."""
        drained = threading.Event()
        with self._lock:
            self._drained[server] = drained
            self._ended.add(client)
        server.shutdown(socket.SHUT_WR)
        drained.wait(PATIENCE)

    def _end_unless_ended(self, connection: socket.socket) -> None:
        with self._lock:
            is_ended = connection in self._ended
        if not is_ended:
            _end(connection, End.CLOSE)

    def _end_both(self, client: socket.socket, server: socket.socket, end: End) -> None:
        with self._lock:
            self._ended.add(client)
        _end(client, end)
        if end in (End.CLOSE, End.RESET):
            _end(server, End.CLOSE)
        self._has_struck.set()


def _end(connection: socket.socket, end: End) -> None:
    with contextlib.suppress(OSError):
        if end is End.HALF:
            connection.shutdown(socket.SHUT_WR)
        elif end is End.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            # The other thread may be in recv(): the system closes for good only when no thread is.
            connection.shutdown(socket.SHUT_RD)
            connection.close()
        elif end is End.CLOSE:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _drip(client: socket.socket, octets: bytes) -> None:
    for i in range(len(octets)):
        client.sendall(octets[i : i + 1])
        _wait_until_read(client)


def _wait_until_read(client: socket.socket) -> None:
    """Return when the other side has read all that was sent, where a unix socket on Linux tells; else after a pause."""
    if client.family != socket.AF_UNIX or sys.platform != 'linux':
        time.sleep(PAUSE)
        return
    while struct.unpack('i', fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, bytes(4)))[0] > 0:
        time.sleep(0)
