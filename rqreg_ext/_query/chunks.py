"""Many items, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar('_Item')


def chunks_of(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of so many; the last one may be shorter. They are read as the lists are asked for."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
