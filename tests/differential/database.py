"""A whole database as a value: every key with its type, content and expiry."""

from __future__ import annotations

import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .masks import NEAR_SECONDS, mask_bytes

EXPIRY_TOLERANCE_MS = 2000

DUMP_SCRIPT = """
local time = redis.call('TIME')
local dump = {}
for _, key in ipairs(#KEYS > 0 and KEYS or redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'string' then value = redis.call('GET', key)
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'stream' then value = redis.call('XRANGE', key, '-', '+')
  end
  if kind ~= 'none' then dump[#dump + 1] = {key, kind, value, redis.call('PTTL', key)} end
end
return {time, dump}
"""

# Both sides start from copies of one database: what a server orders by itself (sets) comes in the same order too.
COPY_SCRIPT = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  for _, database in ipairs(ARGV) do
    redis.call('COPY', key, key, 'DB', database)
  end
end
"""

# For each key there is the same one with a prefix, which is another application's.
DOUBLE_SCRIPT = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  redis.call('COPY', key, ARGV[1] .. key)
end
"""


@dataclass(frozen=True)
class Key:
    """One key: its type, its content as a value to compare, and when it expires (Unix time in ms, None: never)."""

    kind: str
    content: Any
    expires: int | None


Dump = dict[bytes, Key]


class Masks(NamedTuple):
    """What becomes of texts in fields, and of the ids of stream entries."""

    text: Callable[[bytes], bytes]
    stream_id: Callable[[bytes], bytes]


def _stream_id(entry: bytes) -> bytes:
    # The sequence number too is a matter of time: it counts the entries of the same millisecond.
    milliseconds = int(entry.partition(b'-')[0])
    return b'<now>' if abs(milliseconds / 1000 - time.time()) < NEAR_SECONDS else entry


# The times of a call that was made just now are masked, or nothing is.
THIS_MINUTE = Masks(mask_bytes, _stream_id)
NOTHING = Masks(bytes, bytes)


def dump(client: Any, only: Sequence[bytes] = (), masks: Masks | None = None) -> Dump:
    """Return everything in the client's database, or what it has of some keys, with what the masks leave."""
    (seconds, microseconds), keys = client.eval(DUMP_SCRIPT, len(only), *only)
    now = int(seconds) * 1000 + int(microseconds) // 1000
    return {
        key: Key(kind.decode(), _content(kind.decode(), value, masks or THIS_MINUTE), now + ttl if ttl >= 0 else None)
        for key, kind, value, ttl in keys
    }


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _content(kind: str, value: Any, masks: Masks) -> Any:
    if kind == 'hash':
        return {field: _field(field, content, masks.text) for field, content in _pairs(value)}
    if kind == 'zset':
        return _pairs(value)
    if kind == 'set':
        return set(value)
    if kind == 'stream':
        return [
            (masks.stream_id(entry), {f: _field(f, v, masks.text) for f, v in _pairs(payload)})
            for entry, payload in value
        ]
    return value


def _field(name: bytes, value: bytes, mask: Callable[[bytes], bytes]) -> bytes:
    """Return a field masked, also inside what RQ compresses."""
    if name == b'exc_info' and value.startswith(b'\x78'):
        return b'zlib:' + mask(zlib.decompress(value))
    if name == b'exc_string':
        return b'base64(zlib):' + mask(zlib.decompress(b64decode(value)))
    return mask(value)


def differences(rq: Dump, ours: Dump) -> list[str]:
    """Return a line for each difference between RQ's database and ours."""
    lines = [f'only RQ has {key!r}: {rq[key]}' for key in sorted(rq.keys() - ours.keys())]
    lines += [f'only ours has {key!r}: {ours[key]}' for key in sorted(ours.keys() - rq.keys())]
    for key in sorted(rq.keys() & ours.keys()):
        lines += [f'{key!r}: {line}' for line in _key_differences(rq[key], ours[key])]
    return lines


def _key_differences(rq: Key, ours: Key) -> list[str]:
    lines = []
    if rq.kind == ours.kind == 'hash':
        lines += [
            f'field {name!r} is {rq.content.get(name)!r} by RQ, {ours.content.get(name)!r} by ours'
            for name in sorted(rq.content.keys() | ours.content.keys())
            if rq.content.get(name) != ours.content.get(name)
        ]
    elif (rq.kind, rq.content) != (ours.kind, ours.content):
        lines.append(f'RQ left {rq.kind} {rq.content!r}, ours {ours.kind} {ours.content!r}')
    if not _same_expiry(rq.expires, ours.expires):
        lines.append(f'RQ lets it expire at {rq.expires} ms, ours at {ours.expires} ms')
    return lines


def _same_expiry(rq: int | None, ours: int | None) -> bool:
    if rq is None or ours is None:
        return rq is ours
    return abs(rq - ours) <= EXPIRY_TOLERANCE_MS
