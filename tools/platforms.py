"""The core on other processors: compiled for each by Debian's compiler, and its tests run by qemu.

    python tools/platforms.py [--only NAME ...] [ARGUMENTS OF PYTEST]

The Python of a platform is the one of tools/foreign_python.py. The packages, as far as they are in Python, and the
Redis server are those that this runs with. The exit status is 1 if a platform has failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import interruptible
import system_packages
from foreign_python import ForeignPython

PYTHON = '3.11'
# Commands, replies and listings.
TESTS = tuple(f'tests/fastpath/test_{name}.py' for name in ('exchange', 'registry_reads', 'executions'))


@dataclass(frozen=True)
class Platform:
    """A processor, by Debian's name, and the programs that compile for it and run what was compiled."""

    architecture: str
    differs_by: str
    compiler: str
    qemu: str


PLATFORMS = (
    Platform('s390x', 'big-endian', 's390x-linux-gnu-gcc', 'qemu-s390x-static'),
    Platform('armhf', '32 bits', 'arm-linux-gnueabihf-gcc', 'qemu-arm-static'),
)


def say(message: str) -> None:
    """Print a message at once."""
    print(f'platforms: {message}', flush=True)


def try_out(platform: Platform, arguments: list[str]) -> str | None:
    """Compile the core and run the tests; return what has failed."""
    python = ForeignPython(PYTHON, platform.architecture, platform.qemu)
    python.ensure()
    folders = [os.environ.get('PYTHONPATH'), sysconfig.get_path('purelib')]
    variables = {'PYTHONPATH': os.pathsep.join(filter(None, folders)), 'RQREG_STRICT': '1'}
    say(f'{platform.architecture}: compiling, with warnings as errors')
    build = [str(python.command), 'setup.py', '--quiet', 'build_clib', 'build_ext', '--inplace']
    if interruptible.run_quietly(build, variables) != 0:
        return 'the compilation'
    say(f'{platform.architecture}: running the tests')
    tests = [str(python.command), '-m', 'pytest', *arguments]
    return 'the tests' if interruptible.run(tests, variables) != 0 else None


def main() -> None:
    """Try out each platform, and print a table of how it ended."""
    parser = argparse.ArgumentParser(description='The core on other processors. Other arguments are given to pytest.')
    names = [platform.architecture for platform in PLATFORMS]
    parser.add_argument('--only', action='append', choices=names, help='a platform; may be repeated')
    chosen, arguments = parser.parse_known_args()
    if not any(Path(argument.partition('::')[0]).exists() for argument in arguments):
        arguments += TESTS
    selected = [platform for platform in PLATFORMS if platform.architecture in (chosen.only or names)]
    programs = [program for platform in selected for program in (platform.compiler, platform.qemu)]
    lacking = system_packages.ensure_programs(programs, say)
    if lacking:
        sys.exit(f'platforms: there is no {", no ".join(lacking)}')
    rows = []
    for platform in selected:
        started = time.monotonic()
        failed = try_out(platform, arguments)
        minutes = (time.monotonic() - started) / 60
        rows.append((platform, f'failed: {failed}' if failed else 'passed', minutes))
    for platform, result, minutes in rows:
        print(f'{platform.architecture:<8}{platform.differs_by:<20}{result:<24}{minutes:>5.1f} minutes')
    if any(result != 'passed' for _, result, _ in rows):
        sys.exit(1)


if __name__ == '__main__':
    interruptible.main('platforms', main)
