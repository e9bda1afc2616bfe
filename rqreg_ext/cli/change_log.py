"""The log of changes: a JSON line for each, in a file, in syslog, or in a stream in Redis."""

from __future__ import annotations

import functools
import json
import os
import pwd
import re
import shlex
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import click

from .._bulk.result import BulkResult
from .._fastpath.description import address_of
from .._fastpath.exchange import VALUE, ask, exchange
from .._fastpath.rq_keys import own_key
from .._fastpath.server_errors import describe, is_wrong_type, note_key
from .filters import OPTION_OF
from .output import SCHEMA, for_json, masked
from .parameters import check_name
from .server import Server
from .terminal import say

LOG_VARIABLE, REASON_VARIABLE = 'RQREG_LOG', 'RQREG_REASON'
SYSLOG, STREAM = 'syslog', 'stream'
# The stream keeps about as many changes.
STREAM_LENGTH = 5000
STREAM_FIELD = 'json'
# Options that do not describe the change.
_NOT_LOGGED = {
    *Server.__dataclass_fields__,
    *('output', 'yes', 'dry_run', 'fail_if_none', 'repairs', 'log', 'reason', 'export'),
}
# The facility `user`, at the level `notice`.
_PRIORITY = 1 * 8 + 5
_SYSLOG_SOCKETS = ('/dev/log', '/var/run/syslog')


def log_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --log to a command."""
    return click.option(
        '--log',
        '--log-file',
        'log',
        envvar=LOG_VARIABLE,
        metavar=f'FILE|{SYSLOG}|{STREAM}',
        help='The log of changes: a file, syslog, or a stream in Redis.',
    )(command)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --log and --reason to a command that changes something, which gets a ChangeLog as `log`.

    The command must get a Server too: these options stand below @server_options.
    """

    @functools.wraps(command)
    def wrapper(server: Server, log: str | None, reason: str | None, **given: Any) -> Any:
        if reason and not log:
            raise click.UsageError(
                f'--reason is written to a log, and there is none: give --log, or set {LOG_VARIABLE}'
            )
        return command(server=server, log=ChangeLog(log, reason, server), **given)

    reasoned = click.option(
        '--reason', envvar=REASON_VARIABLE, metavar='TEXT', help='Why this is done, for the log of changes.'
    )(wrapper)
    return log_option(reasoned)


