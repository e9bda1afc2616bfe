"""Virtual environments with pinned, hashed packages and our wheel, as `pip install rqreg-ext` makes them.

What was made is kept under build/compat/, and made anew when the pins, our sources or the Python change.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tools'))

from bootstrap import BUILD_FILES, digest  # noqa: E402

PINS = ROOT / 'compat' / 'pins'
KEPT = ROOT / 'build' / 'compat'
# What would run a program on our registries that is to be run plain.
OURS = ('RQREG_EXT_INSTALL', 'RQREG_EXT_DISABLE')
# What of the caller would reach into the environment.
FOREIGN = ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV', 'PYTEST_ADDOPTS', 'PYTEST_PLUGINS', *OURS)


def run(*command: str | Path) -> None:
    """Run a command, and end with its output where it fails."""
    words = [str(word) for word in command]
    result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = f'{result.stdout}{result.stderr}'.strip()
        sys.exit(f'compat: exit status {result.returncode} of: {shlex.join(words)}\n{output}')


def wheel() -> Path:
    """Return our wheel, built from the source distribution as an installation without a wheel would."""
    folder = KEPT / f'wheel-{_sources()}'
    if not list(folder.glob('*.whl')):
        say('building the wheel')
        for old in KEPT.glob('wheel-*'):
            shutil.rmtree(old)
        run(sys.executable, '-m', 'build', '--no-isolation', '--outdir', folder, ROOT)
    (built,) = folder.glob('*.whl')
    return built


def _sources() -> str:
    files = [ROOT / name for name in BUILD_FILES]
    files += sorted((ROOT / 'src').rglob('*.*')) + sorted((ROOT / 'rqreg_ext').rglob('*.py'))
    contents = [part for path in files for part in (path.name, path.read_bytes())]
    return digest([sys.version, *contents])[:16]


def say(message: str) -> None:
    """Tell what is done now: a line, whole also where several threads tell."""
    sys.stdout.write(f'compat: {message}\n')
    sys.stdout.flush()


class Environment:
    """A virtual environment: its folder, and the variables of a process that runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / 'bin'
        self.python = self.bin / 'python'

    def variables(self, accelerated: bool, **more: str) -> dict[str, str]:
        """Return the environment variables for a program, on our registries or on RQ's own."""
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        kept['PATH'] = os.pathsep.join([str(self.bin), kept.get('PATH', os.defpath)])
        kept['VIRTUAL_ENV'] = str(self.folder)
        if accelerated:
            kept['RQREG_EXT_INSTALL'] = '1'
        return {**kept, **more}


def make(name: str, *pins: str) -> Environment:
    """Return the environment `name` with the packages that compat/pins/PIN.txt name, and our wheel.

    make('rq-3.0.0-redis-8.1.0', 'rq-3.0.0', 'redis-8.1.0', 'rq-suite')
    """
    built = wheel()
    files = [PINS / f'{pin}.txt' for pin in pins]
    environment = Environment(KEPT / 'environments' / name)
    stamp = environment.folder / 'compat-stamp'
    inputs = digest([sys.version, str(environment.folder), built.parent.name, *(file.read_bytes() for file in files)])
    if not (stamp.is_file() and stamp.read_text(encoding='ascii') == inputs):
        say(f'making the environment {name}')
        run(sys.executable, '-m', 'venv', '--clear', environment.folder)
        # Isolated from the current folder: pip takes an egg-info there for an installation.
        pip = [str(environment.python), '-I', '-m', 'pip', '--quiet', '--no-input', '--disable-pip-version-check']
        requirements = [word for file in files for word in ('--requirement', str(file))]
        run(*pip, 'install', '--no-deps', '--require-hashes', *requirements)
        run(*pip, 'install', '--no-deps', '--no-index', built)
        # All that is needed must be pinned: nothing was installed that was not named.
        run(*pip, 'check')
        stamp.write_text(inputs, encoding='ascii')
    return environment
