"""What is measured side by side: RQ, with and without hiredis-py, rqreg_ext, and a bare socket.

A leg is set to one workload at a time and then asked, round by round, how long a call takes.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from itertools import cycle, islice
from threading import Barrier
from time import perf_counter
from typing import Any

from . import memory, placement
from .recording import Recording, Relay
from .workloads import Workload, library

RQ = 'rq'
RQ_HIREDIS = 'rq_hiredis'
OURS = 'rqreg_ext'
BOUND = 'bound'
# In the order of the table.
NAMES = (RQ, RQ_HIREDIS, OURS, BOUND)
TITLES = {RQ: 'RQ', RQ_HIREDIS: 'RQ + hiredis-py', OURS: 'rqreg_ext', BOUND: 'bare round trip'}

BUFFER_BYTES = 1 << 20
REPLY_SECONDS = 20


@dataclass(frozen=True)
class Server:
    """Where a client connects: the server's unix socket if that is given, or else its port."""

    port: int
    socket_path: str | None = None

    def client(self, database: int) -> Any:
        """Return a new redis-py client with everything at its default."""
        import redis

        if self.socket_path is not None:
            return redis.Redis(unix_socket_path=self.socket_path, db=database)
        return redis.Redis(host='127.0.0.1', port=self.port, db=database)


@dataclass(frozen=True)
class Place:
    """The data of one workload: where it is, and the arguments that its calls are given."""

    server: Server
    database: int
    arguments: list[Any]


def comparable(value: Any) -> Any:
    """Return what must be equal between RQ's answer and ours, small enough for a pipe and a report."""
    if isinstance(value, list):
        digest = hashlib.sha256('\n'.join(map(repr, value)).encode()).hexdigest()
        return {'type': 'list', 'length': len(value), 'sha256': digest}
    if hasattr(value, 'key_template'):
        return {'type': value.__class__.__name__, 'key': value.key}
    if hasattr(value, 'get_status'):
        return {'type': value.__class__.__name__, 'id': value.id, 'status': str(value.get_status())}
    return value


class HiredisHider(MetaPathFinder):
    """A finder in front of all others that finds no hiredis."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse hiredis and leave everything else to the next finder."""
        if name.partition('.')[0] == 'hiredis':
            raise ModuleNotFoundError(f'{name} is hidden for this measurement', name=name)


def set_up_hiredis(is_wanted: bool, folder: str | None) -> None:
    """Before redis-py is imported: hide hiredis-py, or add the folder where it is installed."""
    if not is_wanted:
        sys.meta_path.insert(0, HiredisHider())
    elif folder is not None:
        sys.path.append(folder)


class Leg:
    """What all legs share: arguments one after the other, and how long a number of calls takes."""

    def __init__(self) -> None:
        self.workload: Workload | None = None
        self.arguments: Iterator[Any] = iter(())

    def bind(self, cpus: set[int]) -> None:
        """Run on these CPUs from now on."""
        placement.bind(os.getpid(), cpus)

    def set_arguments(self, workload: Workload, place: Place) -> None:
        self.workload = workload
        self.arguments = iter(place.arguments) if workload.uses_up else cycle(place.arguments)

    def next_arguments(self, count: int) -> list[Any]:
        """Return the next ones, and say so where they do not last: a missing call would look fast."""
        taken = list(islice(self.arguments, count))
        if len(taken) < count:
            raise RuntimeError(f'{count} arguments wanted, {len(taken)} are left')
        return taken

    def elapsed(self, calls: int) -> float:
        """Return the seconds that `calls` calls take, in each thread of the workload."""
        raise NotImplementedError

    def seconds_per_call(self, calls: int) -> float:
        """Return the seconds per call, over `calls` calls in each thread of the workload."""
        assert self.workload is not None
        return self.elapsed(calls) / (calls * self.workload.threads)

    def calls_in(self, seconds: float) -> int:
        """Return how many calls make a round of about that length."""
        assert self.workload is not None
        if self.workload.uses_up:
            return self.workload.calls
        calls = 1
        while self.elapsed(calls) < seconds:
            calls *= 2
        return calls


