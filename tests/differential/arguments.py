"""Arguments by description: each side gets its own job, pipeline, queue or execution, made from its own database."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from rq.executions import Execution
from rq.job import Job

from .functions import JOB_CLASSES
from .world import readable

if TYPE_CHECKING:
    from .sides import Bench


class Described:
    """The base of the descriptions; `make` returns the real argument for one side."""

    def make(self, bench: Bench) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class TheJob(Described):
    """The job with this id: read from the database where that is possible, or (bare) a new object of that id.

    The same description is the same object for all calls of an example, so a later call gets it as an earlier left it.
    """

    id: str = 'a'
    bare: bool = False
    job_class: str = 'Job'

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        if self not in bench.made:
            bench.made[self] = self._read(bench)
        return bench.made[self]

    def _read(self, bench: Bench) -> Any:
        job_class = JOB_CLASSES[self.job_class] or Job
        serializer = bench.world.serializer
        # What cannot be read in this world is as good as bare.
        with suppress(Exception):
            if not self.bare:
                job = job_class.fetch(self.id, connection=bench.reader, serializer=serializer)
                job.connection = bench.client
                return job
        return job_class(self.id, connection=bench.client, serializer=serializer)


@dataclass(frozen=True, repr=False)
class TheExecution(Described):
    """The execution of a job, as a worker holds it."""

    job_id: str = 'a'
    id: str = 'live'

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        return Execution(id=self.id, job_id=self.job_id, connection=bench.client)


@dataclass(frozen=True, repr=False)
class At(Described):
    """A Unix timestamp this number of seconds from the start of the example."""

    seconds: float = 0

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        return bench.now + self.seconds


@dataclass(frozen=True, repr=False)
class When(Described):
    """A datetime, with a time zone or without."""

    days: int = 1
    hours: int | None = 0

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        moment = datetime(2031, 3, 30, 1, 30, 15) + timedelta(days=self.days)
        return moment if self.hours is None else moment.replace(tzinfo=timezone(timedelta(hours=self.hours)))


@dataclass(frozen=True, repr=False)
class APipeline(Described):
    """A pipeline of the side's client (or the client itself, which RQ takes too), executed after the call."""

    client: bool = False

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        if self.client:
            return bench.client
        pipeline = bench.client.pipeline()
        bench.pipelines.append(pipeline)
        return pipeline


@dataclass(frozen=True, repr=False)
class TheQueue(Described):
    """The side's own Queue."""

    name: str | None = None
    rq: bool = False

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        return bench.queue(self.name, rq=self.rq)


@dataclass(frozen=True, repr=False)
class TheRegistry(Described):
    """Another registry of the side, of the same database or (elsewhere) of another one."""

    kind: str = 'FailedJobRegistry'
    name: str | None = None
    elsewhere: bool = False

    __repr__ = readable

    def make(self, bench: Bench) -> Any:
        name = bench.world.queue if self.name is None else self.name
        connection = bench.side.elsewhere if self.elsewhere else bench.connection
        return bench.side.names[self.kind](name, connection=connection)


def make(value: Any, bench: Bench) -> Any:
    """Return the real argument of a described one, inside lists too."""
    if isinstance(value, Described):
        return value.make(bench)
    if type(value) in (list, tuple):
        return type(value)(make(item, bench) for item in value)
    return value
