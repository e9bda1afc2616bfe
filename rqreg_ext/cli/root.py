"""The command itself: its subcommands, and which exit status each way to end has."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from .. import __version__
from . import signals, statuses
from .terminal import is_utf8, say

# The module of each subcommand, which is imported when it is run, and what --help says of it.
COMMANDS = {
    'stats': ('stats', 'Count the jobs of queues and registries, and the workers.'),
    'top': ('top', 'Show queues, workers and failures, live.'),
    'ls': ('jobs', 'List the jobs of a registry that match filters.'),
    'show': ('job', 'Show all of a job, and where it stands.'),
    'errors': ('errors', 'Count what failed by function and exception.'),
    'requeue': ('changes', 'Put jobs of a registry back on their queues.'),
    'delete': ('changes', 'Delete jobs of a registry.'),
    'cancel': ('changes', 'Cancel jobs of a registry.'),
    'move': ('changes', 'Move jobs of a registry to another queue.'),
    'trim': ('changes', 'Delete the jobs of a registry but for the newest.'),
    'empty': ('changes', 'Delete all jobs that wait in queues.'),
    'export': ('export', 'Write jobs into a file.'),
    'restore': ('export', 'Put the jobs of a file back.'),
    'fsck': ('integrity', 'Find what is wrong in what RQ stores, and repair it.'),
    'log': ('log', 'Show what commands have changed, when, and why.'),
    'check': ('monitoring', 'Compare queues with bounds, for Nagios, Icinga and Kubernetes.'),
    'exporter': ('exporter.command', 'Serve metrics for Prometheus.'),
    'completion': ('completion', 'Print the script by which bash, zsh or fish complete this command.'),
    'man': ('man', 'Print the manual page of a command.'),
}
# Monitoring systems read 1 as WARNING and 2 as CRITICAL, so an error of this command is 3, UNKNOWN.
_ERROR_STATUS = {'rqreg check': 3}
HELP = """See, find, change and check the jobs of RQ: all of a registry, or of many queues, at once.

Data goes to stdout, questions and progress to stderr. Exit status: 0 done, 1 some jobs could not be done or problems
were found, 2 wrong usage, 3 not confirmed, 4 the server cannot be reached or refuses, 130 interrupted."""


class _Commands(click.Group):
    """The subcommands, each of which is imported when it is first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f'{__package__}.{module}'), cmd_name)
        if not gc.isenabled():
            # See main(). What was imported stays to the end.
            gc.freeze()
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith('-'):
            # Imported here for start-up time.
            from .._fastpath.wording import hint

            near = hint(args[0], COMMANDS)
            ctx.fail(f'there is no command {args[0]!r}{near}. The commands are {", ".join(COMMANDS)}')
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return the commands without importing them."""
        # Imported here for start-up time.
        from .completion import items

        return items(
            [(name, text) for name, (_, text) in COMMANDS.items()], incomplete
        ) or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section('Commands'):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


root = _Commands(
    name='rqreg',
    help=HELP,
    context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 120},
)
click.version_option(__version__, prog_name='rqreg', message='%(prog)s %(version)s')(root)


def run(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    # One that the caller has closed must not become that of the connection. The lowest number is taken first.
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - until the end of the process
    # What the terminal cannot show must not end the command.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    if '_RQREG_COMPLETE' in os.environ:
        # A shell asks for completions. Imported here for start-up time.
        from .completion import complete

        return complete(root)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough.
        _write_no_more()
        return statuses.DONE
    except KeyboardInterrupt as interruption:
        return signals.status_of(interruption)
    except OSError as error:
        # For example a full disk. Without a filename, the error is about stdout.
        say(f'{error.filename or "stdout"}: {error.strerror or error}')
        _write_no_more()
        return _ERROR_STATUS.get(' '.join(('rqreg', *arguments[:1])), statuses.INCOMPLETE)
    return status


def _write_no_more() -> None:
    # At its end, the interpreter must not try to write the rest.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str]) -> int:
    try:
        with root.make_context('rqreg', list(arguments)) as context:
            # What was typed is logged.
            context.obj = arguments
            root.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        say(error.format_message())
        return error.exit_code
    except KeyboardInterrupt as interruption:
        say('interrupted')
        return signals.status_of(interruption)
    except BrokenPipeError:
        raise
    except UnicodeEncodeError:
        # Names are sent to the server as UTF-8; a file may have any.
        for word in arguments:
            if not is_utf8(word):
                return _usage(click.UsageError(f'{word!r} is not text in UTF-8'))
        raise
    except Exception as error:
        if not statuses.is_of_server(error):
            raise
        say(statuses.describe_server_error(error))
        return statuses.SERVER
    return statuses.DONE


def _usage(error: click.UsageError) -> int:
    # Without arguments, the message is the help. Older releases of click do not raise this.
    if type(error).__name__ == 'NoArgsIsHelpError':
        print(error.format_message(), file=sys.stderr)
        return statuses.USAGE
    where = 'rqreg' if error.ctx is None else error.ctx.command_path
    print(f'{where}: {error.format_message()}\nTry `{where} --help`.', file=sys.stderr)
    return _ERROR_STATUS.get(where, statuses.USAGE)
