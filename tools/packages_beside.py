"""Install packages into a folder of their own, outside the environment, unless they are there.

python tools/packages_beside.py FOLDER ARGUMENTS_OF_PIP_INSTALL
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import interruptible


def main() -> None:
    """Install into another folder first: one that has the right name is complete."""
    folder, *arguments = sys.argv[1:]
    if Path(folder).is_dir():
        return
    print(f'packages: installing {" ".join(arguments)}', flush=True)
    unfinished = Path(f'{folder}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-input', '--target', str(unfinished), *arguments]
    status = interruptible.run(command)
    if status != 0:
        sys.exit(f'packages: pip has failed with exit status {status}')
    unfinished.rename(folder)


if __name__ == '__main__':
    interruptible.main('packages', main)
