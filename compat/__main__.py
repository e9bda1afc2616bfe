"""RQ's own test suite, and programs that use RQ, on plain RQ and on our registries: exit status 1 where they differ.

python -m compat [--only rq | --only clients] [--rq 3.0.0 ...]
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from compat import comparing, known_failures, report
from compat.clients.all_clients import run_clients
from compat.comparing import Runs
from compat.known_failures import SEEN_UNSTEADY
from compat.rq_suite import REDIS_RELEASES, Outcomes, Suite

# RQ's tests sleep most of the time.
SUITES_AT_ONCE = 2
NOT_THERE = ('missing', 'There is no such test on this side.')


def outcome(outcomes: Outcomes, test: str) -> str:
    """Return the outcome of a test."""
    return outcomes.get(test, NOT_THERE)[0]


def check(suite: Suite) -> report.SuiteResult:
    """Run a suite on both sides, and what does not settle the matter again."""
    print(f'compat: the suite of {suite.name}, plain and accelerated', flush=True)
    start = time.monotonic()
    plain, accelerated = suite.run_both()
    known = known_failures.reasons(suite.rq, suite.redis)
    runs = {test: Runs((outcome(plain, test),), (outcome(accelerated, test),)) for test in {**plain, **accelerated}}
    run_again(suite, runs, comparing.to_run_again(runs, known))
    said = {test: reason for side in (plain, accelerated) for test, (_, reason) in side.items() if reason}
    seconds = time.monotonic() - start
    return report.SuiteResult(suite.rq, suite.redis, seconds, runs, comparing.judge(runs, SEEN_UNSTEADY), known, said)


def run_again(suite: Suite, runs: dict[str, Runs], tests: list[str]) -> None:
    """Run these tests without the others, RUNS_AGAIN times, on both sides at the same time, and add what comes out."""
    if not tests:
        return
    print(f'compat: {comparing.RUNS_AGAIN} times more, of {suite.name}:', flush=True)
    for test in tests:
        print(f'  {runs[test]}: {test}', flush=True)
    for _ in range(comparing.RUNS_AGAIN):
        plain, accelerated = suite.run_both(tuple(tests))
        for test in tests:
            runs[test] = runs[test].and_then(outcome(plain, test), outcome(accelerated, test))


def run_suites(releases: Sequence[str]) -> bool:
    """Run RQ's suite for these releases, print the table, and tell whether there was nothing to object to."""
    suites = [Suite(rq, redis) for rq in releases for redis in REDIS_RELEASES[rq]]
    with ThreadPoolExecutor(SUITES_AT_ONCE) as threads:
        results = list(threads.map(check, suites))
    print('\n'.join(['', *(report.details(result) for result in results), '', report.table(results)]))
    return not any(result.problems for result in results)


def main() -> int:
    """Run what the arguments ask for, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m compat', description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=('rq', 'clients'), help="RQ's suite, or the programs that use RQ")
    parser.add_argument('--rq', action='append', choices=tuple(REDIS_RELEASES), help='of this RQ only; can be repeated')
    arguments = parser.parse_args()
    # A timeout ends this process with SIGTERM, and what it started with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found = []
    if arguments.only != 'clients':
        found.append(run_suites(arguments.rq or tuple(REDIS_RELEASES)))
    if arguments.only != 'rq':
        found.append(run_clients())
    return 0 if all(found) else 1


if __name__ == '__main__':
    sys.exit(main())
