"""Small programs, which are written into a folder and run there by real interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

PATIENCE = 120
OURS = ('RQREG_EXT_INSTALL', 'RQREG_EXT_DISABLE')


class Programs:
    """A folder of programs and modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, source: str) -> Path:
        """Write a file, usually a module. The common indentation of its source is removed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source), encoding='utf-8')
        return path

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of this process with these variables, and without RQREG_EXT_INSTALL and _DISABLE."""
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        return {**environment, 'PYTHONDONTWRITEBYTECODE': '1', **variables}

    def run(self, *arguments: str, stdin: str = '', **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the arguments, in the folder."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def output(self, source: str, *arguments: str, **variables: str) -> str:
        """Run a program given by its source, check that it succeeds with no errors printed, and return its output."""
        self.write('program.py', source)
        ended = self.run('program.py', *arguments, **variables)
        assert (ended.returncode, ended.stderr) == (0, ''), ended.stderr
        return ended.stdout
