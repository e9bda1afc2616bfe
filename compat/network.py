"""A network, a /tmp and processes of its own for a program that knows one Redis server only, localhost:6379.

Several of them run side by side, and none meets a server that was already running, or files that another one left in
/tmp under a fixed name. Nothing outside can be reached, or killed, and nothing is left running.
"""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

COMPAT = Path(__file__).resolve().parent
BESIDE_REDIS = COMPAT / 'beside_redis.py'
INTO_NAMESPACES = ('/bin/sh', str(COMPAT / 'into_namespaces.sh'), str(COMPAT.parent))
NAMESPACES = ('--net', '--mount', '--pid', '--fork', '--kill-child')
# As root, and as a user who may make namespaces.
WAYS = (('unshare', *NAMESPACES), ('unshare', '--user', '--map-root-user', *NAMESPACES))
REMEDY = """\
compat: no namespaces can be made here, and these programs know no Redis server but localhost:6379.
Needed are Linux, unshare and mount (util-linux), ip (iproute2), and one of:
  - to be root; in a container with CAP_SYS_ADMIN, as in: docker run --cap-add SYS_ADMIN
  - namespaces for users: sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0
What was tried:"""


@functools.cache
def _way() -> tuple[str, ...]:
    tried = []
    for way in WAYS:
        command = [*way, *INTO_NAMESPACES, 'true']
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            tried.append(f'  {error}')
            continue
        if result.returncode == 0:
            return way
        tried.append(f'  {" ".join(way)}: {result.stderr.strip()}')
    sys.exit('\n'.join([REMEDY, *tried]))


def alone(command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command in namespaces of its own, as their first process."""
    return [*_way(), *INTO_NAMESPACES, *command]


def beside_redis(command: Sequence[str], certificate: Path | None = None, beat: Path | None = None) -> list[str]:
    """Return the command line that does so with an empty Redis server on port 6379, and ends as the command ends.

    With a certificate (and its key, in one file) TLS is served too, on port 9736. A test of pytest, with the plugin
    too_long, that began too long ago is interrupted, by what is in the file `beat`.
    """
    options = {'--certificate': certificate, '--beat': beat}
    given = [word for name, path in options.items() if path is not None for word in (name, str(path))]
    return alone([sys.executable, str(BESIDE_REDIS), *given, '--', *command])


class _Running:
    """The commands that run in namespaces; none is started any more once they are to end."""

    def __init__(self) -> None:
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.are_to_end = False

    def end(self) -> None:
        """Kill them all, and with them what they started."""
        self.are_to_end = True
        for process in list(self.processes):
            process.kill()


_running = _Running()


def run(command: Sequence[str], limit: float | None = None, **options: Any) -> int:
    """Run a command line that alone() or beside_redis() made, for `limit` seconds at most; return its exit status."""
    with subprocess.Popen(command, **options) as process:
        _running.processes.add(process)
        if _running.are_to_end:
            process.kill()
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        _running.processes.discard(process)
        return status


def end_on_sigterm() -> None:
    """Have SIGTERM, as a timeout sends it, end this process, and what runs in namespaces, where it is ignored."""

    def end(*_: object) -> NoReturn:
        _running.end()
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
