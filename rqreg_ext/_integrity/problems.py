"""The results of check(): a Problem has a ProblemKind, and a CheckReport has the problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from .._fastpath.server_errors import describe
from .._fastpath.wording import counted

if TYPE_CHECKING:
    from typing import overload

    from .repair_step import RepairStep

# How many problems str(report) describes.
_SHOWN = 10


class ProblemKind(str, Enum):
    """The kind of a Problem. Each member is equal to its value: `problem.kind == 'orphan'`.

    The page "Problem kinds" of the guide says what follows from each, and what RQ and repair() do about it.
    """

    MISSING_JOB = 'missing_job'
    """An entry of a registry, or an id in a queue, whose job's hash is gone."""
    EXPIRED = 'expired'
    """An entry that has expired and is not cleaned up yet."""
    ABANDONED = 'abandoned'
    """A started job whose worker sent no heartbeat until the entry expired."""
    WRONG_STATUS = 'wrong_status'
    """An entry whose job has a status that does not belong in this registry or queue."""
    WRONG_QUEUE = 'wrong_queue'
    """An entry whose job belongs to another queue."""
    UNREADABLE_JOB = 'unreadable_job'
    """A job that RQ cannot load."""
    REFUSED_ID = 'refused_id'
    """A job whose id the installed RQ refuses."""
    MISSING_GROUP = 'missing_group'
    """A job whose group is gone."""
    ORPHAN = 'orphan'
    """A job that has a status, but is in no registry, in no queue and with no worker."""
    MISSING_EXECUTION = 'missing_execution'
    """A started job, or an entry of its ExecutionRegistry, whose execution is gone."""
    EXECUTION_WITHOUT_JOB = 'execution_without_job'
    """An execution, or a registry of executions, whose job is gone."""
    MALFORMED_ENTRY = 'malformed_entry'
    """An entry of a started registry that is not a job id, a colon and an execution id."""
    QUEUED_TWICE = 'queued_twice'
    """A job that is more than once in its queue."""
    STUCK = 'stuck'
    """A job that a worker took from its queue, but did not start before it ended."""
    DEPENDENCIES_MET = 'dependencies_met'
    """A deferred job whose dependencies have all ended."""
    MISSING_DEPENDENCY = 'missing_dependency'
    """A deferred job that has no dependencies, or whose dependencies are gone."""
    NOT_A_DEPENDENT = 'not_a_dependent'
    """A deferred job that is not in the set of dependents of a job that it depends on."""
    STALE_KEY = 'stale_key'
    """A set of dependents or dependencies of a job that is gone."""
    MISSING_WORKER = 'missing_worker'
    """A worker that is gone, but still in a set of workers."""
    UNKNOWN_QUEUE = 'unknown_queue'
    """A queue that has jobs, but is not in RQ's set of queues."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Problem:
    """An inconsistency that check() found.

    Attributes:
        kind: The ProblemKind.
        job_id: The id of the job; None if the problem is not about one job.
        key: The Redis key that is inconsistent.
        detail: A sentence that says what is wrong, and what follows from it.
        repair: What repair() does about it; None if it leaves the problem, for the reason that `detail` names.
        repaired_by_rq: Whether RQ's own maintenance repairs it, which workers run every ten minutes by default.
    """

    kind: ProblemKind
    job_id: str | None
    key: str
    detail: str
    repair: str | None = None
    repaired_by_rq: bool = False
    repair_step: RepairStep | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f'{self.kind}: {self.detail}'

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict that can be dumped as JSON."""
        return {
            'kind': self.kind.value,
            'job_id': self.job_id,
            'key': self.key,
            'detail': self.detail,
            'repair': self.repair,
            'repaired_by_rq': self.repaired_by_rq,
        }


