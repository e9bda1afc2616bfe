"""A pytest plugin that tells, in the file that RQREG_COMPAT_BEAT names, when a test begins, and lets it be interrupted.

beside_redis.py interrupts those that wait for what will not come: from outside, because RQ has uses of its own for
SIGALRM, and forks, which a thread in pytest would be in the way of.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

# As in beside_redis.py. RQ uses SIGRTMIN.
INTERRUPTION = signal.SIGRTMAX


class TookTooLong(BaseException):
    """What stops an interrupted test; nothing in it takes that for an error of its own."""


class Interruptions:
    """Interrupts a test, and has it fail whatever it makes of that."""

    def __init__(self) -> None:
        self.beat = Path(os.environ['RQREG_COMPAT_BEAT'])
        self.is_running = False
        self.was_interrupted = False
        signal.signal(INTERRUPTION, self.interrupt)

    def interrupt(self, number: int, frame: object) -> None:
        """Stop the test where it is; what pytest does between tests comes to its end."""
        if self.is_running:
            self.was_interrupted = True
            raise TookTooLong

    def pytest_runtest_logstart(self) -> None:
        """Tell that a test begins now, in this process."""
        self.beat.write_text(f'{os.getpid()} {time.monotonic()}', encoding='ascii')

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Run the test where it can be interrupted."""
        self.is_running = True
        try:
            return (yield)
        finally:
            self.is_running = False

    pytest_runtest_setup = pytest_runtest_teardown = pytest_runtest_call

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Have a test that was interrupted fail."""
        report = yield
        if self.was_interrupted and not report.failed:
            report.outcome, report.longrepr = 'failed', 'It took too long, and was interrupted.'
        self.was_interrupted = False
        return report

    def pytest_sessionfinish(self) -> None:
        """Tell that no test runs any more."""
        self.beat.unlink(missing_ok=True)


def pytest_configure(config: pytest.Config) -> None:
    """Be ready to interrupt tests."""
    config.pluginmanager.register(Interruptions(), 'rqreg-interruptions')
