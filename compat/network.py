"""A network, a /tmp and processes of its own for a program that knows one Redis server only, localhost:6379.

Several of them run side by side, and none meets a server that was already running, or files that another one left in
/tmp under a fixed name. Nothing outside can be reached, or killed, and nothing is left running.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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


def beside_redis(command: Sequence[str], certificate: Path | None = None) -> list[str]:
    """Return the command line that does so beside an empty Redis server on port 6379, and ends as the command ends.

    With a certificate (and its key, in one file) the server also speaks TLS, on port 9736.
    """
    tls = [] if certificate is None else ['--certificate', str(certificate)]
    return alone([sys.executable, str(BESIDE_REDIS), *tls, '--', *command])
