"""The commands that count the jobs of many queues, and what their replies say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from ._exchange import INTEGER, VALUE, Command
from ._rq_keys import installed_keys

Reply = TypeVar('Reply')

# Whoever looks every second looks at the same queues; their commands take most of the time to make.
_remembered = lru_cache(maxsize=2)


@_remembered
def count_commands(queues: tuple[tuple[str, str], ...]) -> tuple[Command, ...]:
    """Return the commands that count the jobs of queues, by name and key: for each its list, then its registries."""
    templates = installed_keys().templates.values()
    return tuple(
        command
        for name, key in queues
        for command in (
            (INTEGER, 'LLEN', key),
            *((INTEGER, 'ZCARD', template.format(name)) for template in templates),
        )
    )


@_remembered
def score_commands(queues: tuple[tuple[str, str], ...]) -> tuple[Command, ...]:
    """Return the commands that read the first and the last entry of each of the queues' registries."""
    templates = installed_keys().templates.values()
    return tuple(
        # The entry itself may be anything: it is not decoded.
        (VALUE, 'ZRANGE', template.format(name), rank, rank, 'WITHSCORES')
        for name, _ in queues
        for template in templates
        for rank in (0, -1)
    )


def score_from(reply: list[Any]) -> float | None:
    """Return the score of the one entry in a reply; None where there is none."""
    if not reply:
        return None
    # RESP3 has a pair, RESP2 the entry and the score in line.
    last = reply[-1]
    return float(last[-1] if isinstance(last, (list, tuple)) else last)


def by_queue(replies: Sequence[Reply], queue_count: int) -> Iterator[Sequence[Reply]]:
    """Yield the replies that belong to each queue."""
    width = len(replies) // max(queue_count, 1)
    return (replies[start * width : (start + 1) * width] for start in range(queue_count))
