"""How results count things in words, and how messages suggest a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_PLURALS = {'entry': 'entries'}


def plural(what: str) -> str:
    """Return the plural of a thing that results count."""
    return _PLURALS.get(what, f'{what}s')


def counted(count: int, what: str, none: str | None = None) -> str:
    """Return '1 queue', '2 queues' and the like; `none`, if it is given, replaces the number 0."""
    number = none if none is not None and count == 0 else str(count)
    return f'{number} {what if count == 1 else plural(what)}'


def suggestion(names: Sequence[str]) -> str:
    """Return " (did you mean 'a' or 'b'?)" for these names; '' for none."""
    return f' (did you mean {" or ".join(map(repr, names))}?)' if names else ''


def hint(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> str:
    """Return the suggestion of those known names that are most similar to a wrong one."""
    # Imported here for start-up time.
    from difflib import get_close_matches

    return suggestion(get_close_matches(name, list(known), most, cutoff))
