"""What the outcomes of the same tests on plain RQ and on our registries say.

A test that failed on either side is run again without the others, RUNS_AGAIN times, every other time on a machine that
is kept busy, unless it failed on both and is known to. It is *unsteady* where plain RQ itself now passes it and now
fails it, in these runs or in earlier ones, which are listed, and ours fails it no more often than chance explains. Any
other difference is ours: what plain RQ was never seen to fail may not fail under install(), not once.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from math import comb

RUNS_AGAIN = 10
# The chance, at most, of taking an unlucky series on our side for a difference.
CHANCE = 0.05


@dataclass(frozen=True)
class Runs:
    """The outcomes of one test: passed, skipped, failed, or missing where it was not there; the suite's comes first."""

    plain: tuple[str, ...]
    accelerated: tuple[str, ...]

    def and_then(self, plain: str, accelerated: str) -> Runs:
        """Return these runs and one more on each side."""
        return Runs((*self.plain, plain), (*self.accelerated, accelerated))

    @property
    def agree(self) -> bool:
        """Tell whether every run on both sides came out the same."""
        return len({*self.plain, *self.accelerated}) == 1

    def is_unsteady(self, seen: bool) -> bool:
        """Tell whether plain RQ passes and fails the test, and ours fails it no more often than chance explains.

        `seen` says that plain RQ did so in earlier runs.
        """
        if not {*self.plain, *self.accelerated} <= {'passed', 'failed'} or 'passed' not in self.plain:
            return False
        return (seen or 'failed' in self.plain) and chance_of_failures(self.plain, self.accelerated) >= CHANCE

    def __str__(self) -> str:
        sides = (('plain', self.plain), ('accelerated', self.accelerated))
        return ', '.join(f'{side} passed {runs.count("passed")} of {len(runs)}' for side, runs in sides)


def chance_of_failures(plain: Sequence[str], accelerated: Sequence[str]) -> float:
    """Return how likely it is that our side gets this number of all the failures, or more, if the sides are alike.

    Fisher's exact test, one-sided.
    """
    ours = accelerated.count('failed')
    failures = ours + plain.count('failed')
    runs = len(plain) + len(accelerated)
    most = min(failures, len(accelerated))
    ways = sum(comb(len(accelerated), k) * comb(len(plain), failures - k) for k in range(ours, most + 1))
    return ways / comb(runs, failures)


@dataclass(frozen=True)
class Verdict:
    """The tests of one suite, by what became of them."""

    passed: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[str, ...]
    unsteady: tuple[str, ...]
    different: tuple[str, ...]

    def problems(self, known: Mapping[str, str]) -> list[str]:
        """Return what a check must fail for, as sentences."""
        return [
            *(f'differs: {test}' for test in self.different),
            *(f'fails on both sides, and no reason is given: {test}' for test in self.failed if test not in known),
            *(f'is listed as failing, and does not: {test}' for test in known if test not in self.failed),
        ]


def to_run_again(runs: Mapping[str, Runs], known: Mapping[str, str]) -> list[str]:
    """Return the tests whose first outcomes do not settle the matter."""
    return [
        test
        for test, found in runs.items()
        if 'missing' not in {*found.plain, *found.accelerated}
        and (not found.agree or (found.plain == ('failed',) and test not in known))
    ]


def judge(runs: Mapping[str, Runs], seen_unsteady: Container[str] = ()) -> Verdict:
    """Sort the tests by what their runs say, and which of them plain RQ was seen to pass and to fail before."""
    sorted_tests: dict[str, list[str]] = {'passed': [], 'skipped': [], 'failed': [], 'unsteady': [], 'different': []}
    for test, found in runs.items():
        kind = (
            found.plain[0] if found.agree else 'unsteady' if found.is_unsteady(test in seen_unsteady) else 'different'
        )
        sorted_tests[kind].append(test)
    return Verdict(**{kind: tuple(tests) for kind, tests in sorted_tests.items()})
