"""Replacing the code of RQ's clean_registries().

Programs import the function by name, as rq.worker and rq.cli do, and may hold it in a list, a partial() or a closure,
where a search cannot replace it. So the function object stays, and its `__code__` is replaced.
"""

from __future__ import annotations

from typing import Any

from rq import registry as rq_registry

from .._fastpath.clean_registries import clean_by_names, unpatched_function
from .._fastpath.originals import note_replaced_code

_ALIAS = '_rqreg_ext_clean_registries'


def clean_registries(queue: Any, exception_handlers: Any = None) -> None:
    """Provide the code for RQ's function. The global name that it calls is added to rq.registry."""
    _rqreg_ext_clean_registries(queue, exception_handlers)  # type: ignore[name-defined] # noqa: F821


class CleaningFunction:
    """RQ's function, whose code can be replaced and restored."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._code = function.__code__

    def replace_code(self) -> None:
        """Make the function clean up in one round trip. It uses the classes that rq.registry has at each call."""
        code = self._code

        def clean(queue: Any, exception_handlers: Any = None) -> None:
            clean_by_names(code, vars(rq_registry), queue, exception_handlers)

        note_replaced_code(clean_registries.__code__, code)
        vars(rq_registry)[_ALIAS] = clean
        self._function.__code__ = clean_registries.__code__

    def restore_code(self) -> None:
        """Make the function run RQ's code again. The added global stays: a call in another thread may still need it."""
        self._function.__code__ = self._code


def replace_cleaning() -> list[CleaningFunction]:
    """Replace the code of RQ's function, unless it was patched; return the function, if it was replaced."""
    function = unpatched_function()
    functions = [] if function is None else [CleaningFunction(function)]
    for one in functions:
        one.replace_code()
    return functions
