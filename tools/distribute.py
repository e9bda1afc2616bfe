"""Make the source distribution or a wheel in dist/, and say what was made: python tools/distribute.py sdist

What the build prints, a list of all files, is shown only where it fails.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import interruptible

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Build what the argument names, with the packages of this environment."""
    (kind,) = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix='rqreg-dist-') as folder:
        command = [sys.executable, '-m', 'build', '--no-isolation', f'--{kind}', '--outdir', folder, str(ROOT)]
        status = interruptible.run_quietly(command)
        if status != 0:
            sys.exit(f'{kind}: the build above has failed with exit status {status}')
        for made in Path(folder).iterdir():
            kept = ROOT / 'dist' / made.name
            kept.parent.mkdir(exist_ok=True)
            shutil.copyfile(made, kept)
            print(f'{kind}: made {kept.relative_to(ROOT)}, {kept.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    interruptible.main(sys.argv[1], main)
