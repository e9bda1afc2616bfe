"""The command `rqreg`: RQ's queues and registries at a terminal. Only the command is public, not its modules."""

from __future__ import annotations

import gc
import os
import sys

from .. import __version__


def main() -> int:
    """Run the command with the arguments of this process; end the process with its exit status."""
    if sys.argv[1:] == ['--version']:
        print(f'rqreg {__version__}')
        return 0
    try:
        # Imports leave no garbage: root.py has it collected again afterwards.
        gc.disable()
        # Imported here for start-up time: --version needs none of it.
        from .root import run
        from .signals import end_by_signals

        end_by_signals()
    except KeyboardInterrupt:
        return 130
    status = run(sys.argv[1:])
    # Taking apart all that was imported would take a fifth of the time of a short command.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
