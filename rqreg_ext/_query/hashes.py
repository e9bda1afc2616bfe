"""Replies to HGETALL, and names that come back in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# A job has some forty fields, and its results a few others.
_MOST_CACHED = 256


def pairs_of(reply: Any) -> dict[bytes, bytes]:
    """Return the fields of a hash or a stream entry as a dict; some clients return a dict, others a flat list."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def names_and_values(reply: Any) -> tuple[Iterable[Any], Iterable[Any]]:
    """Return the names of the fields, and their values in the same order."""
    return (reply, reply.values()) if isinstance(reply, dict) else (reply[::2], reply[1::2])


class BoundedCache(dict[Any, str]):
    """What a function makes of a value: looking it up is faster. Memory does not grow with what is stored in Redis.

    Args:
        make: Called for each value that is not cached.
    """

    def __init__(self, make: Callable[[Any], str]) -> None:
        self._make = make

    def __missing__(self, value: Any) -> str:
        made = self._make(value)
        if len(self) < _MOST_CACHED:
            self[value] = made
        return made
