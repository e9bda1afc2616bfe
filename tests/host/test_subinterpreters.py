"""Sub-interpreters of this Python, with and without a GIL of their own; tests/packaging tries the other Pythons."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .patience import PATIENCE

if TYPE_CHECKING:
    import redis
    from private_redis import PrivateRedis

PROGRAM = Path(__file__).with_name('subinterpreter_program.py')


def assert_work_where_rq_does(lines: list[str]) -> None:
    """Check the output: our registries work wherever RQ does, and otherwise fail on import as RQ does."""
    *kinds, first = lines
    assert first == "first: ['one', 'two']"
    assert {line.partition(':')[0] for line in kinds} == {'legacy', 'isolated'}
    assert 'legacy: works; works' in kinds
    for line in kinds:
        rq, ours = line.partition(': ')[2].split('; ')
        assert ours == rq
        assert rq == 'works' or rq.startswith('ImportError: ')


def test_registries_work_in_subinterpreters_where_rq_does(redis_server: PrivateRedis, connection: redis.Redis) -> None:
    command = [sys.executable, str(PROGRAM), redis_server.url]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert finished.stderr == ''
    assert finished.returncode == 0
    assert_work_where_rq_does(finished.stdout.splitlines())
