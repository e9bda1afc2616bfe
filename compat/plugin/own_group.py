"""A pytest plugin: pytest lives on where a test of RQ signals all of its process group.

RQ signals the process group of a work-horse with SIGRTMIN. Its tests give a stand-in a tenth of a second to make a
group of its own; on a slow machine the signal ends pytest itself, not the test.
"""

from __future__ import annotations

import os
import signal


def ignore(number: int, frame: object) -> None:
    """Do nothing: what a process that was forked does about the signal, it decides for itself."""


def restore_default() -> None:
    """Let a child be as it would be without this plugin."""
    if signal.getsignal(signal.SIGRTMIN) is ignore:
        signal.signal(signal.SIGRTMIN, signal.SIG_DFL)


def pytest_configure() -> None:
    """Live on, from now on."""
    signal.signal(signal.SIGRTMIN, ignore)
    os.register_at_fork(after_in_child=restore_default)
