"""A client's own tests, as they are in its source distribution, on both sides."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compat import environments, suite_run
from compat.clients.comparison import Row
from compat.clients.sides import SIDES, Side
from compat.environments import Environment
from compat.suite_run import Outcomes


def own_tests(client: str, sdist: str, environment: Environment) -> list[Row]:
    """Run the tests of a source distribution on both sides, side by side, and compare their outcomes one by one."""
    archive = fetch(sdist)
    with ThreadPoolExecutor(2) as threads:
        (plain, seconds), (ours, our_seconds) = threads.map(lambda side: _run(side, archive, environment), SIDES)
    found = outcome_differences(plain, ours)
    counts = Counter(outcome for outcome, _ in plain.values())
    result = ', '.join(f'{number} {outcome}' for outcome, number in sorted(counts.items()))
    return [Row(client, f'its own tests ({sdist})', result, seconds, our_seconds, found)]


def outcome_differences(plain: Outcomes, ours: Outcomes) -> list[str]:
    """Return a line for each test whose outcome is not the same, and one where there are no tests."""
    lines = [] if plain else ['there are no tests']
    for test in sorted(plain.keys() | ours.keys()):
        of_plain, of_ours = plain.get(test, ('missing', '')), ours.get(test, ('missing', ''))
        if of_plain[0] != of_ours[0]:
            lines.append(f'{test}: {of_plain[0]} on plain RQ, {of_ours[0]} on ours\n{of_ours[1] or of_plain[1]}')
    return lines


def fetch(sdist: str) -> Path:
    """Return the source distribution that compat/pins/ names with its hash, downloaded by pip."""
    name, _, version = sdist.rpartition('-')
    folder = environments.KEPT / 'sdists' / sdist
    if not folder.is_dir():
        pins = (environments.PINS / f'{name}.txt').read_text(encoding='utf-8')
        start = pins.index(f'{name}=={version} ')
        requirement = folder.parent / f'{sdist}.txt'
        requirement.parent.mkdir(parents=True, exist_ok=True)
        requirement.write_text(pins[start:].split('\n', 1)[0] + '\n' + _hashes(pins[start:]), encoding='utf-8')
        pip = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary', name]
        environments.run(*pip, '--require-hashes', '--dest', folder, '--requirement', requirement)
    (archive,) = folder.iterdir()
    return archive


def _hashes(pins: str) -> str:
    lines = pins.splitlines()[1:]
    end = next((number for number, line in enumerate(lines) if not line.startswith(' ')), len(lines))
    return '\n'.join(lines[:end]) + '\n'


def _run(side: Side, archive: Path, environment: Environment) -> tuple[Outcomes, float]:
    parent = environments.KEPT / 'runs' / f'{archive.parent.name}-{side.name}'
    shutil.rmtree(parent, ignore_errors=True)
    shutil.unpack_archive(archive, parent)
    (source,) = parent.iterdir()
    # The tests alone, with no settings of pytest: they are for the package that is installed.
    folder = parent / 'tests-alone'
    folder.mkdir()
    shutil.move(source / 'tests', folder / 'tests')
    (folder / 'pytest.ini').touch()
    start = time.perf_counter()
    return suite_run.run(folder, environment, side.accelerated), time.perf_counter() - start
