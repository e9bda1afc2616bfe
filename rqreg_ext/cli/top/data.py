"""What is shown: the rows of each view, as they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .search import Fields

# The views, in their order on the screen.
VIEWS = ('queues', 'workers', 'failed', 'errors')


class QueueRow(NamedTuple):
    """A queue.

    Attributes:
        name: Its name.
        counts: Its jobs and those of its registries, by the names of snapshot().
        oldest: When the job was enqueued that waits longest, a Unix timestamp; None if none waits, or if it is unknown.
        workers: How many workers listen to it.
        rates: By how much the counts change, per second; empty if there was no earlier count.
    """

    name: str
    counts: Mapping[str, int]
    oldest: float | None
    workers: int
    rates: Mapping[str, float]

    @property
    def key(self) -> str:
        """What the row is found again by."""
        return self.name

    def fields(self) -> Fields:
        """Return what is searched."""
        return {'queue': (self.name,)}


class WorkerRow(NamedTuple):
    """A worker, what it runs, and since when. Times are Unix timestamps."""

    name: str
    state: str
    queues: tuple[str, ...]
    job_id: str | None
    func_name: str | None
    since: float | None
    heartbeat: float | None
    succeeded: int
    failed: int

    @property
    def key(self) -> str:
        """What the row is found again by."""
        return self.name

    def fields(self) -> Fields:
        """Return what is searched."""
        return {
            'worker': (self.name,),
            'state': (self.state,),
            'queue': self.queues,
            'id': (self.job_id,) if self.job_id else (),
            'func': (self.func_name,) if self.func_name else (),
        }


class FailureRow(NamedTuple):
    """A failed job. `end` is a Unix timestamp."""

    job_id: str
    queue: str
    func_name: str | None
    exc_type: str | None
    exc_message: str | None
    worker_name: str | None
    end: float | None

    @property
    def key(self) -> tuple[str, str]:
        """What the row is found again by."""
        return self.queue, self.job_id

    def fields(self) -> Fields:
        """Return what is searched."""
        values = {
            'id': self.job_id,
            'queue': self.queue,
            'func': self.func_name,
            'exc': self.exc_type,
            'worker': self.worker_name,
            'message': self.exc_message,
        }
        return {name: (value,) for name, value in values.items() if value is not None}


class GroupRow(NamedTuple):
    """The failed jobs of a function and an exception. Times are Unix timestamps.

    Attributes:
        func_name: The function; None if it is unknown.
        exc_type: The exception; None if there is none.
        jobs: How many they are.
        first: When the first of them ended.
        last: When the last of them ended.
        queues: Their queues, that with most of them first.
        example: The job that ended last.
        spark: How they are spread over time.
    """

    func_name: str | None
    exc_type: str | None
    jobs: int
    first: float | None
    last: float | None
    queues: tuple[str, ...]
    example: str | None
    spark: str

    @property
    def key(self) -> tuple[str | None, str | None]:
        """What the row is found again by."""
        return self.func_name, self.exc_type

    def fields(self) -> Fields:
        """Return what is searched."""
        return {
            'func': (self.func_name,) if self.func_name else (),
            'exc': (self.exc_type,) if self.exc_type else (),
            'queue': self.queues,
        }


Row = QueueRow | WorkerRow | FailureRow | GroupRow


@dataclass(frozen=True)
class Overview:
    """The queues and the workers at one time.

    Attributes:
        timestamp: The server's time.
        queues: The queues, by name.
        workers: The workers, by name.
        total: The sums of the counts of the queues.
        rates: By how much they change, per second; empty if there was no earlier count.
        states: How many workers there are, by state.
        processed: How many jobs the workers have ended per second; None if that is unknown.
        left_out: Why queues, or the workers, are not shown.
    """

    timestamp: float
    queues: tuple[QueueRow, ...] = ()
    workers: tuple[WorkerRow, ...] = ()
    total: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    processed: float | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailuresView:
    """The newest failed jobs that match a search.

    Attributes:
        search: The text of the search.
        rows: The jobs, that which ended last first.
        left_out: Why jobs, or queues, are not shown.
    """

    search: str = ''
    rows: tuple[FailureRow, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Groups:
    """All failed jobs, in groups; `timestamp` is when they were counted."""

    timestamp: float
    rows: tuple[GroupRow, ...] = ()
    left_out: tuple[str, ...] = ()


# ---- What else the threads report


@dataclass(frozen=True)
class Unreachable:
    """The queues could not be read."""

    error: str


@dataclass(frozen=True)
class Opened:
    """A job was read. `row` is the failed job, if it is one."""

    job_id: str
    lines: tuple[str, ...]
    row: FailureRow | None = None


@dataclass(frozen=True)
class Counted:
    """The jobs were counted: what is asked now; None if there is nothing to ask."""

    question: str | None
    message: str = ''


@dataclass(frozen=True)
class Running:
    """How far a change is."""

    text: str


@dataclass(frozen=True)
class Done:
    """What a change, or a key, has come to; `said` is for the terminal, once the screen is left."""

    message: str
    said: str = ''


@dataclass(frozen=True)
class Crashed:
    """A thread ended by an error that is none of the server's."""

    error: BaseException


Message = Overview | FailuresView | Groups | Unreachable | Opened | Counted | Running | Done | Crashed
