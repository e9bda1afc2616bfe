"""Each script of this folder in a process of its own: nothing grows from the middle of its work to the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from depth import IS_DEEP

if TYPE_CHECKING:
    from private_redis import PrivateRedis

HERE = Path(__file__).resolve().parent
LEAKING = 'one_object_kept_per_call'
SCRIPTS = sorted(
    path.stem for path in HERE.glob('*.py') if path.stem not in ('__init__', 'measuring', LEAKING, Path(__file__).stem)
)
FACTOR = 20 if IS_DEEP else 1
# Of the smallest object that CPython allocates.
OBJECT = 16
SOME_BYTES = 20_000
# Where each step leaves another idle connection, its block is of 16 or 64 KiB: as the last reply came in.
ANOTHER_BLOCK = {'retries_that_raise': 48 << 10}
# What the resident set may grow by without a leak: an arena of CPython's, and pages touched late.
SOME_PAGES = 2 << 20
PATIENCE = 600


def run(name: str, port: int) -> dict[str, Any]:
    """Run a script and return what it measured."""
    folders = [HERE.parent.parent, HERE.parent, HERE.parent.parent / 'tools']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, folders)), 'PYTHONWARNINGS': 'ignore'}
    ran = subprocess.run(
        [sys.executable, str(HERE / f'{name}.py'), str(port), str(FACTOR)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def leaks(script: str, told: dict[str, Any]) -> dict[str, int]:
    """Return what grew by more than a tenth of an object per call, with some for chance; by name."""
    calls = told['calls']
    growth = {
        name: told['end'][name] - told['middle'][name]
        for name in told['end']
        if told['end'][name] is not None and told['middle'][name] is not None
    }
    few = max(calls // 10, 20)
    bounds = {
        'blocks': few,
        'objects': few,
        'descriptors': 0,
        'malloc': max(calls * OBJECT // 2, SOME_BYTES) + ANOTHER_BLOCK.get(script, 0),
        'resident': max(calls * OBJECT, SOME_PAGES),
    }
    return {name: grown for name, grown in growth.items() if grown > bounds[name]}


@pytest.mark.parametrize('script', SCRIPTS)
def test_memory_and_connections_do_not_grow_in_script(redis_server: PrivateRedis, script: str) -> None:
    told = run(script, redis_server.port)
    assert leaks(script, told) == {}, told


def test_leak_of_script_is_found(redis_server: PrivateRedis) -> None:
    assert 'blocks' in leaks(LEAKING, run(LEAKING, redis_server.port))
