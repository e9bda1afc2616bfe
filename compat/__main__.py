"""RQ's own test suite, and programs that use RQ, on plain RQ and on our registries: exit status 1 where they differ.

python -m compat [--only rq | --only clients] [--rq 3.0.0 ...]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

from compat import comparing, known_failures, network, report
from compat.clients.all_clients import run_clients
from compat.comparing import Runs
from compat.environments import say
from compat.known_failures import SEEN_UNSTEADY
from compat.pressure import pressure
from compat.rq_suite import REDIS_RELEASES, Suite
from compat.suite_run import Outcomes

# RQ's tests sleep most of the time.
SUITES_AT_ONCE = 2
NOT_THERE = ('missing', 'There is no such test on this side.')


def outcome(outcomes: Outcomes, test: str) -> str:
    """Return the outcome of a test."""
    return outcomes.get(test, NOT_THERE)[0]


def reason(outcomes: Outcomes, test: str) -> str:
    """Return what pytest said of a test that did not pass."""
    return outcomes.get(test, NOT_THERE)[1]


class FirstRun(NamedTuple):
    """A suite that was run once on both sides, and what pytest said of tests that were skipped or failed."""

    suite: Suite
    runs: dict[str, Runs]
    said: dict[str, str]
    seconds: float


def run_once(suite: Suite) -> FirstRun:
    """Run a suite on both sides."""
    say(f'the suite of {suite.name}, plain and accelerated')
    start = time.monotonic()
    plain, accelerated = suite.run_both()
    runs = {test: Runs((outcome(plain, test),), (outcome(accelerated, test),)) for test in {**plain, **accelerated}}
    said = {test: reason for side in (plain, accelerated) for test, (_, reason) in side.items() if reason}
    return FirstRun(suite, runs, said, time.monotonic() - start)


def settle(first: FirstRun) -> report.SuiteResult:
    """Run again what does not settle the matter, and judge."""
    known = known_failures.reasons(first.suite.rq, first.suite.redis)
    if tests := comparing.to_run_again(first.runs, known):
        run_again(first, tests)
    verdict = comparing.judge(first.runs, SEEN_UNSTEADY)
    return report.SuiteResult(first.suite.rq, first.suite.redis, first.seconds, first.runs, verdict, known, first.said)


def run_again(first: FirstRun, tests: list[str]) -> None:
    """Run these tests without the others, on both sides at the same time, and add what comes out.

    Every other time under pressure.
    """
    lines = [f'  {first.runs[test]}: {test}' for test in tests]
    say('\n'.join([f'{comparing.RUNS_AGAIN} times more, of {first.suite.name}:', *lines]))
    for number in range(comparing.RUNS_AGAIN):
        with pressure() if number % 2 else nullcontext():
            plain, accelerated = first.suite.run_both(tuple(tests))
        for test in tests:
            first.runs[test] = first.runs[test].and_then(outcome(plain, test), outcome(accelerated, test))
            first.said[test] = first.said.get(test) or reason(accelerated, test)


def run_suites(releases: Sequence[str]) -> bool:
    """Run RQ's suite for these releases, print the table, and tell whether there was nothing to object to."""
    suites = [Suite(rq, redis) for rq in releases for redis in REDIS_RELEASES[rq]]
    with ThreadPoolExecutor(SUITES_AT_ONCE) as threads:
        first_runs = list(threads.map(run_once, suites))
    results = [settle(first) for first in first_runs]
    print('\n'.join(['', *(report.details(result) for result in results), '', report.table(results)]))
    return not any(result.problems for result in results)


def main() -> int:
    """Run what the arguments ask for, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m compat', description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=('rq', 'clients'), help="RQ's suite, or the programs that use RQ")
    parser.add_argument('--rq', action='append', choices=tuple(REDIS_RELEASES), help='of this RQ only; can be repeated')
    arguments = parser.parse_args()
    network.end_on_sigterm()
    found = []
    if arguments.only != 'clients':
        found.append(run_suites(arguments.rq or tuple(REDIS_RELEASES)))
    if arguments.only != 'rq':
        found.append(run_clients())
    return 0 if all(found) else 1


if __name__ == '__main__':
    sys.exit(main())
