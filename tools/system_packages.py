"""What a build and the checks need of the system: looked for, installed where that is allowed, otherwise named.

python tools/system_packages.py clang valgrind      make these programs available
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

VERSION = f'{sys.version_info.major}.{sys.version_info.minor}'
# By the names that `missing` returns.
DEBIAN = {
    'C compiler': ['gcc', 'libc6-dev'],
    'Python headers': [f'python{VERSION}-dev'],
    'venv': [f'python{VERSION}-venv'],
}
# Programs that checks call, by the name they are called by.
PROGRAMS = {
    'clang': ['clang', 'libclang-rt-dev'],
    'clang-tidy': ['clang-tidy'],
    'cppcheck': ['cppcheck'],
    'gcc': ['gcc', 'libc6-dev'],
    'haproxy': ['haproxy'],
    'ip': ['iproute2'],
    'mount': ['mount'],
    'python3-dbg': ['python3-dbg', 'python3-dev', 'python3-venv'],
    'redis-server': ['redis-server'],
    'unshare': ['util-linux'],
    'valgrind': ['valgrind'],
}
ADVICE = f"""\
    Debian, Ubuntu:  apt-get install gcc libc6-dev python{VERSION}-dev python{VERSION}-venv
    Fedora, RHEL:    dnf install gcc python3-devel
    Alpine:          apk add gcc musl-dev python3-dev
    macOS:           xcode-select --install"""


def has_redis_server() -> bool:
    """Tell whether the machine has a Redis server of its own (see tools/private_redis.py)."""
    on_path = shutil.which('redis-server') or shutil.which('valkey-server')
    return bool(os.environ.get('RQREG_REDIS_SERVER') or on_path)


def _compiles(source: str, *options: str) -> bool:
    compiler = shlex.split(os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc')
    with tempfile.TemporaryDirectory(prefix='rqreg-probe-') as folder:
        path = Path(folder, 'probe.c')
        path.write_text(source, encoding='ascii')
        command = [*compiler, *options, '-c', str(path), '-o', f'{folder}/probe.o']
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


def missing() -> list[str]:
    """Return what this machine lacks, by name."""
    lacking = []
    if not _compiles('#include <stdlib.h>\nint main(void) { return 0; }\n'):
        lacking.append('C compiler')
    # Without a compiler the headers cannot be tried, only looked for.
    elif not _compiles('#include <Python.h>\nint main(void) { return 0; }\n', f'-I{sysconfig.get_path("include")}'):
        lacking.append('Python headers')
    if lacking == ['C compiler'] and not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        lacking.append('Python headers')
    if importlib.util.find_spec('ensurepip') is None:
        lacking.append('venv')
    return lacking


def ensure_build_tools(say: Callable[[str], None]) -> None:
    """Install what is missing as root on Debian or Ubuntu; elsewhere name the packages and end."""
    lacking = missing()
    if lacking and os.geteuid() == 0 and shutil.which('apt-get'):
        packages = [package for name in lacking for package in DEBIAN[name]]
        say(f'no {", no ".join(lacking)}: installing {" ".join(packages)}')
        _apt_get('update')
        _apt_get('install', '--yes', '--no-install-recommends', *packages)
        lacking = missing()
    if lacking:
        sys.exit(
            f'bootstrap: Python {VERSION} ({sys.executable}) needs what this machine lacks: {", ".join(lacking)}.\n'
            f'Install it and run the same command again:\n{ADVICE}'
        )


def ensure_programs(names: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """Install the named programs where that is allowed, and return those that are still missing."""
    lacking = [name for name in names if shutil.which(name) is None]
    if lacking and os.geteuid() == 0 and shutil.which('apt-get'):
        packages = [package for name in lacking for package in PROGRAMS[name]]
        say(f'no {", no ".join(lacking)}: installing {" ".join(packages)}')
        _apt_get('update')
        _apt_get('install', '--yes', '--no-install-recommends', *packages)
        lacking = [name for name in lacking if shutil.which(name) is None]
    return lacking


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    subprocess.run(['apt-get', '-qq', *arguments], env=environment, stdin=subprocess.DEVNULL, check=False)


if __name__ == '__main__':
    still_missing = ensure_programs(sys.argv[1:], lambda message: print(f'packages: {message}', flush=True))
    if still_missing:
        wanted = ' '.join(package for name in still_missing for package in PROGRAMS[name])
        sys.exit(f'packages: this check needs {", ".join(still_missing)}. On Debian: apt-get install {wanted}')
