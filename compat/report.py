"""What `make compat` prints of RQ's suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compat.comparing import Runs, Verdict
from compat.known_failures import SEEN_UNSTEADY

HEADINGS = ('RQ', 'redis-py', 'passed on both', 'skipped', 'failed on both', 'unsteady', 'different', 'seconds')


@dataclass(frozen=True)
class SuiteResult:
    """A suite that was run on both sides."""

    rq: str
    redis: str
    seconds: float
    runs: Mapping[str, Runs]
    verdict: Verdict
    # Why a test that is known to fail fails.
    known: Mapping[str, str]
    # What pytest said of a test that was skipped, or failed on our side.
    said: Mapping[str, str]

    @property
    def name(self) -> str:
        """The releases, for people."""
        return f'RQ {self.rq}, redis-py {self.redis}'

    @property
    def problems(self) -> list[str]:
        """What the check must fail for."""
        return self.verdict.problems(self.known)


def table(results: Sequence[SuiteResult]) -> str:
    """Return a table with a row for each suite."""
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return '\n'.join('  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _row(result: SuiteResult) -> tuple[str, ...]:
    verdict = result.verdict
    kinds = (verdict.passed, verdict.skipped, verdict.failed, verdict.unsteady, verdict.different)
    return (result.rq, result.redis, *(str(len(kind)) for kind in kinds), f'{result.seconds:.0f}')


def details(result: SuiteResult) -> str:
    """Return every test that did not just pass, by name, and the problems."""
    verdict = result.verdict
    lines = [f'{result.name}:']
    lines += [f'  skipped on both sides: {test}: {result.said[test]}' for test in verdict.skipped]
    lines += [f'  failed on both sides: {test}: {result.known.get(test, "no reason")}' for test in verdict.failed]
    for test in verdict.unsteady:
        lines.append(f'  unsteady: {test}: {result.runs[test]}; {SEEN_UNSTEADY.get(test, "not seen before")}')
    for test in verdict.different:
        lines += [f'  DIFFERENT: {test}: {result.runs[test]}', _indented(result.said.get(test, ''))]
    lines += [f'  PROBLEM: {problem}' for problem in result.problems]
    return '\n'.join(lines)


def _indented(text: str) -> str:
    return '\n'.join(f'      {line}' for line in text.splitlines())
