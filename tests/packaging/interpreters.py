"""The CPythons of this machine that the package supports."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ('3.10', '3.11', '3.12', '3.13', '3.14', '3.15')
PROBE = 'import sys, venv, platform; print(platform.python_implementation(), "%d.%d" % sys.version_info[:2])'


def _candidates(version: str) -> Iterator[Path]:
    """Yield where an interpreter may be: on PATH, and where pyenv keeps them (it has no more than a shim on PATH)."""
    folders = [Path(folder) for folder in os.environ.get('PATH', '').split(os.pathsep) if folder]
    pyenv = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv')
    folders += sorted(pyenv.glob(f'versions/{version}*/bin'))
    for folder in folders:
        yield folder / f'python{version}'


def _works(path: Path, version: str) -> bool:
    try:
        answer = subprocess.run([path, '-c', PROBE], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.strip() == f'CPython {version}'


@functools.cache
def find(version: str) -> Path | None:
    """Return an interpreter of the version that runs and can make virtual environments, if there is one."""
    return next((path for path in _candidates(version) if _works(path, version)), None)
