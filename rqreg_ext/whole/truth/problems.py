"""What check() finds: problems, each of one kind, and the report of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from ..result import describe

if TYPE_CHECKING:
    from typing import overload

    from .mends import Mend

# Problems that str(report) spells out.
_SHOWN = 10


class Kind(str, Enum):
    """What is wrong; each member is also the text that it is equal to."""

    MISSING_JOB = 'missing_job'
    EXPIRED = 'expired'
    ABANDONED = 'abandoned'
    WRONG_STATUS = 'wrong_status'
    WRONG_QUEUE = 'wrong_queue'
    # RQ raises where it loads the job.
    UNREADABLE_JOB = 'unreadable_job'
    # RQ from 2.7 on takes letters, digits, - and _.
    REFUSED_ID = 'refused_id'
    # RQ raises where it deletes the job.
    MISSING_GROUP = 'missing_group'
    ORPHAN = 'orphan'
    MISSING_EXECUTION = 'missing_execution'
    EXECUTION_WITHOUT_JOB = 'execution_without_job'
    MALFORMED_ENTRY = 'malformed_entry'
    QUEUED_TWICE = 'queued_twice'
    STUCK = 'stuck'
    DEPENDENCIES_MET = 'dependencies_met'
    MISSING_DEPENDENCY = 'missing_dependency'
    NOT_A_DEPENDENT = 'not_a_dependent'
    LEFTOVER = 'leftover'
    MISSING_WORKER = 'missing_worker'
    UNKNOWN_QUEUE = 'unknown_queue'

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    kind: what it is.
    job_id: the job it is about, None where it is about no job.
    key: the Redis key in which it is seen.
    detail: a sentence that says what is wrong, and why it matters.
    repair: what repair() does about it; None where there is no one safe answer, and detail says why.
    mended_by_rq: whether RQ's own maintenance mends it in time. Workers run that, every ten minutes by default.
    """

    kind: Kind
    job_id: str | None
    key: str
    detail: str
    repair: str | None = None
    mended_by_rq: bool = False
    mend: Mend | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f'{self.kind}: {self.detail}'

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of it, for JSON."""
        return {
            'kind': self.kind.value,
            'job_id': self.job_id,
            'key': self.key,
            'detail': self.detail,
            'repair': self.repair,
            'mended_by_rq': self.mended_by_rq,
        }


class CheckReport(Sequence[Problem]):
    """The problems that a check found, in the order in which it came upon them.

    entries and jobs: how many entries of registries and queues, and how many jobs, were looked at.
    seconds: how long it took.
    stopped: whether a limit or the progress function ended it before the end; there may be more then.
    errors: what was left out because the user may not read it, with the server's error: by the name of the queue, of
        which nothing was looked at then; what belongs to no queue by its key, or by a pattern of keys.
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

    # typing keeps what is overloaded in a table, over which CPython 3.12 crashes in sub-interpreters.
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
    def counts(self) -> dict[Kind, int]:
        """How many problems there are of each kind that was found."""
        return dict(Counter(problem.kind for problem in self))

    def of(self, *kinds: Kind | str) -> CheckReport:
        """Return the problems of these kinds. Raises ValueError for what is no kind."""
        wanted = kinds_of(kinds)
        return self._with(problem for problem in self if problem.kind in wanted)

    @property
    def lasting(self) -> CheckReport:
        """The problems that RQ's own maintenance does not mend by itself."""
        return self._with(problem for problem in self if not problem.mended_by_rq)

    def to_dict(self) -> dict[str, Any]:
        """Return what was found, for JSON."""
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
        return f'<{type(self).__name__} of {len(self)} problems>'

    def __str__(self) -> str:
        looked_at = f'{self.entries} entries and {self.jobs} jobs in {self.seconds:.1f} s'
        lines = [f'{len(self) or "no"} problems{", and then stopped," if self.stopped else ""} in {looked_at}']
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


def kinds_of(kinds: Iterable[Kind | str] | Kind | str | None) -> frozenset[Kind]:
    """Return the kinds that are named, all of them for None. Raises ValueError for what is no kind."""
    if kinds is None:
        return frozenset(Kind)
    if isinstance(kinds, str):
        kinds = (kinds,)
    try:
        return frozenset(Kind(kind) for kind in kinds)
    except ValueError as error:
        raise ValueError(f'{error}; the kinds are {", ".join(Kind)}') from None
