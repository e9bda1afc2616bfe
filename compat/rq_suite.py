"""RQ's own test suite, as it is in the source distribution of a release, on plain RQ and on our registries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compat import environments, network

PLUGIN = environments.ROOT / 'compat' / 'plugin'
# The oldest and the newest redis-py that we and the RQ release support. RQ 2.6.1 came before redis-py 8, which it does
# not exclude: its suite makes clients with the arguments that another client gave its pool, which redis-py 8 refuses,
# and then waits for ever for what the processes with these clients should have done.
REDIS_RELEASES = {'2.6.1': ('5.0.1', '7.4.1'), '2.12.0': ('5.0.1', '8.1.0'), '3.0.0': ('5.0.1', '8.1.0')}
# Tests that are slow or need a TLS server are run as well.
ALL_TESTS = {'RUN_SLOW_TESTS_TOO': '1', 'RUN_SSL_TESTS': '1'}
# A suite takes five minutes, in which it mostly sleeps.
LIMIT_SECONDS = 900
PASSED, TESTS_FAILED = 0, 1

# (outcome, reason) by the test's node id; an outcome is passed, skipped or failed.
Outcomes = dict[str, tuple[str, str]]


class Suite:
    """The suite of one RQ release in an environment with one redis-py release."""

    def __init__(self, rq: str, redis: str) -> None:
        self.rq = rq
        self.redis = redis
        self.name = f'rq-{rq}-redis-{redis}'
        self.environment = environments.make(self.name, f'rq-{rq}', f'redis-{redis}', 'rq-suite')
        self.sdist = _sdist(rq)

    def run_both(self, tests: tuple[str, ...] = ()) -> tuple[Outcomes, Outcomes]:
        """Run the suite, or these tests of it, on both sides at the same time; return plain's outcomes, then ours."""
        with ThreadPoolExecutor(2) as threads:
            plain, accelerated = threads.map(lambda side: self._run(side, tests), (False, True))
        return plain, accelerated

    def _run(self, accelerated: bool, tests: tuple[str, ...]) -> Outcomes:
        side = 'accelerated' if accelerated else 'plain'
        # What pytest said of the whole suite is kept when some of it is run again.
        parent = environments.KEPT / ('runs-again' if tests else 'runs')
        folder = _unpack(self.sdist, parent / f'{self.name}-{side}')
        outcomes = folder / 'outcomes.json'
        variables = self.environment.variables(
            accelerated,
            PYTHONPATH=str(PLUGIN),
            PYTEST_PLUGINS='rq_suite_outcomes',
            RQREG_COMPAT_OUTCOMES=str(outcomes),
            **ALL_TESTS,
        )
        certificate = folder / 'tests' / 'ssl_config' / 'private.pem'
        command = ['timeout', str(LIMIT_SECONDS), str(self.environment.bin / 'pytest'), *(tests or ('tests',))]
        with (folder / 'pytest.log').open('w', encoding='utf-8') as log:
            status = subprocess.run(
                network.beside_redis(command, certificate),
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        if status not in (PASSED, TESTS_FAILED):
            end = Path(log.name).read_text(encoding='utf-8', errors='replace')[-3000:]
            sys.exit(f'compat: the suite in {folder} ended with exit status {status}:\n{end}')
        found: dict[str, list[str]] = json.loads(outcomes.read_bytes())
        return {test: (outcome, reason) for test, (outcome, reason) in found.items()}


def _sdist(rq: str) -> Path:
    folder = environments.KEPT / 'sdists'
    path = folder / f'rq-{rq}.tar.gz'
    if not path.is_file():
        pip = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary', 'rq', '--require-hashes']
        environments.run(*pip, '--dest', folder, '--requirement', environments.PINS / f'rq-{rq}.txt')
    return path


def _unpack(sdist: Path, parent: Path) -> Path:
    shutil.rmtree(parent, ignore_errors=True)
    shutil.unpack_archive(sdist, parent)
    folder = parent / sdist.name.removesuffix('.tar.gz')
    # The tests are for the package that is installed, which this one would hide.
    shutil.rmtree(folder / 'rq')
    return folder
