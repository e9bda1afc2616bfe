"""RQ's clean_registries(), which stays the same function wherever a program holds it, with our code in it."""

from __future__ import annotations

from typing import Any

from rq import registry as rq_registry

from .._clean_registries import clean_by_names, rqs_function
from .._originals import note_replaced_code

_ALIAS = '_rqreg_ext_clean_registries'


def clean_registries(queue: Any, exception_handlers: Any = None) -> None:
    """Be the code of RQ's function, which finds this name among its globals."""
    _rqreg_ext_clean_registries(queue, exception_handlers)  # type: ignore[name-defined] # noqa: F821


class CleaningFunction:
    """The function, and how it becomes RQ's own again."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._code = function.__code__

    def take_over(self) -> None:
        """Let it clean in one round trip the registries that RQ's names stand for at each call."""
        code = self._code

        def clean(queue: Any, exception_handlers: Any = None) -> None:
            clean_by_names(code, vars(rq_registry), queue, exception_handlers)

        note_replaced_code(clean_registries.__code__, code)
        vars(rq_registry)[_ALIAS] = clean
        self._function.__code__ = clean_registries.__code__

    def give_back(self) -> None:
        """Let it run RQ's code again; the other global stays, for a call that is under way."""
        self._function.__code__ = self._code


def take_over_cleaning() -> list[CleaningFunction]:
    """Take the function over, where it is RQ's: what somebody has put in its place stays as it is."""
    function = rqs_function()
    functions = [] if function is None else [CleaningFunction(function)]
    for one in functions:
        one.take_over()
    return functions
