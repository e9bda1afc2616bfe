"""What is paid once per process: the imports, and the first call on a client. Each round in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .legs import OURS, RQ, Place
from .measuring import rotated
from .memory import Peak
from .workloads import Workload

BARE_PYTHON = 'bare python'
# Both begin with what is put into the environment.
SWITCH = 'RQREG_EXT_INSTALL=1'
WAITING = f'{SWITCH}, rq never imported'
IMPORTS = {
    BARE_PYTHON: 'pass',
    WAITING: 'pass',
    'import rq': 'import rq',
    f'{SWITCH}, import rq': 'import rq',
    'import rqreg_ext': 'import rqreg_ext',
    'import rqreg_ext.registry': 'import rqreg_ext.registry',
    'import rq.registry': 'import rq.registry',
}

# A folder that every machine has, and no package is in.
NO_PACKAGES = Path(os.sep)

StartLeg = Callable[[str], Any]


def _in_turns(names: list[str], rounds: int, measure: Callable[[str], float]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for round_number in range(rounds):
        for name in rotated(names, round_number):
            seconds[name].append(measure(name))
    return seconds


def import_seconds(rounds: int, python: str = sys.executable) -> dict[str, list[float]]:
    """Return the CPU seconds of whole processes that import something and end, however busy the machine is.

    python: that of an environment in which the package is installed. In the checkout's own the installation is an
        editable one, through which an import takes some milliseconds longer.
    """

    def run(name: str) -> float:
        command = [python, '-c', IMPORTS[name]]
        environment = {**os.environ, 'RQREG_EXT_INSTALL': str(int(name.startswith(SWITCH)))}
        process = subprocess.Popen(command, cwd=NO_PACKAGES, env=environment, start_new_session=True)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        return used.ru_utime + used.ru_stime

    for name in IMPORTS:
        # Not timed: it may compile what it imports.
        run(name)
    return _in_turns(list(IMPORTS), rounds, run)


def over_bare_python(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return what the imports add to a process that imports nothing, round by round."""
    bare = seconds[BARE_PYTHON]
    return {
        name: [total - start for total, start in zip(of_leg, bare, strict=True)]
        for name, of_leg in seconds.items()
        if name != BARE_PYTHON
    }


def first_call_seconds(start_leg: StartLeg, workload: Workload, place: Place, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of the first call, everything imported: the connection, and whatever it sets up.

    With `in`, RQ's call is nothing but redis-py's ZSCORE.
    """

    def run(name: str) -> float:
        with start_leg(name) as leg:
            leg.set_to(workload, place)
            return float(leg.first_call())

    return _in_turns([RQ, OURS], rounds, run)


def peaks(start_leg: StartLeg, names: list[str], workload: Workload, place: Place) -> dict[str, Peak]:
    """Return the peak memory of one large listing, each leg in a fresh process."""

    def run(name: str) -> Peak:
        with start_leg(name) as leg:
            leg.set_to(workload, place)
            peak: Peak = leg.peak_memory()
            return peak

    return {name: run(name) for name in names}