class LibraryLeg(Leg):
    """Calls on RQ, or on rqreg_ext."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.library = library(is_ours=name == OURS)
        self.place: Place | None = None
        self.subject: Any = None
        self.threads: ThreadPoolExecutor | None = None

    def set_to(self, workload: Workload, place: Place) -> None:
        """Take up a workload, with a new client."""
        self.set_arguments(workload, place)
        self.place = place
        self.subject = self._subject(place.server.client(place.database))
        if self.threads is not None:
            self.threads.shutdown()
        self.threads = ThreadPoolExecutor(workload.threads) if workload.threads > 1 else None

    def _subject(self, client: Any) -> Any:
        assert self.workload is not None
        return self.workload.subject(self.library, self.library.Queue(self.workload.name, connection=client))

    def answer(self) -> Any:
        """Make one call, and return its answer with what it left in Redis."""
        assert self.workload is not None
        (argument,) = self.next_arguments(1)
        value = comparable(self.workload.call(self.subject, argument))
        return value, self.workload.state(self.subject, argument)

    def record(self) -> Recording:
        """Return what one call sends and receives, on a connection that is already there."""
        assert self.workload is not None
        assert self.place is not None
        with Relay(self.place.server.port) as relay:
            client = Server(relay.port).client(self.place.database)
            subject = self._subject(client)
            first, argument = self.next_arguments(2)
            self.workload.call(subject, first)
            relay.exchanges.clear()
            self.workload.call(subject, argument)
            client.close()
            return Recording(argument, list(relay.exchanges))

    def elapsed(self, calls: int) -> float:
        if self.threads is None:
            return self._elapsed_here(self.next_arguments(calls))
        return self._elapsed_in_threads(self.threads, calls)

    def _elapsed_here(self, arguments: list[Any]) -> float:
        assert self.workload is not None
        call, subject, value = self.workload.call, self.subject, None
        start = perf_counter()
        for argument in arguments:
            # Kept until the next one is there, as by a caller who looks at it.
            value = call(subject, argument)
        seconds = perf_counter() - start
        del value
        return seconds

    def _elapsed_in_threads(self, threads: ThreadPoolExecutor, calls: int) -> float:
        assert self.workload is not None
        barrier = Barrier(self.workload.threads)

        def work(arguments: list[Any]) -> tuple[float, float]:
            barrier.wait()
            start = perf_counter()
            return start, start + self._elapsed_here(arguments)

        futures = [threads.submit(work, self.next_arguments(calls)) for _ in range(self.workload.threads)]
        spans = [future.result() for future in futures]
        return max(end for _, end in spans) - min(start for start, _ in spans)

    def first_call(self) -> float:
        """Return the seconds of the first call on a client, its connection included."""
        return self.elapsed(1)

    def peak_memory(self) -> memory.Peak:
        """Return the memory of one large listing, on a connection that is already there."""
        assert self.workload is not None
        self.subject.get_job_ids(0, 9)
        return memory.peak_of(lambda: self.workload.call(self.subject, None))  # type: ignore[union-attr]

    def versions(self) -> dict[str, str]:
        """Return the versions of what this leg runs on; hiredis-py only if redis-py uses it."""
        from importlib.metadata import version

        import redis.utils

        names = ['redis', 'rq', 'rqreg-ext']
        if redis.utils.HIREDIS_AVAILABLE:
            names.append('hiredis')
        return {name: version(name) for name in names}


class BareLeg(Leg):
    """The bytes of a recorded call on bare sockets: what no client in Python gets below.

    The calls of 16 threads are 16 sockets in one thread, each with one call under way, so that no lock of
    the interpreter is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording()
        self.sockets: list[socket.socket] = []
        self.connections: list[Any] = []
        self.buffer = bytearray(BUFFER_BYTES)

    def set_to(self, workload: Workload, place: Place, recording: Recording) -> None:
        """Take up a workload, on new sockets."""
        self.set_arguments(workload, place)
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
        requests = [self.recording.requests_for(argument) for argument in self.next_arguments(calls)]
        lengths = [exchange.reply_length for exchange in self.recording.exchanges]
        exchange: Callable[[bytes, int], None] = self._exchange if len(self.sockets) == 1 else self._exchange_on_all
        start = perf_counter()
        for of_call in requests:
            for request, length in zip(of_call, lengths, strict=True):
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
        while length > 0:
            received = bare.recv_into(self.buffer)
            if not received:
                raise ConnectionError('the server closed the connection')
            length -= received
