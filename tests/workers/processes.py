"""The processes of a session: a worker, its work-horse, its scheduler."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from host.patience import eventually


@dataclass(frozen=True)
class Process:
    """A process as /proc tells it."""

    pid: int
    group: int
    session: int
    state: str

    @property
    def is_dead(self) -> bool:
        return self.state in 'ZX'


def _read(pid: str) -> Process | None:
    try:
        line = Path('/proc', pid, 'stat').read_text()
    except OSError:
        return None
    # The name, in parentheses, may hold anything.
    state, _parent, group, session = line.rpartition(')')[2].split()[:4]
    return Process(int(pid), int(group), int(session), state)


def session(leader: int) -> list[Process]:
    """Return the processes that live in the session."""
    found = [_read(name) for name in os.listdir('/proc') if name.isdigit()]
    return [process for process in found if process and process.session == leader and not process.is_dead]


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def stop(leader: int) -> list[Process]:
    """Stop the session where it stands, and return its processes when none runs any more."""

    def all_stand() -> bool:
        # One that stood already may have been forked from by one that did not yet.
        processes = session(leader)
        send(processes, signal.SIGSTOP)
        return all(process.state in 'Tt' for process in processes)

    assert eventually(all_stand), f'session {leader} does not stop'
    return session(leader)