class CheckReport(Sequence[Problem]):
    """The problems that check() found: a sequence of Problem, in the order in which they were found.

    `str(report)` is a text for operators. A slice is a CheckReport, and the sum of two reports is one.

    Attributes:
        entries: How many entries of registries and queues were checked.
        jobs: How many jobs were checked.
        seconds: How long the check took.
        stopped: Whether `limit` or `progress` stopped the check, so that there may be more problems.
        errors: The server's errors for what could not be read, and so was not or not completely checked: a dict of
            exceptions by the name of the queue, or by a key or pattern of keys that belongs to no queue. The attribute
            `key` of an exception is the key that has a wrong type, or that the user may not read.
    """

    def __init__(
        self,
        problems: Iterable[Problem] = (),
        *,
        entries: int = 0,
        jobs: int = 0,
        seconds: float = 0.0,
        stopped: bool = False,
        errors: Mapping[str, Exception] | None = None,
    ) -> None:
        self._problems = tuple(problems)
        self.entries = entries
        self.jobs = jobs
        self.seconds = seconds
        self.stopped = stopped
        self.errors = dict(errors or {})

    # Not at run time: typing registers overloads in a table, with which CPython 3.12 crashes in sub-interpreters.
    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Problem: ...
        @overload
        def __getitem__(self, index: slice) -> CheckReport: ...

    def __getitem__(self, index: int | slice) -> Problem | CheckReport:
        return self._with(self._problems[index]) if isinstance(index, slice) else self._problems[index]

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems)

    def __add__(self, other: CheckReport) -> CheckReport:
        if not isinstance(other, CheckReport):
            return NotImplemented
        return CheckReport(
            (*self, *other),
            entries=self.entries + other.entries,
            jobs=self.jobs + other.jobs,
            seconds=self.seconds + other.seconds,
            stopped=self.stopped or other.stopped,
            errors=self.errors | other.errors,
        )

    @property
    def counts(self) -> dict[ProblemKind, int]:
        """The number of problems by kind, without the kinds that were not found."""
        return dict(Counter(problem.kind for problem in self))

    def of(self, *kinds: ProblemKind | str) -> CheckReport:
        """Return a report of the problems of these kinds only.

        Raises:
            ValueError: A kind is unknown.
        """
        selected = kinds_of(kinds)
        return self._with(problem for problem in self if problem.kind in selected)

    @property
    def lasting(self) -> CheckReport:
        """A report of the problems that RQ's own maintenance does not repair."""
        return self._with(problem for problem in self if not problem.repaired_by_rq)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict that can be dumped as JSON."""
        return {
            'counts': {kind.value: count for kind, count in self.counts.items()},
            'problems': [problem.to_dict() for problem in self],
            'entries': self.entries,
            'jobs': self.jobs,
            'seconds': self.seconds,
            'stopped': self.stopped,
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }

    def __repr__(self) -> str:
        left_out = f', {len(self.errors)} left out' if self.errors else ''
        return f'<{type(self).__name__} of {counted(len(self), "problem")}{left_out}>'

    def __str__(self) -> str:
        # The counts are incomplete if there are errors, so say it.
        checked = 'what could be read, ' if self.errors else ''
        checked += f'{counted(self.entries, "entry")} and {counted(self.jobs, "job")} in {self.seconds:.1f} s'
        problems = counted(len(self), 'problem', none='no')
        lines = [f'{problems}{", and then stopped," if self.stopped else ""} in {checked}']
        lines += [f'{name} was left out: {describe(error)}' for name, error in self.errors.items()]
        lines += [f'  {count} {kind}' for kind, count in self.counts.items()]
        lines += [f'{problem}' for problem in self._problems[:_SHOWN]]
        if len(self) > _SHOWN:
            lines.append(f'and {len(self) - _SHOWN} more')
        return '\n'.join(lines)

    def _with(self, problems: Iterable[Problem]) -> CheckReport:
        return CheckReport(
            problems,
            entries=self.entries,
            jobs=self.jobs,
            seconds=self.seconds,
            stopped=self.stopped,
            errors=self.errors,
        )


def kinds_of(kinds: Iterable[ProblemKind | str] | ProblemKind | str | None) -> frozenset[ProblemKind]:
    """Return these kinds, or all of them for None. Raises ValueError for an unknown kind."""
    if kinds is None:
        return frozenset(ProblemKind)
    if isinstance(kinds, str):
        kinds = (kinds,)
    try:
        return frozenset(ProblemKind(kind) for kind in kinds)
    except ValueError as error:
        raise ValueError(f'{error}; the kinds are {", ".join(ProblemKind)}') from None
