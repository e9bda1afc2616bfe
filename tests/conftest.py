"""What every test shares: one private Redis per pytest process, clients of it, and the comparison with RQ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from covering import left_out
from depth import IS_WHOLE

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tools'))

from private_redis import PrivateRedis

if TYPE_CHECKING:
    import redis
    from differential.comparison import Comparison
    from differential.observe import Outcome


@pytest.fixture(scope='session')
def redis_server() -> Iterator[PrivateRedis]:
    """A running private Redis; under pytest-xdist each worker process has its own."""
    with PrivateRedis() as server:
        yield server


@pytest.fixture
def connection(redis_server: PrivateRedis) -> Iterator[redis.Redis]:
    """A client of database 0, with every database empty."""
    client = redis_server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope='session')
def comparison(redis_server: PrivateRedis) -> Iterator[Comparison]:
    """RQ on database 1 and rqreg_ext on database 2, side by side."""
    from differential.comparison import Comparison

    pair = Comparison(redis_server)
    yield pair
    pair.close()


@pytest.fixture
def same_as_rq(comparison: Comparison) -> Callable[..., Outcome]:
    """A function that makes calls on both sides, fails on any difference, and returns RQ's outcome of the last call.

    same_as_rq('FailedJobRegistry', Call('count'), world=World(jobs=[AJob('a', 'failed')])).value == 1
    """

    def same(kind: str, *calls: Any, **options: Any) -> Outcome:
        return comparison.run(kind, calls, **options)[-1]

    return same


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what -k and -m have left, leave out combinations of the tests that are marked `covering`."""
    if not IS_WHOLE and (leaving := left_out(items)):
        config.hook.pytest_deselected(items=leaving)
        gone = set(leaving)
        items[:] = [item for item in items if item not in gone]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many random examples ran, in all processes together, and what the workers under load have done."""
    reports = [report for outcome in ('passed', 'failed') for report in terminalreporter.stats.get(outcome, [])]
    counts = [value for report in reports for name, value in report.user_properties if name == 'examples']
    if counts:
        terminalreporter.write_line(f'{sum(counts)} random examples compared with RQ in {len(counts)} tests')
    for figures in [value for report in reports for name, value in report.user_properties if name == 'load']:
        terminalreporter.write_line(f'workers under load, {figures}')
