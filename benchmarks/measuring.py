"""How it is measured: answers and keys compared first, then short rounds in which the legs take turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter
from typing import Any

from compat.clients.keys import with_near_times
from tests.differential.database import NOTHING, Dump, differences, dump

from .legs import BOUND, KINDS, OURS, Place, Server
from .populations import Filled, Population
from .recording import Recording
from .workloads import Workload

DATABASE, LOOKED_AT_DATABASE = 0, 1
# What lies between the calls of two legs, in seconds.
NEAR_SECONDS = 30
TOLD = 10
# More is not recorded: it would be kept in memory several times over.
RECORDED_ENTRIES = 10_000


class DifferentAnswers(RuntimeError):
    """The legs answer differently, or leave different keys: there is nothing to time."""


@dataclass(frozen=True)
class Pace:
    """How many rounds, about how long a leg's turn is, and after how long (in seconds) there are enough rounds."""

    rounds: int
    round_seconds: float
    seconds: float
    least_rounds: int = 3

    def is_enough(self, workload: Workload, rounds: int, seconds: float) -> bool:
        """Whether this number of rounds of the workload is enough; of what takes long, one is."""
        least = 1 if workload.is_huge and workload.is_long else self.least_rounds
        return rounds >= self.rounds or (rounds >= least and seconds > self.seconds)


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

    def sampled(self, leg: str) -> int | None:
        """Return on how many entries or queues a leg was timed, if not on all of them."""
        if leg == BOUND:
            return None
        of = self.workload.sampled(KINDS[leg], self.workload.size)
        return of if of < self.workload.size else None


def rotated(names: list[str], round_number: int) -> list[str]:
    """Return the legs in the order of one round: each is first, second, ... equally often."""
    first = round_number % len(names)
    return names[first:] + names[:first]


class Run:
    """All workloads on one server, with the population that they share as long as they follow each other."""

    def __init__(self, port: int, legs: Mapping[str, Any], pace: Pace) -> None:
        self.port = port
        self.legs = legs
        self.pace = pace
        self._population: Population | None = None
        self._filled = Filled([], [])
        self._answers: dict[str, Any] = {}

    def legs_of(self, workload: Workload) -> dict[str, Any]:
        """Return the legs that have a call for the workload."""
        return {
            name: leg
            for name, leg in self.legs.items()
            if name != BOUND and workload.call_of(KINDS[name], 1) is not None
        }

    def measure(self, workload: Workload, server: Server) -> Measurement:
        """Compare, prepare and time one workload."""
        legs = self.legs_of(workload)
        if workload.name not in self._answers:
            self._answers[workload.name] = self.verify(workload, server)[0]
        place = self.place(workload, server)
        for leg in legs.values():
            leg.set_to(workload, place)
            leg.warm_up()
        answer = self._answers[workload.name]
        measurement = Measurement(workload, answer, list(legs), self._recording(workload, legs))
        names = list(legs)
        # A script that goes on for a time does not do the same for the same bytes.
        if measurement.recording.exchanges and not workload.counts:
            self.legs[BOUND].set_to(workload, place, measurement.recording)
            names.append(BOUND)
        self._time(measurement, names)
        return measurement

    def verify(self, workload: Workload, server: Server) -> list[Any]:
        """Return the answers that the legs agree on, and leave the same keys behind, or refuse the workload.

        On a population that is small enough for every leg to do everything and for every key to be looked at; where
        nothing is changed and everything is read, on the whole one too.
        """
        client = Server(self.port).client(LOOKED_AT_DATABASE)
        client.flushdb()
        small = workload.looked_at()
        filled = small.population.fill(client)
        place = Place(server, LOOKED_AT_DATABASE, small.size, small.arguments(filled))
        found = {}
        for name, leg in self.legs_of(workload).items():
            filled.restore()
            leg.set_to(workload, place)
            found[name] = leg.answers(), dump(client, masks=NOTHING)
        compare(workload, found)
        if not workload.changes:
            self._verify_whole(workload, server)
        answers: list[Any] = found[OURS][0]
        return answers

    def _verify_whole(self, workload: Workload, server: Server) -> None:
        place = self.place(workload, server)
        found: dict[str, tuple[Any, Dump]] = {}
        for name, leg in self.legs_of(workload).items():
            if workload.sampled(KINDS[name], workload.size) == workload.size:
                leg.set_to(workload, place)
                found[name] = leg.answers(), {}
        compare(workload, found)

    def _recording(self, workload: Workload, legs: Mapping[str, Any]) -> Recording:
        if workload.changes and workload.population.entries > RECORDED_ENTRIES:
            return Recording()
        recording: Recording = legs[OURS].record()
        return recording

    def _time(self, measurement: Measurement, names: list[str]) -> None:
        # Threads that start and end one after another are not what is measured: each gets a round's time.
        workload, start = measurement.workload, perf_counter()
        round_seconds = self.pace.round_seconds * workload.threads
        calls = {name: self.legs[name].calls_in(round_seconds) for name in names}
        measurement.seconds = {name: [] for name in names}
        rounds = 0
        while not self.pace.is_enough(workload, rounds, perf_counter() - start):
            for name in rotated(names, rounds):
                if workload.changes:
                    self._filled.restore()
                measurement.seconds[name].append(self.legs[name].seconds_per_call(calls[name]))
            rounds += 1

    def forget(self) -> None:
        """Take nothing for granted of what is in Redis, after something has failed."""
        self._population = None

    def place(self, workload: Workload, server: Server) -> Place:
        """Return where the workload's data is, after putting it there."""
        if workload.population == self._population:
            self._filled.restore()
        else:
            client = Server(self.port).client(DATABASE)
            client.flushall()
            self._filled = workload.population.fill(client)
            self._population = workload.population
        return Place(server, DATABASE, workload.size, workload.arguments(self._filled))


def compare(workload: Workload, found: Mapping[str, tuple[Any, Dump]]) -> None:
    """Refuse the workload unless all legs have found the same answers and left the same keys."""
    answers = {name: answer for name, (answer, _) in found.items()}
    first, *others = found
    if any(answers[name] != answers[first] for name in others):
        told = '\n'.join(f'  {name}: {answer}' for name, answer in answers.items())
        raise DifferentAnswers(f'{workload.name}: the answers differ:\n{told}')
    for name in others:
        expected, left = found[first][1], found[name][1]
        lines = differences(expected, with_near_times(expected, left, NEAR_SECONDS))
        if lines:
            told = '\n'.join(lines[:TOLD])
            raise DifferentAnswers(f'{workload.name}: {name} leaves other keys than {first}:\n{told}')
