"""Commands in one write and their replies in one read, for whatever takes more than one command.

On our connections where the client is redis-py's own, and by the client itself elsewhere (_dispatch.py): the same
replies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import _core
from ._core import ENTRIES, INTEGER, NOTHING, SCORE, TEXTS, VALUE
from ._dispatch import send

__all__ = [
    'ENTRIES',
    'INTEGER',
    'NOTHING',
    'SCORE',
    'TEXTS',
    'VALUE',
    'Command',
    'ask',
    'exchange',
    'run_script',
    'without_errors',
]

# (shape, name, *arguments): what the reply is made into, the command, and its str, bytes, int or float arguments.
#   INTEGER   int
#   SCORE     float, or None for a member that is not there
#   VALUE     what came: int, bytes, None, float, or a list of these
#   NOTHING   None
#   TEXTS     list of str
#   ENTRIES   list of (member, score), str and float, of a range WITHSCORES
#   a callable: what it returns for what came. It is called with each reply while the server is at work on the next
#       ones, and with all of them again where the client's Retry sends the commands once more.
Command = tuple[Any, ...]


def exchange(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Return the reply to each command, in one round trip; the server's error for one is an exception in its place.

    One round trip a command on a RedisCluster. Raises redis.exceptions.RedisError when the connection fails.
    """
    replies = _core.exchange(connection, commands)
    return _by_client(connection, commands) if replies is None else replies


def ask(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Return the reply to each command, in one round trip. Raises the first error that the server answers."""
    return without_errors(exchange(connection, commands))


def without_errors(replies: list[Any]) -> list[Any]:
    """Return the replies. Raises the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def run_script(
    connection: Any, name: str, keys: Sequence[str], arguments: Sequence[str | bytes | int | float], shape: int = VALUE
) -> Any:
    """Return the answer of a compiled-in script, in one round trip; two where the server has not seen it yet."""
    sha1, text = _core.SCRIPTS[name]
    rest = (len(keys), *keys, *arguments)
    (reply,) = exchange(connection, [(shape, 'EVALSHA', sha1, *rest)])
    # Of whichever package the client is.
    if type(reply).__name__ == 'NoScriptError':
        (reply,) = exchange(connection, [(shape, 'EVAL', text, *rest)])
    if isinstance(reply, Exception):
        raise reply
    return reply


def _by_client(connection: Any, commands: Sequence[Command]) -> list[Any]:
    if not commands:
        return []
    replies = send(connection, [command[1:] for command in commands])
    return [
        reply if isinstance(reply, Exception) else shaped(command[0], reply)
        for command, reply in zip(commands, replies, strict=True)
    ]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _entries(value: list[Any]) -> list[tuple[str, float]]:
    # RESP3 has pairs, RESP2 members and scores in line.
    pairs = value if value and isinstance(value[0], (list, tuple)) else zip(value[::2], value[1::2], strict=True)
    return [(_text(member), float(score)) for member, score in pairs]


def shaped(shape: int | Callable[[Any], Any], value: Any) -> Any:
    """Return what came (VALUE) as a reply of another shape."""
    return shape(value) if callable(shape) else _SHAPED[shape](value)


_SHAPED: dict[int, Callable[[Any], Any]] = {
    INTEGER: int,
    SCORE: lambda value: None if value is None else float(value),
    VALUE: lambda value: value,
    NOTHING: lambda _: None,
    TEXTS: lambda value: [_text(item) for item in value],
    ENTRIES: _entries,
}
