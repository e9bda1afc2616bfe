"""A proxy in a process of its own that passes an exact number of bytes of the server's replies and then holds the rest.

The parent commands it by lines on its standard input (`hold N`, `release`); each is answered by a line.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import sys
import time
from types import TracebackType

BLOCK = 1 << 16
PATIENCE = 60.0
"""A gate opens by itself after that many seconds."""


class Gate:
    """The parent's side: a proxy before a server, on `port` of the loopback interface; a context manager."""

    def __init__(self, server_port: int) -> None:
        command = [sys.executable, '-S', __file__, str(server_port), str(PATIENCE)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError('the gate has died')
        return line

    def _command(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + '\n')
        self._answer()

    def hold_after(self, octets: int) -> None:
        """From now on pass this many bytes of replies, in all connections together, and hold what follows."""
        self._command(f'hold {octets}')

    def release(self) -> None:
        """Pass the held bytes, and everything that follows."""
        self._command('release')

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.process.kill()
        # communicate() closes the pipes and reaps; what the gate had left to say is of no interest.
        self.process.communicate()


class Proxy:
    """The gate's side: one loop over all sockets."""

    def __init__(self, server_port: int, patience: float) -> None:
        self.server_port = server_port
        self.patience = patience
        self.held_since = 0.0
        self.credit: int | None = None
        self.selector = selectors.DefaultSelector()
        self.peers: dict[socket.socket, socket.socket] = {}
        self.servers: set[socket.socket] = set()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(sys.stdin, selectors.EVENT_READ)

    def run(self) -> None:
        """Pass bytes until the parent closes standard input."""
        print(self.listener.getsockname()[1], flush=True)
        while True:
            events = self.selector.select(self.patience)
            if self.credit is not None and time.monotonic() - self.held_since >= self.patience:
                # A call that should have been ended by something else comes back, and its test fails.
                self.hold(None)
            for key, _ in events:
                if key.fileobj is sys.stdin:
                    if not self.obey(sys.stdin.readline().split()):
                        return
                elif key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.peers:
                    self.forward(key.fileobj)

    def obey(self, words: list[str]) -> bool:
        """Carry out one command; False at the end of the input."""
        if not words:
            return False
        self.hold(int(words[1]) if words[0] == 'hold' else None)
        print('done', flush=True)
        return True

    def hold(self, credit: int | None) -> None:
        """Pass this many bytes of replies from now on, or all of them."""
        self.credit = credit
        self.held_since = time.monotonic()
        for server in self.servers:
            self.listen_to(server)

    def accept(self) -> None:
        """Connect a new client with the server."""
        client, _ = self.listener.accept()
        server = socket.create_connection(('127.0.0.1', self.server_port))
        self.peers[client], self.peers[server] = server, client
        self.servers.add(server)
        self.selector.register(client, selectors.EVENT_READ)
        self.selector.register(server, selectors.EVENT_READ)

    def listen_to(self, server: socket.socket) -> None:
        """Read from the server unless the credit is used up."""
        if self.credit == 0:
            with contextlib.suppress(KeyError):
                self.selector.unregister(server)
        elif server not in self.selector.get_map():
            self.selector.register(server, selectors.EVENT_READ)

    def forward(self, source: socket.socket) -> None:
        """Pass on one block, or close both sides when one has closed."""
        from_server = source in self.servers
        if from_server and self.credit == 0:
            return
        block = BLOCK if not from_server or self.credit is None else min(BLOCK, self.credit)
        try:
            octets = source.recv(block)
            self.peers[source].sendall(octets)
        except OSError:
            octets = b''
        if not octets:
            self.close(source)
        elif from_server and self.credit is not None:
            self.credit -= len(octets)
            for server in self.servers:
                self.listen_to(server)

    def close(self, source: socket.socket) -> None:
        """Close a connection, both its sockets."""
        for end in (source, self.peers[source]):
            with contextlib.suppress(KeyError):
                self.selector.unregister(end)
            del self.peers[end]
            self.servers.discard(end)
            end.close()


if __name__ == '__main__':
    Proxy(int(sys.argv[1]), float(sys.argv[2])).run()
