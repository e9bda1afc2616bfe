"""RQ's clean_registries(), which stays the same function wherever a program holds it, with our code in it."""

from __future__ import annotations

from typing import Any

from rq import registry as rq_registry

from .._clean_registries import CleanRegistries, cleans_as_rq

_ALIAS = '_rqreg_ext_clean_registries'


def clean_registries(queue: Any, exception_handlers: Any = None) -> None:
    """Be the code of RQ's function, which finds this name among its globals."""
    _rqreg_ext_clean_registries(queue, exception_handlers)  # type: ignore[name-defined] # noqa: F821


class CleaningFunction:
    """The function, and how it becomes RQ's own again."""

    def __init__(self) -> None:
        self._function: Any = rq_registry.clean_registries
        self._code = self._function.__code__

    def take_over(self) -> None:
        """Let it clean in one round trip the registries that RQ's names stand for at each call."""
        vars(rq_registry)[_ALIAS] = CleanRegistries(vars(rq_registry))
        self._function.__code__ = clean_registries.__code__

    def give_back(self) -> None:
        """Let it run RQ's code again; the other global stays, for a call that is under way."""
        self._function.__code__ = self._code


def take_over_cleaning() -> list[CleaningFunction]:
    """Take the function over, where it is RQ's: what somebody has put in its place stays as it is."""
    functions = [CleaningFunction()] if cleans_as_rq() else []
    for function in functions:
        function.take_over()
    return functions
