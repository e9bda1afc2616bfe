"""Virtual environments, builds and installations with no network: what is installed here is lent to them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# async-timeout: redis needs it on Python 3.10, so the distribution may not ask for it on the Python of this run.
LENT = ('rq', 'redis', 'setuptools', 'async-timeout')


def closure(names: Iterable[str]) -> set[str]:
    """Return the installed distributions that the named ones need, themselves included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [re.split(r'[^\w.-]', line, maxsplit=1)[0] for line in requirements if 'extra ==' not in line]
    return found


def lend(folder: Path, names: Iterable[str] = LENT) -> Path:
    """Make a folder with links to what rq, redis and a build need, and nothing else of this environment."""
    folder.mkdir()
    for name in closure(names):
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {'..', '__pycache__'}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a build: no index, no configuration of pip, nothing of an outer build."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('PIP_', 'PYTHON', 'RQREG_'))}
    # The code is the same at any level; what is tried here is the packaging.
    offline = {'PIP_NO_INDEX': '1', 'PIP_CONFIG_FILE': os.devnull, 'PIP_NO_CACHE_DIR': '1', 'RQREG_CFLAGS': '-O0'}
    return {**kept, **offline, **variables}


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command offline and return what it gave, whatever that is."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


class FreshVenv:
    """A new virtual environment with nothing installed, to which the lent packages are visible."""

    def __init__(self, folder: Path, interpreter: Path, lent: Path) -> None:
        self.folder = folder
        self.python = folder / 'bin' / 'python'
        self._check(run(interpreter, '-m', 'venv', '--without-pip', folder, cwd=folder.parent))
        (site_packages,) = folder.glob('lib/python*/site-packages')
        (site_packages / 'lent.pth').write_text(f'{lent}\n', encoding='utf-8')

    @staticmethod
    def _check(result: subprocess.CompletedProcess[str]) -> str:
        assert result.returncode == 0, result.stdout
        return result.stdout

    def try_pip(self, *arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's pip for the fresh one, and return what it gave."""
        command = (sys.executable, '-m', 'pip', '--python', self.python, *arguments)
        return run(*command, cwd=cwd, **variables)

    def install(self, what: str | Path, cwd: Path, **variables: str) -> str:
        """Install a folder, an sdist or a wheel, and return pip's output."""
        options = ('--no-deps', '--no-build-isolation', '--verbose')
        return self._check(self.try_pip('install', *options, what, cwd=cwd, **variables))

    def wheel(self, what: str | Path, folder: Path) -> Path:
        """Build a wheel into the folder and return its path."""
        options = ('--no-deps', '--no-build-isolation', '--wheel-dir', folder)
        self._check(self.try_pip('wheel', *options, what, cwd=folder))
        (built,) = folder.glob('*.whl')
        return built

    def ask(self, source: str, cwd: Path) -> str:
        """Run Python code in the environment and return what it printed."""
        return self._check(run(self.python, '-c', source, cwd=cwd)).strip()
