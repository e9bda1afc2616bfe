"""The arguments of the Lua scripts, by the names in their headers; see tools/embed_lua.py."""

from __future__ import annotations

from collections.abc import Mapping

from .. import _core

Value = str | bytes | int | float
_NAMES = {name: tuple(arguments.split()) for name, (_, _, arguments) in _core.SCRIPTS.items()}


def in_order(script: str, given: Mapping[str, Value]) -> list[Value]:
    """Return the arguments in the order of the script. Raises TypeError if one is missing, or is not the script's."""
    _check(script, given, _NAMES[script])
    return [given[name] for name in _NAMES[script]]


def first_in_order(script: str, given: Mapping[str, Value]) -> tuple[Value, ...]:
    """Return the arguments in the order of the script, whose first arguments they must be; else TypeError is raised."""
    names = _NAMES[script][: len(given)]
    _check(script, given, names)
    return tuple(given[name] for name in names)


def among(script: str, given: Mapping[str, Value]) -> dict[str, Value]:
    """Return the given arguments that the script takes."""
    return {name: given[name] for name in _NAMES[script] if name in given}


def _check(script: str, given: Mapping[str, Value], names: tuple[str, ...]) -> None:
    wrong = sorted(given.keys() ^ set(names))
    if wrong:
        raise TypeError(f'{", ".join(wrong)}: not exactly the arguments of {script}.lua, which are {", ".join(names)}')
