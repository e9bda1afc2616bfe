"""Classes that a program derived from RQ's registries before install().

Their base class stays RQ's. If a method of theirs refers to the base class by name, as in
`FailedJobRegistry.cleanup(self)`, that name must not be replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any


def derived_before(rq_class: type, our_base: type) -> Iterator[type]:
    """Yield the subclasses of RQ's class, except RQ's own and those that are derived from our BaseRegistry."""
    subclasses: list[type] = type.__subclasses__(rq_class)
    for subclass in subclasses:
        if any(base is our_base for base in subclass.__mro__):
            continue
        if vars(subclass)['__module__'].partition('.')[0] != 'rq':
            yield subclass
        yield from derived_before(subclass, our_base)


def names_used(derived: type, rq_class: type) -> tuple[set[str], bool]:
    """Return how the methods of a derived class refer to RQ's class.

    Returns the global names they use, as "module.name", and whether they refer to it in another way: as an attribute
    of RQ's module, or by an import inside the method.
    """
    by_global = set()
    in_other_ways = False
    for function in functions_of(derived):
        names = names_used_in(function.__code__)
        bound = {name for name in names if function.__globals__.get(name) is rq_class}
        by_global |= {f'{function.__globals__.get("__name__")}.{name}' for name in bound}
        in_other_ways |= rq_class.__name__ in names - bound
    return by_global, in_other_ways


def functions_of(owner: type) -> Iterator[FunctionType]:
    """Yield the functions in a class, including those of its properties, class methods and static methods."""
    for value in list(vars(owner).values()):
        candidates: tuple[Any, ...] = (value,)
        if isinstance(value, staticmethod | classmethod):
            candidates = (value.__func__,)
        elif isinstance(value, property):
            candidates = (value.fget, value.fset, value.fdel)
        for candidate in candidates:
            yield from _with_wrapped_functions(candidate, set())


def _with_wrapped_functions(candidate: Any, seen: set[int]) -> Iterator[FunctionType]:
    """Yield a function, and the functions in its closure: those that a decorator has wrapped."""
    if type(candidate) is not FunctionType or id(candidate) in seen:
        return
    seen.add(id(candidate))
    yield candidate
    for cell in candidate.__closure__ or ():
        with suppress(ValueError):
            yield from _with_wrapped_functions(cell.cell_contents, seen)


def names_used_in(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in a function's code and in its nested functions."""
    inside = (names_used_in(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inside)
