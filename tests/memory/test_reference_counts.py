"""On a debug build of CPython: no call and no error keeps a reference, and no assertion fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from depth import IS_DEEP

from . import debug_python
from .debug_python import DebugPython
from .scenarios import SCENARIOS

if TYPE_CHECKING:
    from private_redis import PrivateRedis

TIMES = 100
CORE_TESTS = [
    'tests/fastpath/test_executions.py',
    'tests/key_prefix/test_single_calls.py',
    'tests/test_public_names.py',
    'tests/fastpath/test_queue.py',
    'tests/fastpath/test_registry_init.py',
    'tests/fastpath/test_registry_reads.py',
    'tests/fastpath/test_registry_remove.py',
    'tests/fastpath/test_registry_requeue.py',
]

pytestmark = [
    pytest.mark.skipif(not IS_DEEP, reason='part of make check-memory: the package is compiled once more for it'),
    pytest.mark.skipif(not debug_python.is_there(), reason=f'no {debug_python.PROGRAM}: apt-get install python3-dbg'),
]


@pytest.fixture(scope='module')
def python(tmp_path_factory: pytest.TempPathFactory) -> DebugPython:
    return DebugPython(tmp_path_factory.mktemp('debug'))


@pytest.mark.parametrize('protocol', [2, 3])
def test_no_references_are_kept(python: DebugPython, redis_server: PrivateRedis, protocol: int) -> None:
    program = ['-W', 'ignore', '-m', 'memory.reference_counts', str(redis_server.port), str(TIMES)]
    ran = python.run(*program, f'--protocol={protocol}')
    assert ran.returncode == 0, ran.stdout
    growths = {told['scenario']: told['growth'] for told in map(json.loads, ran.stdout.splitlines())}
    assert growths.keys() == SCENARIOS.keys()
    # A reference kept by each call would be TIMES; the counts themselves are some.
    assert {name: growth for name, growth in growths.items() if growth[-1] > TIMES // 10} == {}


def test_core_tests_pass_on_debug_python(python: DebugPython) -> None:
    ran = python.run('-X', 'dev', '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *CORE_TESTS)
    assert 'Fatal Python error' not in ran.stdout
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert ' passed' in ran.stdout
