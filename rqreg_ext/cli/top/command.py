"""`rqreg top`: the queues, workers and failures of a Redis, live."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from ..._fastpath.description import address_of
from .. import statuses
from ..change_log import ChangeLog, log_options
from ..parameters import Seconds
from ..server import Server, server_options
from ..terminal import has_colours


@click.command()
@click.argument('queues', nargs=-1)
@click.option(
    '--interval',
    type=Seconds(),
    default='1',
    show_default=True,
    metavar='SECONDS',
    help='How often to read queues and workers.',
)
@click.option('--read-only', is_flag=True, help='No key changes jobs.')
@server_options
@log_options
def top(server: Server, log: ChangeLog, queues: Sequence[str], interval: float, read_only: bool) -> None:
    """Show QUEUES (names or globs; all by default), workers, the newest failures and the errors, live.

    Press ? for the keys. Keys requeue and delete failed jobs, after a question, unless --read-only is given; --log and
    --reason are for these changes.
    """
    _check_terminal()
    _check_rich()
    # Imported here for start-up time: it needs rich.
    from .loop import Inbox, Loop
    from .screen import Screen
    from .state import State
    from .threads import Threads

    inbox = Inbox()
    if not read_only:
        log.open()
    threads = Threads(server, tuple(queues), interval, log, inbox.post)
    state = State(server=address_of(server.client), is_read_only=read_only, late=3 * interval + 2)
    state.overview = threads.read_first()
    screen = Screen(sys.stdin.fileno(), sys.stdout.fileno(), sys.stdout.encoding, has_colours(sys.stdout))
    ended_by = Loop(state, threads, screen, inbox).run()
    if ended_by == signal.SIGINT:
        raise click.exceptions.Exit(statuses.INTERRUPTED)
    if ended_by:
        # As if it had not been handled.
        signal.signal(ended_by, signal.SIG_DFL)
        signal.raise_signal(ended_by)
    if log.is_incomplete:
        raise click.exceptions.Exit(statuses.INCOMPLETE)


def _check_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            'it needs a terminal: without one, `rqreg stats --watch 2` prints counts again and again'
        )
    if os.environ.get('TERM', 'dumb') == 'dumb':
        raise click.UsageError('this terminal cannot move its cursor (TERM=dumb): use `rqreg stats --watch 2`')


def _check_rich() -> None:
    try:
        import rich.cells  # noqa: F401
    except ImportError as error:
        raise click.UsageError(f"it needs rich ({error}): pip install 'rqreg-ext[cli]'") from error
