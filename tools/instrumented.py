"""A copy of the checkout under build/, compiled with flags of its own, and the tests run in it.

One checkout has one extension module per Python, which all its environments share: what is compiled for a
check stays out of their way. The packaging tests are left out of every such run, because they build and
install distributions of their own, without the flags: nothing that is instrumented would run in them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_IN_A_CHECKOUT = ('.git', '.venv*', 'build', 'dist', '*.egg-info', '*.so', '__pycache__', '.*_cache', '.hypothesis')
NOT_INSTRUMENTED = 'tests/packaging'
# Seconds after which a test hangs: what is instrumented may take ten times as long.
PATIENCE = 1800


def compiler() -> list[str]:
    """Return the command by which setuptools compiles C."""
    return shlex.split(os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc')


def runtime_library(name: str) -> str:
    """Return the path of a library that belongs to the compiler, or end where it has none."""
    command = [compiler()[0], f'-print-file-name={name}']
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    # A compiler that does not have it answers with the bare name.
    if not Path(path).is_absolute():
        sys.exit(f'{compiler()[0]} has no {name}: install it, or name another compiler by CC')
    return str(Path(path).resolve())


def copy_checkout(folder: Path) -> Path:
    """Copy what a checkout holds after its first build: the sources, and hiredis in vendor/."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_IN_A_CHECKOUT))
    return folder


class InstrumentedCopy:
    """A fresh copy in build/<name>, compiled by this Python with these flags (hiredis too)."""

    def __init__(self, name: str, compile_flags: Iterable[str], link_flags: Iterable[str]) -> None:
        self.folder = ROOT / 'build' / name
        shutil.rmtree(self.folder, ignore_errors=True)
        copy_checkout(self.folder)
        self._build(compile_flags, link_flags)

    def _build(self, compile_flags: Iterable[str], link_flags: Iterable[str]) -> None:
        flags = {'RQREG_CFLAGS': shlex.join(compile_flags), 'RQREG_LDFLAGS': shlex.join(link_flags)}
        print(f'compiling build/{self.folder.name} with {flags["RQREG_CFLAGS"]}', flush=True)
        command = [sys.executable, 'setup.py', '--quiet', 'build_clib', 'build_ext', '--inplace']
        self.must_run(*command, RQREG_DEBUG='1', **flags)

    def run(self, *command: str, **variables: str) -> int:
        """Run a command in the copy, whose package comes before an installed one, and return its exit status."""
        return subprocess.run(command, cwd=self.folder, env=self._environment(variables), check=False).returncode

    def must_run(self, *command: str, **variables: str) -> None:
        """Run a command in the copy, and end where it fails."""
        status = self.run(*command, **variables)
        if status != 0:
            sys.exit(f'exit status {status} of: {shlex.join(command)}')

    def ask(self, *command: str, **variables: str) -> tuple[int, str]:
        """Run a command in the copy, and return its exit status and what it says."""
        environment = self._environment(variables)
        result = subprocess.run(command, cwd=self.folder, env=environment, text=True, capture_output=True, check=False)
        return result.returncode, result.stdout + result.stderr

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        return {**os.environ, 'PYTHONPATH': str(self.folder), **variables}

    def python(self, *arguments: str, **variables: str) -> int:
        """Run this Python in the copy."""
        return self.run(sys.executable, *arguments, **variables)

    def test(self, *arguments: str, **variables: str) -> int:
        """Run pytest in the copy, without what is not instrumented, and return its exit status."""
        options = ['-p', 'no:cacheprovider', '-o', f'faulthandler_timeout={PATIENCE}', f'--ignore={NOT_INSTRUMENTED}']
        return self.python('-m', 'pytest', *options, *arguments, **variables)
