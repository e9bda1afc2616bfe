"""clean_registries(), which cleans up all registries of a queue: in one round trip, or by RQ's own code."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

from rq import registry as rq_registry

from .. import _core
from .originals import code_of, is_original, original_code

# Whether this thread is running a function that replaces RQ's, and may call ours in turn.
_replacement = threading.local()


def unpatched_function() -> Any:
    """Return RQ's clean_registries(); None if it was replaced or wrapped."""
    function = rq_registry.clean_registries
    return function if is_original(function, 'rq.registry', 'clean_registries') else None


def clean_by_names(code: CodeType, names: dict[str, Any], queue: Any, exception_handlers: Any) -> None:
    """Clean up the registries of the queue in one round trip, or by running RQ's code with `names` as its globals."""
    if not _core.clean_registries(queue, names):
        FunctionType(code, names, 'clean_registries', (None,))(queue, exception_handlers)


def _call_replacement(queue: Any, exception_handlers: Any) -> None:
    _replacement.is_running = True
    try:
        rq_registry.clean_registries(queue, exception_handlers)
    finally:
        del _replacement.is_running


class CleanRegistries:
    """RQ's clean_registries(), with our classes instead of RQ's."""

    __slots__ = ('_ours',)

    def __init__(self, ours: Mapping[str, Any]) -> None:
        """Take our classes by the names of the RQ classes that they derive from."""
        self._ours = ours

    def __call__(self, queue: Any, exception_handlers: list[Any] | None = None) -> None:
        """Clean up the registries of the queue. If RQ's function was replaced, the replacement is called."""
        function = unpatched_function()
        code = code_of('rq.registry', 'clean_registries') if function is None else original_code(function)
        if code is None or (function is None and not hasattr(_replacement, 'is_running')):
            _call_replacement(queue, exception_handlers)
        else:
            clean_by_names(code, self._names(), queue, exception_handlers)

    def _names(self) -> dict[str, Any]:
        """Return the globals of RQ's module, with our classes instead of RQ's."""
        names = vars(rq_registry)
        return {**names, **{name: ours for name, ours in self._ours.items() if names.get(name) is ours._rq_class}}
