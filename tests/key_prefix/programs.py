"""A program under RQ_KEY_PREFIX (RQ 3), which is read at import: in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import rq.defaults

TESTS = Path(__file__).resolve().parents[1]

needs_key_prefix = pytest.mark.skipif(not hasattr(rq.defaults, 'RQ_KEY_PREFIX'), reason='this RQ has no key prefix')


def assert_every_key_has(prefix: str, program: str) -> None:
    """Run the program, which prints the keys that it leaves."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / 'tools'), *filter(None, [os.environ.get('PYTHONPATH')])])
    environment = {**os.environ, 'RQ_KEY_PREFIX': prefix, 'PYTHONPATH': path}
    done = subprocess.run([sys.executable, '-c', program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    keys = done.stdout.split()
    assert keys
    assert [key for key in keys if not key.startswith(f'{prefix}:')] == []
