"""Sending several commands in one write, and reading their replies.

The core does it on its own connections if the client is supported (clients/support.py); otherwise the client itself is
called. The replies are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _core
from .._core import ENTRIES, INTEGER, NOTHING, SCORE, TEXTS, VALUE
from . import cluster
from .clients.support import ClientRefusedError, is_cluster, send
from .script_arguments import Value, in_order
from .server_errors import note_key

__all__ = [
    'ENTRIES',
    'INTEGER',
    'NOTHING',
    'SCORE',
    'TEXTS',
    'VALUE',
    'ClientRefusedError',
    'Command',
    'ask',
    'exchange',
    'reply_text',
    'run_script',
    'run_scripts',
    'without_errors',
]

# (shape, name, *arguments): the shape of the reply, the command, and its arguments: str, bytes, int or float.
#   INTEGER   int
#   SCORE     float, or None for a missing member
#   VALUE     the reply as it is: int, bytes, None, float, or a list of these
#   NOTHING   None, whatever the reply is
#   TEXTS     list of str
#   ENTRIES   list of (member, score), str and float, from the reply of a range WITHSCORES
#   a callable: its result for the reply as VALUE. It is called with each reply while the server executes the next
#       commands, and again with each reply if the client's Retry sends the commands again.
Command = tuple[Any, ...]


def exchange(connection: Any, commands: Sequence[Command], on_resent: Callable[[], object] | None = None) -> list[Any]:
    """Return the reply to each command, in one round trip. An error of the server is returned as an exception.

    on_resent: called if the client's Retry sent the commands again, so that the server may have run them twice.
    On a cluster, one round trip for each node that has some of the keys. Raises redis.exceptions.RedisError if the
    connection fails.
    """
    replies = _core.exchange(connection, commands, on_resent)
    if replies is not None:
        return replies
    if commands and is_cluster(connection) and cluster.is_original_client(connection):
        return cluster.exchange(connection, commands, on_resent, _by_client)
    return _by_client(connection, commands, on_resent)


def ask(connection: Any, commands: Sequence[Command], on_resent: Callable[[], object] | None = None) -> list[Any]:
    """Return the reply to each command, in one round trip. Raises the first error of the server.

    The error's attribute `key` is then the command's key: see note_key().
    """
    replies = exchange(connection, commands, on_resent)
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, Exception):
            raise note_key(reply, command[2] if len(command) > 2 else None)
    return replies


def without_errors(replies: list[Any]) -> list[Any]:
    """Return the replies, or raise the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def run_script(
    connection: Any,
    name: str,
    keys: Sequence[str],
    arguments: Mapping[str, Value] | list[Value],
    rest: Sequence[Value] = (),
    shape: int = VALUE,
    on_resent: Callable[[], object] | None = None,
    then: Sequence[Command] = (),
) -> Any:
    """Run a script of the core, and return its reply. One round trip, or two if the server does not know it yet.

    arguments: by their names, or in the order of the script; `rest` follows them. Raises TypeError if one is missing,
    or is not the script's.
    then: commands to send behind it in the same write, whose replies only their shapes see.
    """
    sha1, text, _ = _core.SCRIPTS[name]
    ordered = arguments if isinstance(arguments, list) else in_order(name, arguments)
    command = (shape, 'EVALSHA', sha1, len(keys), *keys, *ordered, *rest)
    reply, *_ = exchange(connection, [command, *then], on_resent)
    if isinstance(reply, Exception) and _is_unknown_script(reply):
        reply, *_ = exchange(connection, [(shape, 'EVAL', text, *command[3:]), *then], on_resent)
    if isinstance(reply, Exception):
        raise reply
    return reply


def run_scripts(
    connection: Any,
    calls: Sequence[tuple[str, Sequence[str], Sequence[Value]]],
    on_resent: Callable[[], object] | None = None,
    shape_of_first: int | Callable[[Any], Any] = VALUE,
) -> list[Any]:
    """Run scripts of the core in one write; return the replies, with an exception in place of an error of the server.

    calls: the name of a script, the keys, and the arguments in their order. One round trip, or two if the server does
    not know some of the scripts yet.
    shape_of_first: that of the reply to the first call, where the server knows its script.
    """
    commands = [_script_command('EVALSHA', *call) for call in calls]
    commands[:1] = [(shape_of_first, *command[1:]) for command in commands[:1]]
    replies = exchange(connection, commands, on_resent)
    unknown = [index for index, reply in enumerate(replies) if _is_unknown_script(reply)]
    texts = [_script_command('EVAL', *calls[index]) for index in unknown]
    for index, reply in zip(unknown, exchange(connection, texts, on_resent), strict=True):
        replies[index] = reply
    return replies


def _script_command(command: str, name: str, keys: Sequence[str], arguments: Sequence[Value]) -> Command:
    sha1, text, _ = _core.SCRIPTS[name]
    return (VALUE, command, sha1 if command == 'EVALSHA' else text, len(keys), *keys, *arguments)


def _is_unknown_script(reply: Any) -> bool:
    # By name, because the exception may be that of another package, such as valkey.
    return type(reply).__name__ == 'NoScriptError'


def _by_client(connection: Any, commands: Sequence[Command], on_resent: Callable[[], object] | None) -> list[Any]:
    if not commands:
        return []
    replies = send(connection, [command[1:] for command in commands], on_resent)
    return [
        reply if isinstance(reply, Exception) else shaped(command[0], reply)
        for command, reply in zip(commands, replies, strict=True)
    ]


def reply_text(value: str | bytes) -> str:
    """Return a text of a reply, whether the client decodes responses or not."""
    return value if isinstance(value, str) else value.decode()


def _entries(value: list[Any]) -> list[tuple[str, float]]:
    # RESP3 returns pairs, RESP2 a flat list of members and scores.
    pairs = value if value and isinstance(value[0], (list, tuple)) else zip(value[::2], value[1::2], strict=True)
    return [(reply_text(member), float(score)) for member, score in pairs]


def shaped(shape: int | Callable[[Any], Any], value: Any) -> Any:
    """Convert a reply from the shape VALUE to another shape."""
    return shape(value) if callable(shape) else _SHAPED[shape](value)


_SHAPED: dict[int, Callable[[Any], Any]] = {
    INTEGER: int,
    SCORE: lambda value: None if value is None else float(value),
    VALUE: lambda value: value,
    NOTHING: lambda _: None,
    TEXTS: lambda value: [reply_text(item) for item in value],
    ENTRIES: _entries,
}
