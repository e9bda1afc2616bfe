"""The leg that sends the bytes of rqreg_ext's calls on bare sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from time import perf_counter
from typing import Any

from .legs import Leg, Place
from .recording import Recording
from .workloads import Workload

BUFFER_BYTES = 1 << 20
REPLY_SECONDS = 20
# The microseconds of the server's clock, which TIME answers, may have one digit where six were recorded.
SHORTER = 5
LINE_FEED = 10


class BareLeg(Leg):
    """The bytes of a recorded call on bare sockets: what no client in Python gets below.

    The calls of 16 threads are 16 sockets in one thread, each with one call under way, so that no lock of
    the interpreter is waited for.
    """

    def __init__(self) -> None:
        self.recording = Recording()
        self.sockets: list[socket.socket] = []
        self.connections: list[Any] = []
        self.buffer = bytearray(BUFFER_BYTES)

    def set_to(self, workload: Workload, place: Place, recording: Recording) -> None:
        """Take up a workload, on new sockets."""
        self.take_up(workload, place)
        self.recording = recording
        for connection in self.connections:
            connection.disconnect()
        pool = place.server.client(place.database).connection_pool
        self.connections = [pool.make_connection() for _ in range(workload.threads)]
        self.sockets = [self._bare(connection) for connection in self.connections]

    @staticmethod
    def _bare(connection: Any) -> socket.socket:
        """Return the socket of redis-py's connection after its handshake, blocking.

        The timeout is the kernel's: one of Python's would cost a poll() before each read.
        """
        connection.connect()
        bare: socket.socket = connection._sock
        bare.settimeout(None)
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', REPLY_SECONDS, 0))
        return bare

    def elapsed(self, calls: int) -> float:
        of_calls = [self.recording.of(argument) for argument in self.next_arguments(calls)]
        exchange: Callable[[bytes, int], None] = self._exchange if len(self.sockets) == 1 else self._exchange_on_all
        start = perf_counter()
        for exchanges in of_calls:
            for request, length in exchanges:
                exchange(request, length)
        return perf_counter() - start

    def _exchange(self, request: bytes, length: int) -> None:
        bare = self.sockets[0]
        bare.sendall(request)
        self._drain(bare, length)

    def _exchange_on_all(self, request: bytes, length: int) -> None:
        for bare in self.sockets:
            bare.sendall(request)
        for bare in self.sockets:
            self._drain(bare, length)

    def _drain(self, bare: socket.socket, length: int) -> None:
        is_at_end = False
        while length > SHORTER or not is_at_end:
            received = bare.recv_into(self.buffer)
            if not received:
                raise ConnectionError('the server closed the connection')
            length -= received
            is_at_end = self.buffer[received - 1] == LINE_FEED
