"""`make compat-next`: the newest releases of an index, pre-releases too, are compared and tested."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rq

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'compat_next.py'

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='no make here')


def add_wheel(index: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """Put a wheel with these files into a folder that pip takes for an index."""
    about = f'{name}-{version}.dist-info'
    files |= {
        f'{about}/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'.encode(),
        f'{about}/WHEEL': b'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    }
    files[f'{about}/RECORD'] = ''.join(f'{path},,\n' for path in [*files, f'{about}/RECORD']).encode()
    with zipfile.ZipFile(index / f'{name}-{version}-py3-none-any.whl', 'w') as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)


def rq_of(version: str) -> dict[str, bytes]:
    """Return the files of the installed RQ, as this version."""
    folder = Path(str(rq.__file__)).parent
    files = {f'rq/{path.name}': path.read_bytes() for path in folder.glob('*.py')}
    return files | {'rq/version.py': f"VERSION = '{version}'\n".encode()}


def test_newest_pre_releases_are_compared_and_tested(tmp_path: Path) -> None:
    index = tmp_path / 'index'
    index.mkdir()
    changed = rq_of('3.1.0rc1')
    changed['rq/queue.py'] = changed['rq/queue.py'].replace(b'def push_job_id(', b'def push(')
    add_wheel(index, 'rq', '3.0.0', rq_of('3.0.0'))
    add_wheel(index, 'rq', '3.1.0rc1', changed)
    add_wheel(index, 'redis', '8.1.0', {})
    add_wheel(index, 'redis', '9.0.0b2', {})
    (tmp_path / 'Makefile').write_text('test:\n\t@echo tests of $(RQ) with $(REDIS), $(ARGS); exit 3\n')
    ended = subprocess.run(
        [sys.executable, TOOL, 'tests/bulk'],
        cwd=tmp_path,
        env={'PATH': '/usr/bin:/bin', 'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(index)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [line for line in ended.stdout.splitlines() if not line.startswith('packages: ')]
    assert lines[:4] == [
        'compat-next: RQ 3.1.0rc1, redis-py 9.0.0b2',
        'RQ 3.1.0rc1 beside RQ 3.0.0, which the table of releases has:',
        '  rq.queue.Queue.push_job_id is gone (for requeues)',
        'tests of 3.1.0rc1 with 9.0.0b2, tests/bulk',
    ], ended.stderr
    # make's own, which passes on that the tests have failed.
    assert ended.returncode == 2


def test_index_without_rq_is_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, TOOL],
        cwd=tmp_path,
        env={'PATH': '/usr/bin:/bin', 'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith('compat-next: pip finds no newest RQ and redis-py:\n')
