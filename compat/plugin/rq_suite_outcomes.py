"""A pytest plugin that RQ's suite runs with: what became of each test, and whose registries answered.

It is named in PYTEST_PLUGINS and writes to the file that RQREG_COMPAT_OUTCOMES names. RQREG_EXT_INSTALL says whose
registries they should be; the run fails where they are not, at its beginning, at its end or in a child process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXPECTED = os.environ.get('RQREG_EXT_INSTALL') == '1'
IN_A_CHILD = """
from rq.registry import FailedJobRegistry
print(any(base.__module__ == 'rqreg_ext._core' for base in FailedJobRegistry.__mro__))
"""


def is_accelerated() -> bool:
    """Tell whether RQ's registries are ours in this process, by their base classes."""
    from rq.registry import FailedJobRegistry

    return any(base.__module__ == 'rqreg_ext._core' for base in FailedJobRegistry.__mro__)


def serves_calls() -> bool:
    """Tell whether a registry that RQ makes is served by the core: the core then has a pool for the client's pool."""
    from redis import Redis
    from rq import Queue

    with Redis() as connection:
        _ = Queue('compat', connection=connection).failed_job_registry.count
        return hasattr(connection.connection_pool, '_rqreg_ext_pool')


def child_is_accelerated() -> bool:
    """Tell the same of a Python program that this process starts."""
    return subprocess.run([sys.executable, '-c', IN_A_CHILD], capture_output=True, check=True).stdout == b'True\n'


def require_expected_registries(moment: str) -> None:
    """End the run where the registries are not whose they should be."""
    found = {'in pytest': is_accelerated(), 'by a call': serves_calls(), 'in a child': child_is_accelerated()}
    if set(found.values()) != {EXPECTED}:
        pytest.exit(f'accelerated at the {moment}: {found}, expected: {EXPECTED}', returncode=70)


class Outcomes:
    """The outcome of each test by its node id, and why it failed or was skipped."""

    # A later one outranks an earlier: a test that passed and whose teardown failed has failed.
    RANKS = ('passed', 'skipped', 'failed')

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase of a test, or a subtest."""
        if report.when == 'call' or not report.passed:
            before, _ = self.found.get(report.nodeid, ('', ''))
            if not before or self.RANKS.index(report.outcome) > self.RANKS.index(before):
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
                self.found[report.nodeid] = (report.outcome, reason)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be collected: none of its tests ran."""
        if report.failed:
            self.found[report.nodeid] = ('failed', report.longreprtext)

    def pytest_sessionstart(self) -> None:
        """Look whose registries they are before the first test."""
        require_expected_registries('beginning')

    def pytest_sessionfinish(self) -> None:
        """Look again after the last test, write the outcomes, and end the workers that failed tests left running."""
        require_expected_registries('end')
        # The interpreter would wait for them.
        for child in multiprocessing.active_children():
            child.kill()
        Path(os.environ['RQREG_COMPAT_OUTCOMES']).write_text(json.dumps(self.found, indent=1), encoding='utf-8')


def pytest_configure(config: pytest.Config) -> None:
    """Begin to note outcomes."""
    config.pluginmanager.register(Outcomes(), 'rqreg-outcomes')
