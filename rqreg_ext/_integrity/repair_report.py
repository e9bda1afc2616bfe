"""The result of repair(): the problems that were repaired, were gone, were left, or failed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .._fastpath.server_errors import describe
from .._fastpath.wording import counted
from .problems import Problem, ProblemKind

# How many errors str(report) describes.
_SHOWN = 10


class RepairReport:
    """What repair() did with each problem, or would do with `dry_run`.

    `str(report)` is a text for operators. The sum of two reports is one.

    Attributes:
        repaired: How many problems were repaired, by kind.
        gone: How many problems did not exist any more, by kind.
        left: (problem, reason) for each problem that was left unchanged.
        failed: (problem, exception) for each problem whose repair the server, or RQ's cleanup, answered with an error.
        dry_run: Whether nothing was changed.
        stopped: Whether `progress` stopped the repair.
        seconds: How long the repair took.
        errors: The errors of the CheckReport that was repaired.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.repaired: Counter[ProblemKind] = Counter()
        self.gone: Counter[ProblemKind] = Counter()
        self.left: list[tuple[Problem, str]] = []
        self.failed: list[tuple[Problem, Exception]] = []
        self.dry_run = dry_run
        self.stopped = False
        self.seconds = 0.0
        self.errors: dict[str, Exception] = {}

    @property
    def total(self) -> int:
        """The number of problems processed."""
        return sum(self.repaired.values()) + sum(self.gone.values()) + len(self.left) + len(self.failed)

    @property
    def reasons(self) -> dict[ProblemKind, Counter[str]]:
        """How many problems were left for each reason, by kind."""
        reasons: dict[ProblemKind, Counter[str]] = {}
        for problem, reason in self.left:
            reasons.setdefault(problem.kind, Counter())[reason] += 1
        return reasons

    def __add__(self, other: RepairReport) -> RepairReport:
        if not isinstance(other, RepairReport):
            return NotImplemented
        both = RepairReport(self.dry_run or other.dry_run)
        both.repaired, both.gone = self.repaired + other.repaired, self.gone + other.gone
        both.left, both.failed = [*self.left, *other.left], [*self.failed, *other.failed]
        both.stopped = self.stopped or other.stopped
        both.seconds = self.seconds + other.seconds
        both.errors = self.errors | other.errors
        return both

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict that can be dumped as JSON."""
        return {
            'repaired': {kind.value: count for kind, count in self.repaired.items()},
            'gone': {kind.value: count for kind, count in self.gone.items()},
            'left': {kind.value: dict(reasons) for kind, reasons in self.reasons.items()},
            'failed': [{**problem.to_dict(), 'error': describe(error)} for problem, error in self.failed],
            'total': self.total,
            'dry_run': self.dry_run,
            'stopped': self.stopped,
            'seconds': self.seconds,
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }

    def __repr__(self) -> str:
        left_out = f', {len(self.errors)} left out' if self.errors else ''
        return f'<{type(self).__name__} of {counted(self.total, "problem")}{left_out}>'

    def __str__(self) -> str:
        would = 'would be ' if self.dry_run else ''
        done = ', '.join(
            f'{count} {what}'
            for count, what in (
                (sum(self.repaired.values()), f'{would}repaired'),
                (sum(self.gone.values()), 'gone meanwhile'),
                (len(self.left), f'{would}left'),
                (len(self.failed), 'failed'),
            )
        )
        # The counts are incomplete if there are errors, so say it.
        where = 'what could be read, ' if self.errors else ''
        problems = f'{counted(self.total, "problem", none="no")} in {where}{self.seconds:.1f} s'
        lines = [f'{problems}{f": {done}" if self.total else ""}{", and then stopped" if self.stopped else ""}']
        lines += [f'  {count} {kind} {would}repaired' for kind, count in self.repaired.items()]
        lines += [f'  {count} {kind} gone meanwhile' for kind, count in self.gone.items()]
        for kind, reasons in self.reasons.items():
            lines += [f'  {count} {kind} {would}left: {reason}' for reason, count in reasons.items()]
        lines += [f'  {problem.kind} failed: {describe(error)}' for problem, error in self.failed[:_SHOWN]]
        lines += [f'{name} was left out: {describe(error)}' for name, error in self.errors.items()]
        return '\n'.join(lines)
