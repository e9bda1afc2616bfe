"""Every allocation of every call made to fail in turn: a MemoryError or the right answer, and nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clients.certificates import Authority
from depth import IS_DEEP
from tls_proxy import TlsProxy

from .preload import fail_each_allocation
from .scenarios import IN_SHORT, SCENARIOS

if TYPE_CHECKING:
    from private_redis import PrivateRedis


def assert_well(shim: Path, scenario: str, *options: str, port: int) -> None:
    """Check each failing allocation of the scenario; there must be some that fail under the core."""
    report = fail_each_allocation(shim, scenario, *options, port=port)
    assert not report.problems, f'{scenario} {" ".join(options)}:\n' + '\n'.join(report.problems)
    assert any(failure.stack.is_ours() for failure in report.failures)


# No C of ours has a part in these.
NOT_OURS = ('get_execution_ids', 'canceled get_expired_job_ids')
CHOSEN = [name for name in SCENARIOS if name not in NOT_OURS] if IS_DEEP else IN_SHORT


@pytest.mark.parametrize('scenario', CHOSEN)
def test_one_failing_allocation_crashes_nothing(shim: Path, redis_server: PrivateRedis, scenario: str) -> None:
    assert_well(shim, scenario, '--once', port=redis_server.port)


@pytest.mark.parametrize('scenario', CHOSEN)
def test_no_memory_from_an_allocation_on_crashes_nothing(shim: Path, redis_server: PrivateRedis, scenario: str) -> None:
    assert_well(shim, scenario, port=redis_server.port)


VARIANTS = {
    'RESP3': ['--protocol=3'],
    'a second thread': ['--thread'],
}
CALLS = ['get_job_ids', 'id in started', 'first call', 'remove and delete, first', 'get_scheduled_time', 'wrong type']


@pytest.mark.skipif(not IS_DEEP, reason='part of make check-memory')
@pytest.mark.parametrize('scenario', CALLS)
@pytest.mark.parametrize('variant', VARIANTS)
def test_failing_allocations_elsewhere_crash_nothing(
    shim: Path, redis_server: PrivateRedis, variant: str, scenario: str
) -> None:
    for mode in ['--once'], []:
        assert_well(shim, scenario, *VARIANTS[variant], *mode, port=redis_server.port)


@pytest.mark.skipif(not IS_DEEP, reason='part of make check-memory')
# Not the first call: most of its thousands of allocations are OpenSSL's. Not a change of data: the proxy may pass a
# failed call's script on when the data have been put back for the next one.
@pytest.mark.parametrize('scenario', [name for name in CALLS if name != 'first call' and not SCENARIOS[name].changes])
def test_failing_allocations_over_tls_crash_nothing(
    shim: Path, redis_server: PrivateRedis, tmp_path: Path, scenario: str
) -> None:
    authority = Authority(tmp_path, 'authority')
    pair = authority.issue('server')
    with TlsProxy(redis_server.port, pair.certificate, pair.key) as proxy:
        tls = ['--tls', str(proxy.port), authority.file]
        for mode in ['--once'], []:
            assert_well(shim, scenario, *tls, *mode, port=redis_server.port)
