"""What the checks need of the system: looked for, installed where that is allowed, otherwise named.

python tools/system_packages.py clang valgrind      make these programs available
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence

import interruptible

# Programs that checks call, by the name they are called by.
PROGRAMS = {
    'arm-linux-gnueabihf-gcc': ['gcc-arm-linux-gnueabihf', 'libc6-dev-armhf-cross'],
    'clang': ['clang', 'libclang-rt-dev'],
    'clang-tidy': ['clang-tidy'],
    'cppcheck': ['cppcheck'],
    'gcc': ['gcc', 'libc6-dev'],
    'haproxy': ['haproxy'],
    'ip': ['iproute2'],
    'mount': ['mount'],
    'prometheus': ['prometheus'],
    'promtool': ['prometheus'],
    'python3-dbg': ['python3-dbg', 'python3-dev', 'python3-venv'],
    'qemu-arm-static': ['qemu-user-static'],
    'qemu-s390x-static': ['qemu-user-static'],
    'readelf': ['binutils'],
    'redis-server': ['redis-server'],
    's390x-linux-gnu-gcc': ['gcc-s390x-linux-gnu', 'libc6-dev-s390x-cross'],
    'tmux': ['tmux'],
    'unshare': ['util-linux'],
    'valgrind': ['valgrind'],
}


def has_redis_server() -> bool:
    """Tell whether the machine has a Redis server of its own (see tools/private_redis.py)."""
    on_path = shutil.which('redis-server') or shutil.which('valkey-server')
    return bool(os.environ.get('RQREG_REDIS_SERVER') or on_path)


def may_install() -> bool:
    """Tell whether packages can be installed here: as root on Debian or Ubuntu."""
    return os.geteuid() == 0 and shutil.which('apt-get') is not None


def install(packages: Sequence[str]) -> None:
    """Install Debian packages; apt prints what goes wrong."""
    for arguments in (('update',), ('install', '--yes', '--no-install-recommends', *packages)):
        interruptible.run(['apt-get', '-qq', *arguments], {'DEBIAN_FRONTEND': 'noninteractive'})


def ensure_programs(names: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """Install the named programs where that is allowed, and return those that are still missing."""
    lacking = [name for name in names if shutil.which(name) is None]
    if lacking and may_install():
        packages = [package for name in lacking for package in PROGRAMS[name]]
        say(f'no {", no ".join(lacking)}: installing {" ".join(packages)}')
        install(packages)
        lacking = [name for name in lacking if shutil.which(name) is None]
    return lacking


def main() -> None:
    """Make the programs available that the arguments name, or end and name their packages."""
    lacking = ensure_programs(sys.argv[1:], lambda message: print(f'packages: {message}', flush=True))
    if lacking:
        wanted = ' '.join(package for name in lacking for package in PROGRAMS[name])
        sys.exit(f'packages: this check needs {", ".join(lacking)}. On Debian: apt-get install {wanted}')


if __name__ == '__main__':
    interruptible.main('packages', main)
