"""One run of a test suite by pytest, with a Redis of its own, on plain RQ or on our registries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from compat import network
from compat.environments import ROOT, Environment

PLUGIN = ROOT / 'compat' / 'plugin'
# The longest suite takes six minutes, in which it mostly sleeps.
LIMIT_SECONDS = 1800
PASSED, TESTS_FAILED = 0, 1
LINES_SHOWN = 40

# (outcome, reason) by the test's node id; an outcome is passed, skipped or failed.
Outcomes = dict[str, tuple[str, str]]


def run(
    folder: Path,
    environment: Environment,
    accelerated: bool,
    tests: tuple[str, ...] = ('tests',),
    certificate: Path | None = None,
    **variables: str,
) -> Outcomes:
    """Run the tests in a folder, and return their outcomes; what pytest says goes to pytest.log there.

    Ends the program if pytest did not come to its end: then the outcomes of the tests are not known.
    """
    outcomes = folder / 'outcomes.json'
    log = folder / 'pytest.log'
    beat = folder / 'beat'
    command = [str(environment.bin / 'pytest'), *tests]
    with log.open('w', encoding='utf-8') as output:
        status = network.run(
            network.beside_redis(command, certificate, beat),
            LIMIT_SECONDS,
            cwd=folder,
            env=environment.variables(
                accelerated,
                PYTHONPATH=str(PLUGIN),
                PYTEST_PLUGINS='rq_suite_outcomes,too_long,own_group',
                RQREG_COMPAT_OUTCOMES=str(outcomes),
                RQREG_COMPAT_BEAT=str(beat),
                **variables,
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    # The status of what is around pytest may be one of pytest's.
    if status not in (PASSED, TESTS_FAILED) or not outcomes.is_file():
        end = '\n'.join(log.read_text(encoding='utf-8', errors='replace').splitlines()[-LINES_SHOWN:])
        sys.exit(f'compat: pytest did not come to its end in {folder}, exit status {status}:\n{end}')
    found: dict[str, list[str]] = json.loads(outcomes.read_bytes())
    return {test: (outcome, reason) for test, (outcome, reason) in found.items()}
