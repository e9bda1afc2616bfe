"""Fetch the pinned hiredis C sources into vendor/hiredis/.

The sources are not committed: they come out of the sdist of the `hiredis` package, which pip downloads
and checks against the hash in tools/hiredis-requirements.txt.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'tools' / 'hiredis-requirements.txt'
VENDOR = ROOT / 'vendor' / 'hiredis'
# Where setuptools finds the licences of what a distribution contains.
LICENSE = ROOT / 'LICENSE.hiredis'
# What the reply reader needs: no sockets, no TLS, no event loop.
FILES = ('alloc.c', 'alloc.h', 'ffc.h', 'fmacros.h', 'read.c', 'read.h', 'sds.c', 'sds.h', 'sdsalloc.h', 'win32.h')
FILES += ('hiredis.h', 'COPYING')


def is_fetched() -> bool:
    """Tell whether vendor/hiredis/ already holds the pinned sources."""
    pin = VENDOR / 'PIN'
    return (
        LICENSE.is_file()
        and pin.is_file()
        and pin.read_text(encoding='utf-8') == REQUIREMENTS.read_text(encoding='utf-8')
    )


def fetch() -> Path:
    """Make sure that vendor/hiredis/ holds the pinned sources, and return the folder."""
    if is_fetched():
        return VENDOR
    with tempfile.TemporaryDirectory(prefix='rqreg-hiredis-') as folder:
        _download(folder)
        (sdist,) = Path(folder).glob('hiredis-*.tar.gz')
        _unpack(sdist)
    return VENDOR


def _download(folder: str) -> None:
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary', ':all:']
    command += ['--require-hashes', '--dest', folder, '--requirement', str(REQUIREMENTS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(
            'Could not fetch the hiredis sources with pip. Check the network and pip, or build against the '
            f"system's hiredis with RQREG_SYSTEM_HIREDIS=1.\n{result.stderr.strip()}"
        )


def _unpack(sdist: Path) -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    with tarfile.open(sdist) as archive:
        prefix = sdist.name.removesuffix('.tar.gz') + '/vendor/hiredis/'
        for name in FILES:
            member = archive.extractfile(prefix + name)
            if member is None:
                raise RuntimeError(f'{sdist.name} has no {prefix}{name}: the pin and FILES disagree')
            (VENDOR / name).write_bytes(member.read())
    shutil.copyfile(VENDOR / 'COPYING', LICENSE)
    (VENDOR / 'PIN').write_text(REQUIREMENTS.read_text(encoding='utf-8'), encoding='utf-8')


if __name__ == '__main__':
    print(fetch())
