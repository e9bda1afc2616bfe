"""When the job was enqueued that waits longest in each queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from .._fastpath.exchange import VALUE, Command, exchange, reply_text
from .._fastpath.rq_keys import job_prefix
from .._fastpath.server_errors import is_denied, is_wrong_type
from .._query.dates import moment_of, sortable

# How many jobs at the beginning of a queue are looked at: jobs that were put at its front have waited less.
_FIRST = 10
_FIELDS = ('enqueued_at', 'created_at')


def waiting_commands(queue_keys: Iterable[str]) -> tuple[Command, ...]:
    """Return the commands that read the times of the first jobs of each queue."""
    return _waiting_commands(tuple(queue_keys), job_prefix())


# As in counts.py: the next snapshot is of the same queues.
@lru_cache(maxsize=2)
def _waiting_commands(queue_keys: tuple[str, ...], prefix: str) -> tuple[Command, ...]:
    words = [word for field in _FIELDS for word in ('GET', f'{prefix}*->{field}')]
    return tuple((VALUE, 'SORT', key, 'BY', 'nosort', 'LIMIT', 0, _FIRST, *words) for key in queue_keys)


def oldest_from(
    client: Any, queue_keys: Sequence[str], replies: Sequence[Any]
) -> Iterator[datetime | Exception | None]:
    """Yield for each queue when the oldest of these jobs was enqueued, from the replies to those commands.

    None if no job waits; the error if the user has no right to read that. Two round trips more if SORT was refused: in
    a cluster, on a replica, and for a user without the right to all keys. Raises redis.exceptions.RedisError.
    """
    times = list(replies)
    refused = [number for number, reply in enumerate(times) if isinstance(reply, Exception)]
    if refused:
        again = _read_each(client, [queue_keys[number] for number in refused])
        for number, found in zip(refused, again, strict=True):
            times[number] = found
    return map(_oldest, times)


def _read_each(client: Any, queue_keys: Sequence[str]) -> list[Any]:
    """Return what SORT would, or the error if the user has no right to read that."""
    ids = _each(exchange(client, [(VALUE, 'LRANGE', key, 0, _FIRST - 1) for key in queue_keys]))
    keys = [job_prefix() + reply_text(job_id) for of_queue in ids if isinstance(of_queue, list) for job_id in of_queue]
    hashes = _each(exchange(client, [(VALUE, 'HMGET', key, *_FIELDS) for key in keys]))
    if any(map(is_denied, hashes)):
        hashes = _each(exchange(client, [(_selected, 'HGETALL', key) for key in keys]))
    remaining = iter(hashes)
    times: list[Any] = []
    for of_queue in ids:
        found = of_queue if isinstance(of_queue, Exception) else [next(remaining) for _ in of_queue]
        denied = [one for one in found if isinstance(one, Exception)] if isinstance(found, list) else []
        times.append(denied[0] if denied else found if isinstance(found, Exception) else [*chain.from_iterable(found)])
    return times


def _each(replies: Sequence[Any]) -> list[Any]:
    """Return the replies, and errors if the user has no right. A key of another type has no jobs, and no fields."""
    for reply in replies:
        if isinstance(reply, Exception) and not is_wrong_type(reply) and not is_denied(reply):
            raise reply
    return [[] if isinstance(reply, Exception) and is_wrong_type(reply) else reply for reply in replies]


def _selected(reply: Any) -> list[Any]:
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return [fields.get(name.encode(), fields.get(name)) for name in _FIELDS]


def _oldest(times: Any) -> datetime | Exception | None:
    """Return the earliest time; `times` has two for each job, of which the first counts if it is there."""
    if isinstance(times, Exception):
        return times
    if not times:
        return None
    found = [
        sortable(_bytes(enqueued_at)) or sortable(_bytes(created_at))
        for enqueued_at, created_at in zip(times[::2], times[1::2], strict=True)
    ]
    known = [time for time in found if time]
    return moment_of(min(known)) if known else None


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
