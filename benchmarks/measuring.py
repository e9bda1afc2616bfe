"""How it is measured: answers compared first, then short rounds in which the legs take turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from . import preparation
from .legs import BOUND, OURS, RQ, Place, Server
from .recording import Recording
from .workloads import Workload, library

# Calls that use their argument up: one is compared, and two more are recorded.
NOT_TIMED = 3
SHARED_DATABASE = 0


class DifferentAnswers(RuntimeError):
    """RQ and rqreg_ext answer differently: there is nothing to time."""


@dataclass(frozen=True)
class Pace:
    """How many rounds, and about how long one of them is."""

    rounds: int
    round_seconds: float

    def rounds_of(self, workload: Workload) -> int:
        """Return the rounds of a workload: fewer of one whose calls take long."""
        return max(3, self.rounds // 3) if workload.is_slow else self.rounds


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    q1: float
    median: float
    q3: float


def spread(values: list[float]) -> Spread:
    """Return the quartiles of the values."""
    return Spread(*quantiles(values, n=4, method='inclusive')) if len(values) > 1 else Spread(*values * 3)


@dataclass
class Measurement:
    """Seconds per call, by leg and round."""

    workload: Workload
    answer: Any
    compared: list[str]
    recording: Recording
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, leg: str, to: str) -> Spread | None:
        """Return how many times as long one leg took as another in the same round; None where one was not there."""
        if leg not in self.seconds or to not in self.seconds:
            return None
        return spread([a / b for a, b in zip(self.seconds[leg], self.seconds[to], strict=True)])


def verify(workload: Workload, legs: Mapping[str, Any]) -> Any:
    """Make one call in each leg and return the answer that they agree on, or refuse the workload."""
    answers = {name: leg.answer() for name, leg in legs.items()}
    if any(answer != answers[RQ] for answer in answers.values()):
        told = '\n'.join(f'  {name}: {answer}' for name, answer in answers.items())
        raise DifferentAnswers(f'{workload.name}: the answers differ (value, what is left in Redis):\n{told}')
    return answers[RQ]


def rotated(names: list[str], round_number: int) -> list[str]:
    """Return the legs in the order of one round: each is first, second, ... equally often."""
    first = round_number % len(names)
    return names[first:] + names[:first]


class Run:
    """All workloads on one server, with the data that they share."""

    def __init__(self, port: int, legs: Mapping[str, Any], pace: Pace) -> None:
        self.port = port
        self.legs = legs
        self.pace = pace
        self.libraries = {name: leg for name, leg in legs.items() if name != BOUND}
        self._shared: dict[str, list[Any]] = {}

    def measure(self, workload: Workload, server: Server) -> Measurement:
        """Prepare, compare and time one workload."""
        places = self._places(workload, server)
        for name, leg in self.libraries.items():
            leg.set_to(workload, places[name])
        answer = verify(workload, self.libraries)
        recording = self.legs[OURS].record()
        measurement = Measurement(workload, answer, list(self.libraries), recording)
        names = list(self.libraries)
        if recording.exchanges:
            self.legs[BOUND].set_to(workload, places[BOUND], recording)
            names.append(BOUND)
        self._time(measurement, names)
        return measurement

    def _time(self, measurement: Measurement, names: list[str]) -> None:
        # Threads that start and end one after another are not what is measured: each gets a round's time.
        round_seconds = self.pace.round_seconds * measurement.workload.threads
        calls = {name: self.legs[name].calls_in(round_seconds) for name in names}
        measurement.seconds = {name: [] for name in names}
        for round_number in range(self.pace.rounds_of(measurement.workload)):
            for name in rotated(names, round_number):
                measurement.seconds[name].append(self.legs[name].seconds_per_call(calls[name]))

    def place(self, workload: Workload, server: Server) -> Place:
        """Return where the data is of a workload that uses nothing up: the same for all legs."""
        if workload.name not in self._shared:
            self._shared[workload.name] = workload.prepare(self._queue(workload, SHARED_DATABASE), 0)
        return Place(server, SHARED_DATABASE, self._shared[workload.name])

    def _places(self, workload: Workload, server: Server) -> dict[str, Place]:
        if not workload.uses_up:
            return dict.fromkeys(self.legs, self.place(workload, server))
        return dict(self._equal_places(workload, server))

    def _equal_places(self, workload: Workload, server: Server) -> Iterator[tuple[str, Place]]:
        """Prepare a database for each leg, all with the same contents."""
        needed = self.pace.rounds_of(workload) * workload.calls + NOT_TIMED
        source = self._client(1)
        source.flushdb()
        arguments = workload.prepare(self._queue(workload, 1), needed)
        for database, name in enumerate(self.legs, start=1):
            if database > 1:
                preparation.copy_database(source, self._client(database))
            yield name, Place(server, database, arguments)

    def _client(self, database: int) -> Any:
        return Server(self.port).client(database)

    def _queue(self, workload: Workload, database: int) -> Any:
        return library(is_ours=False).Queue(workload.name, connection=self._client(database))
