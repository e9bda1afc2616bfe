"""Run what takes too long for each change, one after the other, and print a table of how it ended.

    python tools/nightly.py [NAME ...]      all of RUNS, or those of these names

What each prints goes to build/nightly/NAME.log. The exit status is 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import interruptible

LOGS = Path('build', 'nightly')
# By name, the arguments of make.
RUNS: dict[str, tuple[str, ...]] = {
    'test': ('test',),
    'test-rq-2.12.0': ('test', 'RQ=2.12.0', 'REDIS=6.4.0'),
    'test-rq-2.10.0': ('test', 'RQ=2.10.0', 'REDIS=6.4.0'),
    'test-rq-2.9.1': ('test', 'RQ=2.9.1', 'REDIS=5.0.1'),
    'test-rq-2.6.1': ('test', 'RQ=2.6.1', 'REDIS=5.0.1'),
    'test-rq-2.4.1': ('test', 'RQ=2.4.1', 'REDIS=5.0.1'),
    'test-python-3.14': ('test', 'PYTHON=3.14'),
    'test-python-3.15': ('test', 'PYTHON=3.15'),
    'test-system-redis': ('test-system-redis',),
    'test-valkey': ('test-valkey',),
    'test-platforms': ('test-platforms',),
    'compat': ('compat',),
    'check-faults': ('check-faults',),
    'check-workers': ('check-workers',),
    'check-memory': ('check-memory',),
    'check-sanitizers': ('check-sanitizers',),
    'check-prometheus': ('check-prometheus',),
    'coverage': ('coverage',),
    'fuzz': ('fuzz',),
    'wheels': ('wheels',),
}


def run(name: str) -> tuple[int, float]:
    """Run one of RUNS; return the exit status of make, and how many seconds it took."""
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (LOGS / f'{name}.log').open('wb') as log:
        # For what is in `make test`: every combination of parameters.
        status = interruptible.run_make((*RUNS[name], 'RQREG_TEST_PROFILE=whole'), output=log)
    return status, time.monotonic() - started


def names_of(arguments: list[str]) -> list[str]:
    """Return the names on the command line, or all. Ends the program for a name that is none."""
    parser = argparse.ArgumentParser(description='Run what takes long, and print a table of how it ended.')
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'one of {", ".join(RUNS)}; all without a name')
    names: list[str] = parser.parse_args(arguments).names
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        parser.error(f'{unknown[0]!r} is none of {", ".join(RUNS)}')
    return names or list(RUNS)


def main() -> None:
    """Run all, and print a line for each as soon as it has ended."""
    names = names_of(sys.argv[1:])
    failed = False
    print(f'{"run":<20}{"result":<10}{"minutes":>8}  log', flush=True)
    for name in names:
        status, seconds = run(name)
        failed = failed or status != 0
        result = f'failed {status}' if status else 'passed'
        print(f'{name:<20}{result:<10}{seconds / 60:>8.1f}  {LOGS / name}.log', flush=True)
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    interruptible.main('nightly', main)
