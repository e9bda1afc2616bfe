"""The legs that call RQ, code written by hand, or rqreg_ext."""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from threading import Barrier
from time import perf_counter, process_time
from typing import Any

from . import memory
from .legs import KINDS, OURS, Cost, Leg, Place, Server
from .recording import Recording, Relay
from .workloads import Kind, Workload, failed, library

# How many calls are compared that leave everything as it is.
ANSWERS = 10


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


class CallingLeg(Leg):
    """Calls on RQ, on rqreg_ext, or by hand."""

    def __init__(self, name: str) -> None:
        self.kind = KINDS[name]
        self.library = None if self.kind is Kind.BY_HAND else library(is_ours=name == OURS)
        self.client: Any = None
        self.subject: Any = None
        self.call: Any = None
        self.threads: ThreadPoolExecutor | None = None

    def set_to(self, workload: Workload, place: Place) -> None:
        """Take up a workload, with a new client."""
        self.take_up(workload, place)
        self.client = place.server.client(place.database)
        self.subject = self._subject(self.client)
        self.call = workload.call_of(self.kind, place.size)
        if self.threads is not None:
            self.threads.shutdown()
        self.threads = ThreadPoolExecutor(workload.threads) if workload.threads > 1 else None

    def _subject(self, client: Any) -> Any:
        return client if self.library is None else self.workload.subject(self.library, client)

    def warm_up(self) -> None:
        """Open the connection that the calls will use."""
        self._warm_up(self.client)

    def _warm_up(self, client: Any) -> None:
        client.ping()
        if self.library is not None:
            # RQ asks once per client, when it first enqueues.
            from rq.utils import get_version

            get_version(client)
            failed(self.library, client).get_job_count(cleanup=False)

    def answers(self) -> list[Any]:
        """Make a call with each argument, or a few where that changes nothing, and return the answers."""
        arguments = self.place.arguments if self.workload.changes else self.place.arguments[:ANSWERS]
        told = self.workload.ours_told if self.kind is Kind.OURS else lambda answer: answer
        return [comparable(told(self.call(self.subject, argument))) for argument in arguments]

    def record(self) -> Recording:
        """Return what the calls send and receive, on a connection that is already there.

        The server must know the scripts already. One call tells of all others, but not where each finds something
        else to change.
        """
        with Relay(self.place.server.port) as relay:
            client = Server(relay.port).client(self.place.database)
            subject = self._subject(client)
            self._warm_up(client)
            arguments = self.place.arguments if self.workload.changes else self.place.arguments[:1]
            recording = Recording()
            for argument in arguments:
                relay.exchanges.clear()
                self.call(subject, argument)
                recording.add(argument, list(relay.exchanges))
            client.close()
            return recording

    def elapsed(self, calls: int) -> float:
        if self.threads is None:
            return self._elapsed_here(self.next_arguments(calls))
        return self._elapsed_in_threads(self.threads, calls)

    def seconds_per_call(self, calls: int) -> float:
        """Return the seconds per call; of a sample, what the call would take on everything."""
        share = self.workload.sampled(self.kind, self.place.size) / self.place.size
        return super().seconds_per_call(calls) / share

    def _elapsed_here(self, arguments: list[Any]) -> float:
        call, subject, value = self.call, self.subject, None
        start = perf_counter()
        for argument in arguments:
            # Kept until the next one is there, as by a caller who looks at it.
            value = call(subject, argument)
        seconds = perf_counter() - start
        self._check_count(value)
        del value
        return seconds

    def _check_count(self, value: Any) -> None:
        """Refuse a call that has not done its work: it would look fast."""
        wanted = self.workload.to_change(self.kind, self.place.size)
        if self.workload.counts and value != wanted:
            raise RuntimeError(f'{self.workload.name}: {value} done, {wanted} wanted')

    def _elapsed_in_threads(self, threads: ThreadPoolExecutor, calls: int) -> float:
        barrier = Barrier(self.workload.threads)

        def work(arguments: list[Any]) -> tuple[float, float]:
            barrier.wait()
            start = perf_counter()
            return start, start + self._elapsed_here(arguments)

        futures = [threads.submit(work, self.next_arguments(calls)) for _ in range(self.workload.threads)]
        spans = [future.result() for future in futures]
        return max(end for _, end in spans) - min(start for start, _ in spans)

    def cost(self) -> Cost:
        """Make one call, and return what it takes by the clock and of this process's CPU time."""
        start = process_time()
        seconds = self.elapsed(len(self.place.arguments) if self.workload.changes else 1)
        return Cost(seconds, process_time() - start)

    def first_call(self) -> float:
        """Return the seconds of the first call on a client, its connection included."""
        return self.elapsed(1)

    def peak_memory(self) -> memory.Peak:
        """Return the memory of one large listing, on a connection that is already there."""
        self.warm_up()
        return memory.peak_of(lambda: self.call(self.subject, None))

    def versions(self) -> dict[str, str]:
        """Return the versions of what this leg runs on; hiredis-py only if redis-py uses it."""
        from importlib.metadata import version

        import redis.utils

        names = ['redis', 'rq', 'rqreg-ext']
        if redis.utils.HIREDIS_AVAILABLE:
            names.append('hiredis')
        return {name: version(name) for name in names}
