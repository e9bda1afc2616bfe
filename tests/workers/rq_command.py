"""The `rq` command; its first line on standard error tells whose registries it works on."""

from __future__ import annotations

import sys

from rq.cli import main

from workers.acceleration import is_accelerated

ACCELERATED = 'on the registries of rqreg_ext'
PLAIN = "on RQ's own registries"

if __name__ == '__main__':
    print(ACCELERATED if is_accelerated() else PLAIN, file=sys.stderr, flush=True)
    sys.exit(main(prog_name='rq'))