class ChangeLog:
    """Where the changes of a command are logged.

    Attributes:
        is_incomplete: Whether a change was made and could not be logged.
    """

    def __init__(self, where: str | None, reason: str | None, server: Server) -> None:
        self.is_incomplete = False
        self._where = where
        self._reason = reason
        self._server = server
        self._destination: _Destination | None = None

    def open(self) -> None:
        """Make sure that the log can be written. To be called before anything is changed.

        Raises click.UsageError if it cannot, or the server's error.
        """
        if self._where is None:
            return
        check_name('--log', self._where)
        try:
            self._destination = _destination_of(self._where, self._server)
        except OSError as error:
            message = f'--log {self._where}: {error.strerror or error}: nothing was changed'
            raise click.UsageError(message, click.get_current_context()) from error

    @contextmanager
    def change(self, outcome: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """Log what is done within the with-block, however that ends. `outcome` is called then."""
        started, clock = datetime.now(timezone.utc), time.monotonic()
        ended_by: BaseException | None = None
        try:
            yield
        except BaseException as error:
            ended_by = error
            raise
        finally:
            if self._destination is not None:
                self._write(
                    {
                        'schema': SCHEMA,
                        'time': started,
                        **_who(),
                        **_what(),
                        'server': address_of(self._server.client),
                        'reason': self._reason or None,
                        **outcome(),
                        'interrupted': isinstance(ended_by, KeyboardInterrupt),
                        'error': describe(ended_by) if isinstance(ended_by, Exception) else None,
                        'seconds': round(time.monotonic() - clock, 3),
                    }
                )

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._destination is not None
        line = json.dumps(for_json(record))
        try:
            self._destination.write(line)
        except Exception as error:
            # The change is made: what ended it, if anything did, must still be known, and so must the record.
            self.is_incomplete = True
            say(f'--log {self._where}: this could not be logged ({describe(error)}): {line}')


def counts_of(result: BulkResult) -> dict[str, Any]:
    """Return the counts of a result, without the jobs that failed: the log is not a place for many of them."""
    counts = result.to_dict()
    names = ('done', 'missing', 'unconfirmed', 'skipped')
    return {**{name: counts[name] for name in names}, 'failed': len(result.failed)}


# ---- Who did what


def _who() -> dict[str, Any]:
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # In a container, a user may have no name.
        user = str(os.geteuid())
    return {'user': user, 'sudo_user': os.environ.get('SUDO_USER'), 'host': socket.gethostname()}


def _what() -> dict[str, Any]:
    context = click.get_current_context()
    filters: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in context.params.items():
        if value not in (None, (), [], False) and name not in _NOT_LOGGED:
            (filters if name in OPTION_OF else options)[name] = _given(value)
    words: Sequence[str] = context.find_root().obj or [str(context.info_name)]
    return {
        'action': context.info_name,
        'command': shlex.join(['rqreg', *map(masked, words)]),
        'filters': filters,
        'options': options,
        'export': _given(context.params.get('export')),
    }


def _given(value: Any) -> Any:
    if isinstance(value, re.Pattern):
        return f're:{value.pattern}'
    # A file.
    return str(value.name) if hasattr(value, 'fileno') else for_json(value)


# ---- Where it is written


class _Destination(Protocol):
    def write(self, line: str) -> None:
        """Write a line. Raises an exception if that is not done completely."""


def _destination_of(where: str, server: Server) -> _Destination:
    if where == STREAM:
        return _Stream(server.client)
    if where == SYSLOG or where.startswith(f'{SYSLOG}:'):
        return _Syslog(where[len(SYSLOG) + 1 :])
    return _File(where)


def _open(path: str, flags: int) -> int:
    """Open a file; return its descriptor. Does not wait until a FIFO has somebody at its other end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    os.set_blocking(descriptor, True)
    return descriptor


class _File:
    """A file to which several commands may append."""

    def __init__(self, path: str) -> None:
        self._descriptor = _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def write(self, line: str) -> None:
        """Append the line by one write, so that the lines of two commands do not mix."""
        data = f'{line}\n'.encode()
        if (written := os.write(self._descriptor, data)) != len(data):
            raise OSError(f'{written} of {len(data)} bytes were written')


class _Syslog:
    """The syslog daemon of this machine. The standard library's handlers do not say that it is not there."""

    def __init__(self, path: str) -> None:
        self._path = path or next((name for name in _SYSLOG_SOCKETS if Path(name).exists()), _SYSLOG_SOCKETS[0])
        self._connect().close()

    def write(self, line: str) -> None:
        """Send the line as a message of `rqreg`."""
        with self._connect() as connection:
            # Over a stream, a NUL ends each message.
            end = '\0' if connection.type == socket.SOCK_STREAM else ''
            connection.sendall(f'<{_PRIORITY}>rqreg[{os.getpid()}]: {line}{end}'.encode())

    def _connect(self) -> socket.socket:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            connection = socket.socket(socket.AF_UNIX, kind)
            try:
                connection.connect(self._path)
            except OSError as error:
                connection.close()
                wrong_kind = error
            else:
                return connection
        raise wrong_kind


class _Stream:
    """A stream in the Redis of the jobs, under a key of our own that RQ knows nothing of."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._key = own_key('log')
        # The server always refuses this id, but first checks that the key can be written.
        reply, length = exchange(client, [self._add('0-0', ''), (VALUE, 'XLEN', self._key)])
        if 'must be greater than 0-0' not in str(reply):
            raise note_key(reply, self._key)
        if isinstance(length, Exception) and is_wrong_type(length):
            raise note_key(length, self._key)

    def write(self, line: str) -> None:
        """Add the line to the stream."""
        ask(self._client, [self._add('*', line)])

    def _add(self, entry_id: str, line: str) -> tuple[Any, ...]:
        return (VALUE, 'XADD', self._key, 'MAXLEN', '~', STREAM_LENGTH, entry_id, STREAM_FIELD, line)


# ---- Reading it


def lines_of(where: str, server: Server) -> Iterator[bytes]:
    """Yield the lines of a log, the oldest first. Raises click.UsageError for one that cannot be read here."""
    if where == SYSLOG or where.startswith(f'{SYSLOG}:'):
        raise click.UsageError(f'--log {where} is read by the tools of syslog, as in: journalctl --identifier rqreg')
    if where == STREAM:
        yield from _lines_of_stream(server.client)
        return
    is_empty = True
    try:
        with open(where, 'rb', opener=_open) as file:
            is_fifo = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
            for line in file:
                is_empty = False
                yield line
        if is_empty and is_fifo:
            raise click.UsageError(f'--log {where}: it is a FIFO, and nobody has written to it')
    except OSError as error:
        raise click.UsageError(f'--log {where}: {error.strerror}') from error


def _lines_of_stream(client: Any) -> Iterator[bytes]:
    start = '-'
    while True:
        (entries,) = ask(client, [(VALUE, 'XRANGE', own_key('log'), start, '+', 'COUNT', 500)])
        for entry_id, fields in entries or ():
            start = _after(entry_id)
            yield from fields[1:2]
        if not entries:
            return


def _after(entry_id: bytes | str) -> str:
    """Return the least id after this one. Redis 5 knows no `(` for that."""
    milliseconds, _, number = (entry_id if isinstance(entry_id, str) else entry_id.decode()).partition('-')
    return f'{milliseconds}-{int(number) + 1}'
