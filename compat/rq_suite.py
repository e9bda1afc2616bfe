"""RQ's own test suite, as it is in the source distribution of a release, on plain RQ and on our registries."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compat import environments, suite_run
from compat.suite_run import Outcomes

# The oldest and the newest redis-py that we and the RQ release take. RQ 2.6.1 takes redis-py 8, which came after it,
# but does not work with it everywhere (known_failures.py): 7.4.1 is the newest with which all its tests pass.
REDIS_RELEASES = {
    '2.6.1': ('5.0.1', '7.4.1', '8.1.0'),
    '2.9.1': ('5.0.1', '8.1.0'),
    '2.10.0': ('5.0.1', '8.1.0'),
    '2.12.0': ('5.0.1', '8.1.0'),
    '3.0.0': ('5.0.1', '8.1.0'),
}
# Tests that are slow or need a TLS server are run as well.
ALL_TESTS = {'RUN_SLOW_TESTS_TOO': '1', 'RUN_SSL_TESTS': '1'}


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
        certificate = folder / 'tests' / 'ssl_config' / 'private.pem'
        return suite_run.run(folder, self.environment, accelerated, tests or ('tests',), certificate, **ALL_TESTS)


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
