"""The types of the calls as mypy sees them in a user's program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import rqreg_ext
from rqreg_ext._all_queues.operations import RegistryName
from rqreg_ext._fastpath.rq_keys import REGISTRY_NAMES

PROGRAM = """
from collections.abc import Iterator
from redis import Redis
import rqreg_ext
from rqreg_ext import BulkResult, BulkResults, FailedJobRegistry

def ints(processed: int, total: int) -> None:
    print(processed / total)

def optional_total(processed: int, total: int | None) -> bool:
    return total is None or processed < total

def one_argument(processed: int) -> None: ...

def change(registry: FailedJobRegistry, ids: list[str], generated: Iterator[str]) -> BulkResult:
    result = registry.purge(progress=ints) + registry.purge(progress=optional_total, description='*')
    result += registry.requeue_all(progress=ints) + registry.requeue_all(progress=optional_total, at_front=True)
    result += registry.remove_many(ids, progress=ints) + registry.remove_many(generated, progress=optional_total)
    result += registry.requeue_many(ids, progress=ints) + registry.requeue_many(generated, progress=optional_total)
    result += registry.cancel_many(ids, progress=ints) + registry.cancel_many(generated, progress=optional_total)
    return result + registry.remove_many(ids, progress=lambda processed, total: print(processed, total))

def look(registry: FailedJobRegistry) -> None:
    registry.repair(registry.check(progress=ints), progress=optional_total)

def change_all(redis: Redis) -> BulkResults:
    rqreg_ext.repair(redis, rqreg_ext.check(redis, progress=ints), progress=optional_total)
    rqreg_ext.requeue_all(redis, 'ready', progress=ints)
    return rqreg_ext.purge(redis, registry='finished', progress=optional_total)

def mistakes(redis: Redis, registry: FailedJobRegistry) -> None:
    rqreg_ext.purge(redis, 'queue-name')  # mistake
    rqreg_ext.requeue_all(redis, registry='started')  # mistake
    rqreg_ext.purge(redis, progress=one_argument)  # mistake
    registry.purge(progress=one_argument)  # mistake
    registry.remove_many([], progress=one_argument)  # mistake
"""


def test_mypy_accepts_progress_functions_and_registry_names(tmp_path: Path) -> None:
    pytest.importorskip('mypy')
    program = tmp_path / 'program.py'
    program.write_text(f'from __future__ import annotations\n{PROGRAM}')
    package_parent = Path(rqreg_ext.__file__).parent.parent
    checked = subprocess.run(
        # The cache of `make lint` spares it half a minute.
        [sys.executable, '-m', 'mypy', '--strict', '--cache-dir', package_parent / '.mypy_cache', program.name],
        cwd=tmp_path,
        env={**os.environ, 'MYPYPATH': str(package_parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    mistakes = [n for n, line in enumerate(program.read_text().splitlines(), 1) if line.endswith('# mistake')]
    errors = [line for line in checked.stdout.splitlines() if line.startswith(program.name) and ': error:' in line]
    assert [int(line.split(':')[1]) for line in errors] == mistakes, checked.stdout + checked.stderr


def test_registry_name_has_every_registry_whose_jobs_can_be_changed() -> None:
    assert set(get_args(RegistryName)) == {*REGISTRY_NAMES} - {'started'}
