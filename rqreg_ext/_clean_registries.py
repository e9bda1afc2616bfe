"""clean_registries(), which cleans all registries of a queue: in one round trip, or by RQ's own code."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

from rq import registry as rq_registry

from . import _core
from ._originals import code_of, is_original, original_code

# Whether this thread runs what stands in the place of RQ's function, which may call ours.
_replacement = threading.local()


def rqs_function() -> Any:
    """Return RQ's clean_registries(); None where somebody has put another in its place, or around it."""
    function = rq_registry.clean_registries
    return function if is_original(function, 'rq.registry', 'clean_registries') else None


def clean_by_names(code: CodeType, names: dict[str, Any], queue: Any, exception_handlers: Any) -> None:
    """Clean the registries of the queue: in one round trip, or by the code of RQ's function with these globals."""
    if not _core.clean_registries(queue, names):
        FunctionType(code, names, 'clean_registries', (None,))(queue, exception_handlers)


def _call_replacement(queue: Any, exception_handlers: Any) -> None:
    _replacement.is_running = True
    try:
        rq_registry.clean_registries(queue, exception_handlers)
    finally:
        del _replacement.is_running


class CleanRegistries:
    """RQ's clean_registries() over classes of ours."""

    __slots__ = ('_ours',)

    def __init__(self, ours: Mapping[str, Any]) -> None:
        """Take our classes by the names of the RQ classes that they are composed of."""
        self._ours = ours

    def __call__(self, queue: Any, exception_handlers: list[Any] | None = None) -> None:
        """Clean the registries of the queue; what stands in the place of RQ's function is called instead of it."""
        function = rqs_function()
        code = code_of('rq.registry', 'clean_registries') if function is None else original_code(function)
        if code is None or (function is None and not hasattr(_replacement, 'is_running')):
            _call_replacement(queue, exception_handlers)
        else:
            clean_by_names(code, self._names(), queue, exception_handlers)

    def _names(self) -> dict[str, Any]:
        """Return what RQ's function finds in its module, with ours in the places of RQ's classes."""
        names = vars(rq_registry)
        return {**names, **{name: ours for name, ours in self._ours.items() if names.get(name) is ours._rq_class}}
