"""The classes that a program derived from RQ's registries before these were replaced, and what they need unreplaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any


def derived_before(rq_class: type, our_base: type) -> Iterator[type]:
    """Yield the program's own subclasses of RQ's class, those that are not derived from our BaseRegistry."""
    subclasses: list[type] = type.__subclasses__(rq_class)
    for subclass in subclasses:
        if any(base is our_base for base in subclass.__mro__):
            continue
        if vars(subclass)['__module__'].partition('.')[0] != 'rq':
            yield subclass
        yield from derived_before(subclass, our_base)


def names_used(derived: type, rq_class: type) -> tuple[set[str], bool]:
    """Tell how the methods of a derived class reach the class it derives from, as in `FailedJobRegistry.cleanup(self)`.

    Returns the globals by which they do, as "module.name", and whether they do in another way: through the module
    of RQ, or by an import of their own.
    """
    by_global = set()
    otherwise = False
    for function in functions_of(derived):
        names = names_used_in(function.__code__)
        bound = {name for name in names if function.__globals__.get(name) is rq_class}
        by_global |= {f'{function.__globals__.get("__name__")}.{name}' for name in bound}
        otherwise |= rq_class.__name__ in names - bound
    return by_global, otherwise


def functions_of(owner: type) -> Iterator[FunctionType]:
    """Yield the functions in a class, those in its properties, class methods and static methods too."""
    for value in list(vars(owner).values()):
        candidates: tuple[Any, ...] = (value,)
        if isinstance(value, staticmethod | classmethod):
            candidates = (value.__func__,)
        elif isinstance(value, property):
            candidates = (value.fget, value.fset, value.fdel)
        for candidate in candidates:
            yield from _functions_around(candidate, set())


def _functions_around(candidate: Any, seen: set[int]) -> Iterator[FunctionType]:
    """Yield a function, and those in its closure: what decorators have put it around."""
    if type(candidate) is not FunctionType or id(candidate) in seen:
        return
    seen.add(id(candidate))
    yield candidate
    for cell in candidate.__closure__ or ():
        with suppress(ValueError):
            yield from _functions_around(cell.cell_contents, seen)


def names_used_in(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in a function's code, and in the functions inside it."""
    inside = (names_used_in(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inside)
