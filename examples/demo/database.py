"""The content of a database, without what differs from run to run."""

from __future__ import annotations

import re
from typing import Any

from redis import Redis

MASKS = (
    (re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'), '<job id>'),
    (re.compile(r'\b[0-9a-f]{32}\b'), '<execution id>'),
    (re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)'), '<time>'),
    (re.compile(r'\b\d{10}(\.\d+)?\b'), '<timestamp>'),
    (re.compile(r'\b0x[0-9a-f]+\b'), '<address>'),
)
# Fields of a worker's hash that differ because each run starts a new process.
PROCESS_FIELDS = frozenset({'pid', 'ip_address', 'birth', 'death', 'total_working_time'})


def masked(text: str) -> str:
    """Return the text with ids, times and addresses replaced by placeholders."""
    for pattern, kind in MASKS:
        text = pattern.sub(kind, text)
    return text


def _text(value: bytes) -> str:
    return masked(value.decode('utf-8', 'backslashreplace'))


def _hash(connection: Redis, key: bytes) -> Any:
    fields = {_text(name): _text(value) for name, value in connection.hgetall(key).items()}
    return {name: '<process>' if name in PROCESS_FIELDS else value for name, value in fields.items()}


def _stream(connection: Redis, key: bytes) -> Any:
    return [{_text(name): _text(value) for name, value in fields.items()} for _, fields in connection.xrange(key)]


READERS = {
    'hash': _hash,
    'list': lambda connection, key: [_text(entry) for entry in connection.lrange(key, 0, -1)],
    'set': lambda connection, key: sorted(_text(entry) for entry in connection.smembers(key)),
    'stream': _stream,
    'string': lambda connection, key: _text(connection.get(key)),
    # In the order of the scores, but without them, as they are times; only whether an entry expires is compared.
    'zset': lambda connection, key: [
        (_text(entry), score == float('inf')) for entry, score in connection.zrange(key, 0, -1, withscores=True)
    ],
}


def content_of(connection: Redis, key: bytes) -> tuple[str, Any, bool]:
    """Return a key's type, its masked value, and whether it expires."""
    kind = connection.type(key).decode()
    value = READERS[kind](connection, key) if kind != 'none' else None
    return kind, value, connection.ttl(key) >= 0


def contents(connection: Redis) -> list[tuple[str, tuple[str, Any, bool]]]:
    """Return every key, masked, with its content."""
    return sorted(
        ((_text(key), content_of(connection, key)) for key in connection.scan_iter(count=1000)),
        key=lambda item: str(item),
    )
