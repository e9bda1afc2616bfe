"""Wheels of what is installed here, for a pip without a network."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from offline import closure


def make(folder: Path, names: Iterable[str]) -> Path:
    """Make wheels of the named distributions and of what they need, and return the folder."""
    folder.mkdir()
    for name in closure(names):
        _pack(distribution(name), folder)
    return folder


def _pack(found: Distribution, folder: Path) -> None:
    (*_, tag) = (line.partition(': ')[2] for line in (found.read_text('WHEEL') or '').splitlines() if 'Tag: ' in line)
    name = found.metadata['Name'].replace('-', '_')
    with zipfile.ZipFile(folder / f'{name}-{found.version}-{tag}.whl', 'w') as wheel:
        for file in found.files or []:
            path = Path(str(file.locate()))
            # Scripts lie elsewhere: pip makes them anew.
            if '..' not in file.parts and path.is_file() and path.suffix != '.pyc':
                wheel.write(path, str(file))
