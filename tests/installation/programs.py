"""Small programs, written into a folder and run by real interpreters there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

PATIENCE = 120
OURS = ('RQREG_EXT_INSTALL', 'RQREG_EXT_DISABLE')


class Programs:
    """A folder of modules, and the environment variables that all their programs get."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, source: str) -> Path:
        """Write a file, a module as a rule; its source may be indented as a whole."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source), encoding='utf-8')
        return path

    def environment(self, **variables: str) -> dict[str, str]:
        """Return this process's environment without what installs us or forbids it, but with these variables."""
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
        """Run a program given by its source, and return what it printed; it has to succeed and to say nothing else."""
        self.write('program.py', source)
        ended = self.run('program.py', *arguments, **variables)
        assert (ended.returncode, ended.stderr) == (0, ''), ended.stderr
        return ended.stdout
