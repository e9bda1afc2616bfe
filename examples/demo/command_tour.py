"""A tour of the command `rqreg` on what the other parts of the demo have left."""

from __future__ import annotations

import shlex
import subprocess
import sys

from rich.console import Console

from . import interruption
from .stage import Stage, child_environment
from .table import terminal_width

LOG = 'changes.jsonl'
STEPS = (
    'rqreg stats',
    'rqreg errors',
    'rqreg ls --newest --limit 3 --fields exc_type,end',
    'rqreg requeue --all-queues --exc-type TypeError --dry-run',
    'rqreg requeue --all-queues --exc-type TypeError --limit 1 -y --reason canary',
    "rqreg delete --all-queues -y --reason 'it cannot work'",
    'rqreg fsck',
    'rqreg log',
)


def show_command(stage: Stage, console: Console) -> bool:
    """Run the commands, and print what they print; return whether all of them succeeded."""
    console.print('The same at a terminal, by the command rqreg:\n')
    console.print(f'$ export RQREG_LOG={LOG}\n', highlight=False)
    succeeded = [_show(line, stage, console) for line in STEPS]
    return all(succeeded)


def _show(line: str, stage: Stage, console: Console) -> bool:
    interruption.check()
    console.print(f'$ {line}', markup=False, soft_wrap=True, highlight=False)
    _, *arguments = shlex.split(line)
    variables = {'RQ_REDIS_URL': stage.server.url, 'RQREG_LOG': LOG, 'COLUMNS': str(terminal_width())}
    ended = subprocess.run(
        [sys.executable, '-m', 'rqreg_ext.cli', *arguments],
        cwd=stage.server.folder,
        env={**child_environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    console.print(ended.stdout, markup=False, soft_wrap=True, highlight=False)
    if ended.returncode != 0:
        console.print(f'WRONG: it ended with status {ended.returncode}')
    return ended.returncode == 0
