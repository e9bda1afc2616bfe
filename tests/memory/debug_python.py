"""The package built for a debug build of CPython, which counts references and checks its assertions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'packaging'))

import offline
from instrumented import copy_checkout

PROGRAM = 'python3-dbg'
LENT = (*offline.LENT, 'pytest', 'hypothesis', 'cryptography')


class DebugPython:
    """python3-dbg with the package compiled in a copy of the checkout; what it imports is lent by this environment."""

    def __init__(self, folder: Path) -> None:
        self.checkout = copy_checkout(folder / 'checkout')
        lent = offline.lend(folder / 'lent', LENT)
        paths = [self.checkout, self.checkout / 'tests', self.checkout / 'tools', lent]
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(('PYTEST_', 'PYTHON', 'RQREG_'))
        }
        self._environment['PYTHONPATH'] = os.pathsep.join(map(str, paths))
        built = self.run('setup.py', '-q', 'build_clib', 'build_ext', '--inplace', RQREG_DEBUG='1', RQREG_STRICT='1')
        assert built.returncode == 0, built.stdout

    def run(self, *arguments: str, timeout: float = 900, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it in the copy; both outputs are in `stdout`."""
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.checkout,
            env={**self._environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )


def is_there() -> bool:
    """Tell whether there is such a Python, and one that can compile."""
    return shutil.which(PROGRAM) is not None
