"""A CPython without its headers, as Debian's python3 is without python3-dev."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path


def make(folder: Path) -> Path:
    """Make one in the folder from the Python that runs the tests: a copy of its program, and links to its library."""
    base = Path(sys.base_prefix)
    standard_library = Path(sysconfig.get_path('stdlib'))
    program = folder / 'bin' / standard_library.name
    program.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), program)
    library = folder / standard_library.relative_to(base)
    library.mkdir(parents=True)
    for path in standard_library.iterdir():
        (library / path.name).symlink_to(path)
    for shared in standard_library.parent.glob('libpython*'):
        (library.parent / shared.name).symlink_to(shared)
    # It says where the headers were when this Python was built.
    for data in library.glob('_sysconfigdata_*.py'):
        text = data.read_text(encoding='utf-8')
        data.unlink()
        data.write_text(text.replace(str(base / 'include'), str(folder / 'include')), encoding='utf-8')
    return program
