"""What repair() did: problems mended, gone meanwhile, left and why."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..result import describe
from .problems import Kind, Problem

# Errors that str(report) spells out.
_SHOWN = 10


class RepairReport:
    """What repair() did, or with dry_run would do.

    mended: how many problems of each kind were mended.
    gone: how many of each kind were no problem any more when they were looked at.
    left: (problem, why) of each that was left as it is.
    failed: (problem, exception) of each whose mend the server, or RQ's clean-up, answered with an error.
    dry_run: whether nothing was changed.
    stopped: whether the progress function ended it before the end.
    seconds: how long it took.
    errors: what the check before it left out, where it made one; as in CheckReport.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.mended: Counter[Kind] = Counter()
        self.gone: Counter[Kind] = Counter()
        self.left: list[tuple[Problem, str]] = []
        self.failed: list[tuple[Problem, Exception]] = []
        self.dry_run = dry_run
        self.stopped = False
        self.seconds = 0.0
        self.errors: dict[str, Exception] = {}

    @property
    def total(self) -> int:
        """How many problems were dealt with."""
        return sum(self.mended.values()) + sum(self.gone.values()) + len(self.left) + len(self.failed)

    @property
    def reasons(self) -> dict[Kind, Counter[str]]:
        """How many problems of each kind were left for each reason."""
        reasons: dict[Kind, Counter[str]] = {}
        for problem, why in self.left:
            reasons.setdefault(problem.kind, Counter())[why] += 1
        return reasons

    def __add__(self, other: RepairReport) -> RepairReport:
        if not isinstance(other, RepairReport):
            return NotImplemented
        both = RepairReport(self.dry_run or other.dry_run)
        both.mended, both.gone = self.mended + other.mended, self.gone + other.gone
        both.left, both.failed = [*self.left, *other.left], [*self.failed, *other.failed]
        both.stopped = self.stopped or other.stopped
        both.seconds = self.seconds + other.seconds
        both.errors = self.errors | other.errors
        return both

    def to_dict(self) -> dict[str, Any]:
        """Return what was done, for JSON."""
        return {
            'mended': {kind.value: count for kind, count in self.mended.items()},
            'gone': {kind.value: count for kind, count in self.gone.items()},
            'left': {kind.value: dict(reasons) for kind, reasons in self.reasons.items()},
            'failed': [{**problem.to_dict(), 'error': repr(error)} for problem, error in self.failed],
            'total': self.total,
            'dry_run': self.dry_run,
            'stopped': self.stopped,
            'seconds': self.seconds,
            'errors': {name: describe(error) for name, error in self.errors.items()},
        }

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {self.total} problems>'

    def __str__(self) -> str:
        would = 'would be ' if self.dry_run else ''
        done = ', '.join(
            f'{count} {what}'
            for count, what in (
                (sum(self.mended.values()), f'{would}mended'),
                (sum(self.gone.values()), 'gone meanwhile'),
                (len(self.left), f'{would}left'),
                (len(self.failed), 'failed'),
            )
        )
        lines = [f'{self.total} problems in {self.seconds:.1f} s: {done}{", and then stopped" if self.stopped else ""}']
        lines += [f'  {count} {kind} {would}mended' for kind, count in self.mended.items()]
        lines += [f'  {count} {kind} gone meanwhile' for kind, count in self.gone.items()]
        for kind, reasons in self.reasons.items():
            lines += [f'  {count} {kind} {would}left: {why}' for why, count in reasons.items()]
        lines += [f'  {problem.kind} failed: {error!r}' for problem, error in self.failed[:_SHOWN]]
        lines += [f'{name} was left out: {describe(error)}' for name, error in self.errors.items()]
        return '\n'.join(lines)
