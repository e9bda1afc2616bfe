"""Run the clients: `python -m compat.clients [NAME ...]`."""

from __future__ import annotations

import argparse
import sys

from compat import network
from compat.clients.all_clients import NAMES, run_clients


def main() -> int:
    """Run what the arguments ask for, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m compat.clients', description=__doc__)
    parser.add_argument('clients', nargs='*', metavar='NAME', help=f'default: all of {", ".join(NAMES)}')
    arguments = parser.parse_args()
    if unknown := set(arguments.clients) - set(NAMES):
        parser.error(f'no such client: {", ".join(sorted(unknown))}')
    network.end_on_sigterm()
    return 0 if run_clients(arguments.clients) else 1


if __name__ == '__main__':
    sys.exit(main())
