"""Look at what comes: the newest RQ and redis-py of the index, pre-releases too.

    python tools/compat_next.py [ARGUMENTS_OF_PYTEST ...]

Prints what this RQ changes of that on which the table of releases relies (rq_changes.py), then runs `make test` with
both, in an environment of their own. The exit status is that of the tests: a change alone is no fault.
"""

from __future__ import annotations

import json
import subprocess
import sys

import interruptible
import rq_changes

PACKAGES = ('rq', 'redis')


def newest() -> dict[str, str]:
    """Return the newest version of both packages, as pip would install it."""
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check']
    command += ['--dry-run', '--ignore-installed', '--no-deps', '--pre', '--report', '-', *PACKAGES]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f'compat-next: pip finds no newest RQ and redis-py:\n{result.stderr.strip()}')
    found = [package['metadata'] for package in json.loads(result.stdout)['install']]
    return {package['name'].lower(): package['version'] for package in found}


def main() -> None:
    """Say what has changed, and run the tests."""
    versions = newest()
    rq, redis = (versions[name] for name in PACKAGES)
    print(f'compat-next: RQ {rq}, redis-py {redis}', flush=True)
    folder = rq_changes.installed(f'rq=={rq}', rq)
    rq_changes.tell(folder)
    sys.exit(interruptible.run_make(['test', f'RQ={rq}', f'REDIS={redis}'], ' '.join(sys.argv[1:])))


if __name__ == '__main__':
    interruptible.main('compat-next', main)
