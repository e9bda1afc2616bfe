"""How results count things in words."""

from __future__ import annotations

_PLURALS = {'entry': 'entries'}


def plural(what: str) -> str:
    """Return the plural of a thing that results count."""
    return _PLURALS.get(what, f'{what}s')


def counted(count: int, what: str, none: str | None = None) -> str:
    """Return '1 queue', '2 queues' and the like; `none`, if it is given, replaces the number 0."""
    number = none if none is not None and count == 0 else str(count)
    return f'{number} {what if count == 1 else plural(what)}'
