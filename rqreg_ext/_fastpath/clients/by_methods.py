"""Commands by the methods of a client, as RQ calls them: for clients of which only that much is known.

Only what RQ sends is sent: a client that puts a prefix before each key may know no other commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .kinds import replaced_methods

# The most methods that an error names.
_SHOWN = 3
# (name, *arguments)
Words = tuple[Any, ...]


class ClientRefusedError(NotImplementedError):
    """A command that only a client of redis-py's own may send; nothing was sent."""


def client_refused(client: Any, what: str) -> ClientRefusedError:
    """Return the error to raise if `what` would need commands that RQ does not send."""
    client_class = f'{type(client).__module__}.{type(client).__qualname__}'
    replaced = ', '.join(replaced_methods(client)[:_SHOWN])
    changes = (
        f'this {client_class} may change keys or commands (in {replaced})'
        if replaced
        else f'it is not known whether this {client_class} changes keys or commands'
    )
    return ClientRefusedError(
        f'{what} needs commands that RQ does not send, and {changes}. Give a redis.Redis that finds the same keys '
        "by the same names; for a prefix before RQ's keys, set RQ_KEY_PREFIX (RQ 3) instead of changing the client"
    )


def call_or_error(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the call returns, or the error that the server answered."""
    try:
        return call(*arguments, **options)
    except Exception as error:
        # Of whichever package the client is.
        if any(owner.__name__ == 'ResponseError' for owner in type(error).__mro__):
            return error
        raise


def by_methods(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Return the replies. Raises ClientRefusedError before the first command, if there is one that RQ does not send."""
    for name, *_ in commands:
        if name not in _METHODS:
            raise client_refused(client, f'the command {name}')
    return [call_or_error(_METHODS[words[0]], client, *words[1:]) for words in commands]


def call_as_rq(client: Any, words: Words) -> Any:
    """Call the client's method by which RQ sends this command, and return what it returns."""
    return SENT_BY_RQ[words[0]](client, *words[1:])


def _zrange(client: Any, key: str, first: int, last: int, *with_scores: str, desc: bool = False) -> Any:
    return client.zrange(key, first, last, desc=desc, **({'withscores': True} if with_scores else {}))


def _zrevrange(client: Any, key: str, first: int, last: int, *with_scores: str) -> Any:
    return _zrange(client, key, first, last, *with_scores, desc=True)


def _zrangebyscore(client: Any, key: str, low: Any, high: Any, *options: Any) -> Any:
    words: dict[str, Any] = {'withscores': True} if 'WITHSCORES' in options else {}
    if 'LIMIT' in options:
        place = options.index('LIMIT')
        words |= {'start': int(options[place + 1]), 'num': int(options[place + 2])}
    return client.zrangebyscore(key, low, high, **words)


def _zrevrangebyscore(client: Any, key: str, high: Any, low: Any, *options: Any) -> Any:
    found = client.zrangebyscore(key, low, high, **({'withscores': True} if 'WITHSCORES' in options else {}))
    start, count = 0, len(found)
    if 'LIMIT' in options:
        place = options.index('LIMIT')
        start, count = int(options[place + 1]), int(options[place + 2])
    return found[::-1][start : start + count]


def _zrank(client: Any, key: str, member: Any, desc: bool = False) -> int | None:
    members = [_octets(each) for each in client.zrange(key, 0, -1, desc=desc)]
    wanted = _octets(member)
    return members.index(wanted) if wanted in members else None


def _hmget(client: Any, key: str, *fields: Any) -> list[Any]:
    found = {_octets(name): value for name, value in client.hgetall(key).items()}
    return [found.get(_octets(field)) for field in fields]


def _hexists(client: Any, key: str, field: Any) -> int:
    return int(client.hget(key, field) is not None)


def _sismember(client: Any, key: str, member: Any) -> int:
    return int(_octets(member) in {_octets(each) for each in client.smembers(key)})


def _xrevrange(client: Any, key: str, last: Any, first: Any, *count: Any) -> Any:
    return client.xrevrange(key, last, first, **({'count': count[1]} if count else {}))


def _time(client: Any) -> list[int]:
    # RQ asks no server for it.
    seconds, fraction = divmod(time.time(), 1)
    return [int(seconds), int(fraction * 1e6)]


def _sort(client: Any, *words: Any) -> Exception:
    # An error in place of the reply: the caller then reads without SORT.
    return client_refused(client, 'the command SORT')


def _octets(text: Any) -> Any:
    return text.encode() if isinstance(text, str) else text


# The commands that RQ sends.
SENT_BY_RQ: dict[str, Callable[..., Any]] = {
    'EXISTS': lambda client, *keys: client.exists(*keys),
    'HGET': lambda client, key, field: client.hget(key, field),
    'HGETALL': lambda client, key: client.hgetall(key),
    'LLEN': lambda client, key: client.llen(key),
    'LPOS': lambda client, key, element: client.lpos(key, element),
    'LRANGE': lambda client, key, first, last: client.lrange(key, first, last),
    'PUBLISH': lambda client, channel, message: client.publish(channel, message),
    'SMEMBERS': lambda client, key: client.smembers(key),
    'XREVRANGE': _xrevrange,
    'ZCARD': lambda client, key: client.zcard(key),
    'ZRANGE': _zrange,
    'ZRANGEBYSCORE': _zrangebyscore,
    'ZREM': lambda client, key, *members: client.zrem(key, *members),
    'ZREMRANGEBYSCORE': lambda client, key, low, high: client.zremrangebyscore(key, low, high),
    'ZREVRANGE': _zrevrange,
    'ZSCORE': lambda client, key, member: client.zscore(key, member),
}
# Commands that RQ does not send, answered by commands that it sends.
_EMULATED: dict[str, Callable[..., Any]] = {
    'HEXISTS': _hexists,
    'HMGET': _hmget,
    'SISMEMBER': _sismember,
    'SORT': _sort,
    'TIME': _time,
    'ZCOUNT': lambda client, key, low, high: len(client.zrangebyscore(key, low, high)),
    'ZMSCORE': lambda client, key, *members: [client.zscore(key, member) for member in members],
    'ZRANK': _zrank,
    'ZREVRANGEBYSCORE': _zrevrangebyscore,
    'ZREVRANK': lambda client, key, member: _zrank(client, key, member, desc=True),
}
_METHODS = SENT_BY_RQ | _EMULATED
# Commands that change nothing, and may be sent twice.
READS = frozenset(_METHODS) - {'PUBLISH', 'ZREM', 'ZREMRANGEBYSCORE'}
