"""RQ's methods that name their own class, as `super(DeferredJobRegistry, self)` does before RQ 2.8.

Where the name is ours, the method must mean RQ's class still, for registries of both: it gets a name of its own for it.
"""

from __future__ import annotations

from types import CodeType, FunctionType

from .._originals import note_replaced_code
from .derived_classes import functions_of, names_used_in


class SelfReference:
    """The global by which a method of an RQ class refers to that class, and another one for while ours stands there."""

    def __init__(self, function: FunctionType, name: str) -> None:
        self._function = function
        self._name = name
        self._code = function.__code__
        self._alias = f'_rqreg_ext_{name}'

    @property
    def path(self) -> str:
        """Where the other global is, which holds RQ's class for good."""
        return f'{self._function.__globals__["__name__"]}.{self._alias}'

    def keep(self) -> None:
        """Let the method refer to what the name is bound to now, whatever it will be bound to."""
        self._function.__globals__[self._alias] = self._function.__globals__[self._name]
        renamed = _renamed(self._code, self._name, self._alias)
        note_replaced_code(renamed, self._code)
        self._function.__code__ = renamed

    def give_back(self) -> None:
        """Let the method refer to the name again; the other one stays, for a call that is under way."""
        self._function.__code__ = self._code


def self_references(rq_class: type) -> list[SelfReference]:
    """Return the references of a class's own methods to the class."""
    return [
        SelfReference(function, name)
        for function in functions_of(rq_class)
        for name in sorted(names_used_in(function.__code__))
        if function.__globals__.get(name) is rq_class
    ]


def _renamed(code: CodeType, name: str, alias: str) -> CodeType:
    """Return the code with another name in the place of one, in the functions inside it too."""
    return code.replace(
        co_names=tuple(alias if used == name else used for used in code.co_names),
        co_consts=tuple(
            _renamed(constant, name, alias) if isinstance(constant, CodeType) else constant
            for constant in code.co_consts
        ),
    )
