"""The commands that count the jobs of many queues, and functions that read their replies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from .._fastpath.exchange import INTEGER, VALUE, Command

Reply = TypeVar('Reply')

# A program that takes a snapshot every second does so for the same queues, and making the commands takes most of the
# time of a snapshot.
_cached = lru_cache(maxsize=2)


@_cached
def count_commands(queues: tuple[tuple[str, str], ...], templates: tuple[str, ...]) -> tuple[Command, ...]:
    """Return the commands that count, for each queue, given as (name, key), its jobs and those of its registries.

    `templates` are those of the registries' keys.
    """
    return tuple(
        command
        for name, key in queues
        for command in (
            (INTEGER, 'LLEN', key),
            *((INTEGER, 'ZCARD', template.format(name)) for template in templates),
        )
    )


@_cached
def score_commands(queues: tuple[tuple[str, str], ...], templates: tuple[str, ...]) -> tuple[Command, ...]:
    """Return the commands that read the first and the last entry of each of the queues' registries."""
    return tuple(
        # Read as bytes: the entry, which is not used, need not be UTF-8.
        (VALUE, 'ZRANGE', template.format(name), rank, rank, 'WITHSCORES')
        for name, _ in queues
        for template in templates
        for rank in (0, -1)
    )


def score_from(reply: list[Any]) -> float | None:
    """Return the score of the only entry in a reply; None if there is no entry."""
    if not reply:
        return None
    # RESP3: [[entry, score]]. RESP2: [entry, score].
    last = reply[-1]
    return float(last[-1] if isinstance(last, (list, tuple)) else last)


def by_queue(replies: Sequence[Reply], queue_count: int) -> Iterator[Sequence[Reply]]:
    """Yield the replies that belong to each queue."""
    width = len(replies) // max(queue_count, 1)
    return (replies[start * width : (start + 1) * width] for start in range(queue_count))
