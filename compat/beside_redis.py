"""Run a command beside a private Redis server on port 6379, inside namespaces of its own (see network.py).

python beside_redis.py [--certificate FILE] -- COMMAND...
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'tools'))

from private_redis import PrivateRedis

PORT = 6379
TLS_PORT = 9736


def tls_options(certificate: str) -> dict[str, object]:
    """Return what makes the server speak TLS too, with clients that show no certificate."""
    names = ('tls_cert_file', 'tls_key_file', 'tls_ca_cert_file')
    return {'tls_port': TLS_PORT, 'tls_auth_clients': 'no', **dict.fromkeys(names, certificate)}


def run(command: list[str]) -> int:
    """Run the command, and return its exit status as a shell does.

    This is the first process of its namespace, so orphans are its children: RQ's tests ask whether a process that was
    killed is gone, which takes a parent that waits for it. What is left at the end ends with this process.
    """
    process = subprocess.Popen(command, start_new_session=True)
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main() -> None:
    """Start the server, run the command, and end with its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--certificate', help='certificate and key in one file: also speak TLS, on port 9736')
    parser.add_argument('command', nargs='+')
    arguments = parser.parse_args()
    server = PrivateRedis(**(tls_options(arguments.certificate) if arguments.certificate else {}))
    server.port = PORT
    with server:
        status = run(arguments.command)
    sys.exit(status)


if __name__ == '__main__':
    main()
