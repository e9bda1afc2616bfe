"""clean_registries(), which cleans all registries of a queue: the head's in one round trip, or RQ's own code."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from rq import registry as rq_registry

from . import _core


def cleans_as_rq() -> bool:
    """Tell whether RQ's clean_registries() is RQ's: nobody has put another in its place, or around it."""
    function = rq_registry.clean_registries
    return type(function) is FunctionType and function.__globals__ is vars(rq_registry)


class CleanRegistries:
    """RQ's clean_registries() over the classes of the given names: in one round trip, or by RQ's own code."""

    __slots__ = ('_names', '_rqs')

    def __init__(self, names: dict[str, Any]) -> None:
        function: Any = rq_registry.clean_registries
        self._names = names
        self._rqs = FunctionType(function.__code__, names, function.__name__, function.__defaults__)

    def __call__(self, queue: Any, exception_handlers: list[Any] | None = None) -> None:
        """Clean the registries of the queue."""
        if not _core.clean_registries(queue, self._names):
            self._rqs(queue, exception_handlers)
