"""The commands by which a wrapped client is tried, before a script replaces the commands of RQ's methods.

They are those that RQ's methods send on the keys that a script of src/lua/ changes: a new command there is added here.
None is sent if the client passes it on: each has a canned reply. A client may send it elsewhere, though. None would
change anything there: the jobs do not exist, and what would add something has an argument that cannot be sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..rq_keys import REGISTRIES, JobKeys, executions_key, queue_key, queues_key
from ..script_constants import key_prefixes

Words = tuple[Any, ...]

# The id of the job, the name of the queue, and whatever else a name is needed for.
NAME = 'rqreg_ext'


class _Unsendable:
    """An argument that no client can turn into bytes."""

    def __str__(self) -> str:
        return NAME

    __repr__ = __str__


UNSENDABLE: Any = _Unsendable()


class TrialCommand(NamedTuple):
    """A command, and the reply that it is given."""

    words: Words
    reply: Any


_FOUND = object()
# By the type of the key: (name, the arguments after the key, the reply).
_BY_TYPE: dict[str, tuple[tuple[str, Words, Any], ...]] = {
    'hash': (
        ('EXISTS', (), 1),
        ('HGETALL', (), {_FOUND: _FOUND}),
        ('HGET', ('status',), _FOUND),
        ('HDEL', ('status',), 1),
        ('EXPIRE', (1,), 1),
        ('PERSIST', (), 1),
        ('DEL', (), 1),
        ('UNLINK', (), 1),
        ('HSET', ('status', UNSENDABLE), 1),
        ('HINCRBY', ('status', UNSENDABLE), 1),
    ),
    'sorted set': (
        ('ZCARD', (), 1),
        ('ZSCORE', (NAME,), 1.0),
        ('ZRANGE', (0, -1), [_FOUND]),
        # From a higher score to a lower one, there is nothing.
        ('ZRANGEBYSCORE', (1, 0), [_FOUND]),
        ('ZREMRANGEBYSCORE', (1, 0), 1),
        ('ZREM', (NAME,), 1),
        ('ZADD', (1, UNSENDABLE), 1),
    ),
    'list': (
        ('LLEN', (), 1),
        ('LRANGE', (0, -1), [_FOUND]),
        ('LREM', (1, NAME), 1),
        ('RPUSH', (UNSENDABLE,), 1),
        ('LPUSH', (UNSENDABLE,), 1),
    ),
    'set': (('SMEMBERS', (), {_FOUND}), ('SREM', (NAME,), 1), ('SADD', (UNSENDABLE,), 1)),
    'stream': (('XREVRANGE', ('+', '-', 'COUNT', 1), []), ('XADD', ('*', 'type', UNSENDABLE), _FOUND)),
    'deleted': (('DEL', (), 1), ('UNLINK', (), 1)),
}
# On the keys of a queue that exists.
_SOME = frozenset({'ZRANGE', 'ZREM', 'ZADD', 'LREM', 'RPUSH'})


def commands_of_rq(is_decoded: bool) -> list[TrialCommand]:
    """Return every command that RQ sends, each on a key of its type.

    Only the set of queues exists. The other keys name a job and a queue that do not. is_decoded: whether texts in
    replies are str.
    """
    from rq.job import Job

    keys = JobKeys(Job)
    job, dependents = keys.job(NAME), keys.dependents(NAME)
    results = key_prefixes['result_prefix'].decode()
    of_results = [results + NAME] if results else []
    kinds = [
        (job, 'hash'),
        *((registry_kind.key(NAME), 'sorted set') for registry_kind in REGISTRIES.values()),
        (executions_key(NAME), 'sorted set'),
        (queue_key(NAME), 'list'),
        (queues_key(), 'set'),
        (dependents, 'set'),
        (keys.dependencies(NAME), 'set'),
        *((key, 'stream') for key in of_results),
        *((key, 'deleted') for key in (dependents, *of_results, executions_key(NAME))),
    ]
    commands = [command for key, key_type in kinds for command in _on(key, key_type, is_decoded)]
    return [*commands, TrialCommand(('DEL', job, UNSENDABLE), 1)]


def commands_of_registry(registry_key: Any, is_decoded: bool) -> tuple[list[TrialCommand], list[TrialCommand]]:
    """Return some commands of RQ on a registry's own key and its queue; and on the other registries of this queue."""
    own = [*_on(registry_key, 'sorted set', is_decoded, _SOME)]
    others: list[TrialCommand] = []
    queue_name = _queue_of(registry_key)
    if queue_name is not None:
        own += _on(queue_key(queue_name), 'list', is_decoded, _SOME)
        for registry_kind in REGISTRIES.values():
            others += _on(registry_kind.key(queue_name), 'sorted set', is_decoded, _SOME)
    return own, others


def _queue_of(registry_key: Any) -> str | None:
    for registry_kind in REGISTRIES.values():
        prefix = registry_kind.key('')
        if isinstance(registry_key, str) and registry_key.startswith(prefix):
            return registry_key[len(prefix) :]
    return None


def _on(key: Any, key_type: str, is_decoded: bool, names: frozenset[str] | None = None) -> Iterator[TrialCommand]:
    for name, rest, reply in _BY_TYPE[key_type]:
        if names is None or name in names:
            yield TrialCommand((name, key, *rest), _with_text(reply, NAME if is_decoded else NAME.encode()))


def _with_text(reply: Any, text: str | bytes) -> Any:
    if reply is _FOUND:
        return text
    if isinstance(reply, dict):
        return {text: text} if reply else {}
    return type(reply)([text]) if isinstance(reply, list | set) and reply else reply
