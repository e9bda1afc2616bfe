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


class Template:
    """The arguments of a script, of which some are the same in many runs: these are put in their places once."""

    def __init__(self, script: str, same: Mapping[str, Value]) -> None:
        names = _NAMES[script]
        self._script = script
        self._places = {name: place for place, name in enumerate(names)}
        self._needed = self._places.keys() - same.keys()
        self._values = [same.get(name, '') for name in names]

    def filled(self, given: Mapping[str, Value]) -> list[Value]:
        """Return all arguments in the order of the script. What is given takes the place of what is the same.

        Raises TypeError if one is missing, or is not the script's.
        """
        places = self._places
        if not self._needed <= given.keys() <= places.keys():
            _check(self._script, dict.fromkeys((places.keys() - self._needed) | given.keys(), ''), tuple(places))
        values = self._values.copy()
        for name, value in given.items():
            values[places[name]] = value
        return values


def _check(script: str, given: Mapping[str, Value], names: tuple[str, ...]) -> None:
    wrong = sorted(given.keys() ^ set(names))
    if wrong:
        raise TypeError(f'{", ".join(wrong)}: not exactly the arguments of {script}.lua, which are {", ".join(names)}')
