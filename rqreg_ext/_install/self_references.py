"""RQ's methods that refer to their own class by name, as `super(DeferredJobRegistry, self)` before RQ 2.8.

When that name is bound to our class, such a method must still refer to RQ's class. So its code is changed to use
another global name, which stays bound to RQ's class.
"""

from __future__ import annotations

from types import CodeType, FunctionType

from .._fastpath.originals import note_replaced_code
from .derived_classes import functions_of, names_used_in


class SelfReference:
    """The global name by which a method of an RQ class refers to that class, and the name that replaces it."""

    def __init__(self, function: FunctionType, name: str) -> None:
        self._function = function
        self._name = name
        self._code = function.__code__
        self._alias = f'_rqreg_ext_{name}'

    @property
    def path(self) -> str:
        """The path of the other global name, which must not be replaced."""
        return f'{self._function.__globals__["__name__"]}.{self._alias}'

    def keep(self) -> None:
        """Make the method use the other name, bound to the class that the original name is bound to now."""
        self._function.__globals__[self._alias] = self._function.__globals__[self._name]
        renamed = _renamed(self._code, self._name, self._alias)
        note_replaced_code(renamed, self._code)
        self._function.__code__ = renamed

    def restore(self) -> None:
        """Make the method use the original name again. The other stays: a call in another thread may still need it."""
        self._function.__code__ = self._code


def self_references(rq_class: type) -> list[SelfReference]:
    """Return the references to the class in its own methods."""
    return [
        SelfReference(function, name)
        for function in functions_of(rq_class)
        for name in sorted(names_used_in(function.__code__))
        if function.__globals__.get(name) is rq_class
    ]


def _renamed(code: CodeType, name: str, alias: str) -> CodeType:
    """Return the code with one name replaced, in nested functions too."""
    return code.replace(
        co_names=tuple(alias if used == name else used for used in code.co_names),
        co_consts=tuple(
            _renamed(constant, name, alias) if isinstance(constant, CodeType) else constant
            for constant in code.co_consts
        ),
    )
