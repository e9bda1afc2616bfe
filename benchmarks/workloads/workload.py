"""A workload: from what is in Redis to the call that is timed, by RQ, by hand and by us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ..populations import QUEUE, FailedJobs, Filled, Population


class Kind(Enum):
    """Whose call it is: the name of a workload's field."""

    RQ = 'rq'
    BY_HAND = 'by_hand'
    OURS = 'ours'


class Axis(Enum):
    """What grows."""

    ENTRIES = 'entries'
    QUEUES = 'queues'
    THREADS = 'threads'


# Enough to see a difference, few enough to look at every key.
LOOKED_AT = {'entries': 100, 'queues': 20}
LARGE, HUGE = 10_000, 1_000_000


@dataclass(frozen=True)
class Library:
    """The names of RQ, or ours by the same names."""

    Queue: Any
    registry: Any


def library(is_ours: bool) -> Library:
    """Import RQ, or rqreg_ext."""
    if is_ours:
        import rqreg_ext
        import rqreg_ext.registry

        return Library(rqreg_ext.Queue, rqreg_ext.registry)
    import rq
    import rq.registry

    return Library(rq.Queue, rq.registry)


Call = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Sample:
    """A call on the first entries or queues only, where all would take too long: its time is extrapolated."""

    call: Callable[[Any, Any, int], Any]
    size: int


@dataclass(frozen=True)
class Workload:
    """One operation, on a population of one size.

    `subject` makes what RQ's call and ours are made on; the call by hand is made on the client. Each call is given
    one of `arguments`, and is repeated for as long as a round takes, the arguments over and over. A call that
    `changes` what is in Redis is made once with each argument in a round, and the population is restored between;
    one that returns how many entries it has changed (`counts`) has changed all of them, or a share of each ten, or is
    refused. `ours_told` makes of our answer what the others' is like, for the comparison.
    """

    operation: str
    population: Population
    subject: Callable[[Library, Any], Any]
    rq: Call | Sample | None
    ours: Call | Sample | None
    by_hand: Call | Sample | None = None
    ours_told: Callable[[Any], Any] = lambda answer: answer
    arguments: Callable[[Filled], list[Any]] = lambda filled: [None]
    changes: bool = False
    counts: bool = False
    changed_of_ten: int = 10
    axis: Axis | None = None
    threads: int = 1

    @property
    def size(self) -> int:
        """The size of what grows along the axis."""
        population = self.population
        sizes = {Axis.ENTRIES: population.entries, Axis.QUEUES: population.queues, Axis.THREADS: self.threads}
        return sizes[self.axis] if self.axis else 1

    @property
    def name(self) -> str:
        """The operation, and its size."""
        if self.axis is None:
            return self.operation
        return f'{self.operation}-{self.size}' + ('' if self.axis is Axis.ENTRIES else f'-{self.axis.value}')

    @property
    def is_huge(self) -> bool:
        """Whether there are as many entries as there ever are."""
        return self.population.entries >= HUGE

    @property
    def is_long(self) -> bool:
        """Whether a call takes seconds, or it takes them to bring back what it has changed."""
        return self.population.entries >= LARGE and (self.changes or isinstance(self.population, FailedJobs))

    def looked_at(self) -> Workload:
        """Return the same on a population that is small enough to look at everything that is left."""
        return replace(self, population=self.population.at_most(**LOOKED_AT))

    def sampled(self, kind: Kind, size: int) -> int:
        """Return on how many of the entries or queues the call is made."""
        call = getattr(self, kind.value)
        return min(call.size, size) if isinstance(call, Sample) else size

    def to_change(self, kind: Kind, size: int) -> int:
        """Return how many entries one call changes, on this number of entries or queues."""
        sampled = self.sampled(kind, size)
        entries = sampled if self.axis is Axis.ENTRIES else sampled * self.population.entries
        return entries * self.changed_of_ten // 10

    def call_of(self, kind: Kind, size: int) -> Call | None:
        """Return the call of RQ, by hand or of ours, on this number of entries or queues."""
        call: Call | Sample | None = getattr(self, kind.value)
        if not isinstance(call, Sample):
            return call
        on, count = call.call, self.sampled(kind, size)
        return lambda subject, argument: on(subject, argument, count)


class Registries(dict[str, Any]):
    """Registries of failed jobs, by the name of their queue."""

    def __init__(self, library: Library, connection: Any) -> None:
        super().__init__()
        self.library = library
        self.connection = connection

    def __missing__(self, name: str) -> Any:
        self[name] = self.library.registry.FailedJobRegistry(name, connection=self.connection)
        return self[name]


def queue(library: Library, connection: Any) -> Any:
    return library.Queue(QUEUE, connection=connection)


def failed(library: Library, connection: Any) -> Any:
    return library.registry.FailedJobRegistry(QUEUE, connection=connection)


def started(library: Library, connection: Any) -> Any:
    return library.registry.StartedJobRegistry(QUEUE, connection=connection)
