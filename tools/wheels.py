"""make wheels: a wheel for each CPython of this machine, built as for a release, repaired, checked and tried.

python tools/wheels.py SDIST AUDITWHEEL

Each is built twice, and both must be the same. It is tried in an environment of its own, without a compiler, by the
comparison of the demo. dist/ has the wheels at the end, and the table of what was made is printed.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import interruptible
import private_redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tests' / 'packaging'))

import interpreters
from debian_python import FOLDER as UNPACKED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / 'dist'
# What readelf must say of a shared object.
HARDENING = {
    'RELRO': r'GNU_RELRO',
    'bound at start': r'BIND_NOW|FLAGS.*NOW',
    'stack protector': r'__stack_chk_fail',
    'fortified': r'__\w+_chk\b',
}
EXECUTABLE_STACK = re.compile(r'GNU_STACK(?:\s+0x\w+)+\s+RWE')


def say(message: str) -> None:
    """Print a message at once."""
    print(f'wheels: {message}', flush=True)


def run(*command: str | Path, **variables: str) -> None:
    """Run a command, or end with what it printed."""
    status = interruptible.run_quietly([str(part) for part in command], variables)
    if status != 0:
        sys.exit(f'wheels: exit status {status} of: {" ".join(map(str, command))}')


def flags() -> dict[str, str]:
    """Return the variables of a build that cibuildwheel sets."""
    settings = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))
    found: dict[str, str] = settings['tool']['cibuildwheel']['linux']['environment']
    return found


def pythons() -> Iterator[tuple[str, Path]]:
    """Yield the supported CPythons of this machine, and their versions."""
    for version in interpreters.VERSIONS:
        path = interpreters.find(version)
        unpacked = UNPACKED / version / 'usr/bin' / f'python{version}'
        if path is None and unpacked.exists():
            path = unpacked
        if path is None:
            say(f'no CPython {version} here')
        else:
            yield version, path


def build(python: Path, sdist: Path, folder: Path, auditwheel: Path) -> Path:
    """Return a repaired wheel in the folder."""
    made = folder / 'made'
    epoch = str(int(sdist.stat().st_mtime))
    run(python, '-m', 'venv', folder / 'venv')
    pip = [folder / 'venv/bin/python', '-m', 'pip', '--disable-pip-version-check']
    run(*pip, 'wheel', '--no-deps', '--wheel-dir', made, sdist, SOURCE_DATE_EPOCH=epoch, **flags())
    (wheel,) = made.glob('*.whl')
    path = f'{auditwheel.parent}{os.pathsep}{os.environ["PATH"]}'
    repair = [auditwheel, 'repair', '--wheel-dir', folder / 'repaired', wheel]
    run(*repair, SOURCE_DATE_EPOCH=epoch, PATH=path, PYTHONPATH=str(auditwheel.parent.parent))
    (repaired,) = (folder / 'repaired').glob('*.whl')
    return repaired


def check(wheel: Path, folder: Path) -> None:
    """End with a message if the shared object in a wheel is not hardened as it should be."""
    run(sys.executable, '-m', 'zipfile', '-e', wheel, folder / 'content')
    (core,) = (folder / 'content').glob('rqreg_ext/_core*.so')
    told = subprocess.run(['readelf', '--wide', '-a', core], capture_output=True, text=True, check=True).stdout
    lacking = [name for name, pattern in HARDENING.items() if not re.search(pattern, told)]
    if EXECUTABLE_STACK.search(told):
        lacking.append('stack that is not executable')
    if lacking:
        sys.exit(f'wheels: {wheel.name} is not hardened: no {", no ".join(lacking)}')


def try_out(python: Path, wheel: Path, folder: Path) -> None:
    """Run the comparison of the demo on an installed wheel, where no compiler is to be found."""
    run(python, '-m', 'venv', folder / 'trial')
    # Found before PATH is changed.
    variables = {'RQREG_REDIS_SERVER': str(private_redis.find_server()), 'PATH': str(folder / 'trial/bin')}
    trial = folder / 'trial/bin/python'
    run(
        trial,
        '-m',
        'pip',
        '--disable-pip-version-check',
        'install',
        '--only-binary',
        ':all:',
        f'{wheel}[cli]',
        **variables,
    )
    # In the folder of the demo: in that of the checkout, its sources would be found first.
    run(trial, '-B', '-m', 'demo', '--only', 'comparison', '--no-scripts', **variables)


def main() -> None:
    """Make, check and try them."""
    sdist, auditwheel = (Path(argument).resolve() for argument in sys.argv[1:])
    os.chdir(ROOT / 'examples')
    rows = []
    for version, python in pythons():
        say(f'CPython {version}: building')
        with tempfile.TemporaryDirectory(prefix='rqreg-wheels-') as first, tempfile.TemporaryDirectory() as second:
            wheel, again = (build(python, sdist, Path(folder), auditwheel) for folder in (first, second))
            digest, other = (hashlib.sha256(made.read_bytes()).hexdigest() for made in (wheel, again))
            if digest != other:
                sys.exit(f'wheels: {wheel.name} is another one each time: {digest}, {other}')
            check(wheel, Path(first))
            try_out(python, wheel, Path(first))
            (DIST / wheel.name).write_bytes(wheel.read_bytes())
            rows.append(f'{wheel.name}  {wheel.stat().st_size / 1e3:.0f} kB  sha256:{digest[:16]}')
    for row in rows:
        print(row)


if __name__ == '__main__':
    interruptible.main('wheels', main)
