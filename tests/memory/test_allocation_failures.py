"""Every allocation of every call made to fail in turn: MemoryError or the right answer, nothing lost, nothing half done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import IS_LONG
from .preload import fail_each_allocation
from .scenarios import IN_SHORT, SCENARIOS

if TYPE_CHECKING:
    from private_redis import PrivateRedis


def assert_well(shim: Path, scenario: str, *options: str, port: int) -> None:
    """Check each failing allocation of the scenario; there must be some that fail under the core."""
    report = fail_each_allocation(shim, scenario, *options, port=port)
    assert not report.problems, f'{scenario} {" ".join(options)}:\n' + '\n'.join(report.problems)
    assert any(failure.stack.is_ours() for failure in report.failures)


@pytest.mark.parametrize('scenario', [*SCENARIOS] if IS_LONG else IN_SHORT)
@pytest.mark.parametrize('options', [['--once'], []], ids=['one', 'all from one on'])
def test_failing_allocations(shim: Path, redis_server: PrivateRedis, scenario: str, options: list[str]) -> None:
    assert_well(shim, scenario, *options, port=redis_server.port)
